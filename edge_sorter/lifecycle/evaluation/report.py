"""The report on one model and the one on two, as HTML.

Contract: pure text from an `Evaluation` (or two and their `Comparison`) and the pictures that its gallery shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_sorter.lifecycle.evaluation import gallery, page
from edge_sorter.lifecycle.evaluation.compare import Comparison, Difference
from edge_sorter.lifecycle.evaluation.curves import Point
from edge_sorter.lifecycle.evaluation.faults import KINDS, Fault, worst
from edge_sorter.lifecycle.evaluation.measure import ALL, ClassFigures, Evaluation, Looked
from edge_sorter.lifecycle.evaluation.plots import Axis, Line, bars, lines

TILES_A_KIND = 12
NAMES = {
    "map50": "mAP50",
    "map50_95": "mAP50-95",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
LEGEND = "White-green dashed: what is there. Red: what was found."


def single(looked: Looked, evaluation: Evaluation, *, title: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return the report on one model."""
    e = evaluation
    return page.page(
        title,
        [
            page.facts(facts),
            page.heading("In short", f"95 % intervals by resampling pictures; working threshold {e.confidence:g}."),
            page.cards([*_cards(e), ("calibration error", f"{e.reliability.ece:.3f}", "ECE; 0 is perfect")]),
            page.heading(
                "Classes",
                f"P and R at the working threshold, at the best F1, and where recall reaches {e.target_recall:g}.",
            ),
            _classes(e),
            page.heading("Curves", "Dots: the working threshold. Overlap 0.5, the class must be right."),
            f'<div class="plots">{_plots(e)}</div>',
            page.heading(
                "What was taken for what",
                "At the working threshold, whatever the class (overlap 0.5). Background: not seen, or nothing there.",
            ),
            page.matrix([*e.classes, "background"], e.confusion.tolist()),
            page.heading("Size", "Root of a box's area in pixels of the picture; recall at the working threshold."),
            _sizes(e),
            page.heading("Errors", f"{LEGEND} At most two of one picture."),
            _errors(looked, e),
        ],
    )


def double(
    sides: tuple[tuple[str, Looked, Evaluation], tuple[str, Looked, Evaluation]],
    comparison: Comparison,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
) -> str:
    """Return the report on two models; `sides` are their names, what they found, and their figures."""
    (name_a, looked_a, a), (name_b, looked_b, b) = sides
    head = comparison.headline
    names = [truth.path.name for truth in looked_a.truths]
    pairs = [
        page.pair(
            (_whole(looked_a, spot.picture, a), f"A: {_errors_text(spot.faults_a)} · {names[spot.picture]}"),
            (_whole(looked_b, spot.picture, b), f"B: {_errors_text(spot.faults_b)}"),
        )
        for spot in comparison.apart
    ]
    both = [
        Line(f"{letter} {name}", line.recall.tolist(), line.precision.tolist(), [_mark(e)])
        for letter, name, e in (("A", name_a, a), ("B", name_b, b))
        for line in (e.curves[ALL],)
    ]
    return page.page(
        title,
        [
            page.facts([("A", name_a), ("B", name_b), *facts]),
            f'<p class="verdict">{verdict_text(head)}</p>',
            page.heading(
                "Figures",
                "Interval: 95 %, pictures resampled once for both models. Every figure is tested by itself: of many, "
                "one in twenty looks significant by chance. mAP50-95 decides.",
            ),
            page.table(
                ("figure", "A", "B", "B - A", "95 % interval", "verdict"), map(_difference, comparison.differences)
            ),
            page.heading("Precision and recall"),
            f'<div class="plots">{lines("All classes", both, x=Axis("recall"), y=Axis("precision"))}</div>',
            page.heading("Where they differ most", f"{LEGEND} {_apart_note(comparison)}"),
            *pairs,
        ],
    )


def verdict_text(head: Difference) -> str:
    """Say in one sentence what the comparison found."""
    change = f"{head.b - head.a:+.3f} mAP50-95, 95 % interval {head.low:+.3f} to {head.high:+.3f}"
    return f"{head.verdict[0].upper()}{head.verdict[1:]} ({change})."


def _apart_note(comparison: Comparison) -> str:
    return "" if comparison.apart else "No picture: both make the same number of errors on every one."


def _errors_text(count: int) -> str:
    return f"{count} error{'' if count == 1 else 's'}"


def _whole(looked: Looked, picture: int, evaluation: Evaluation) -> str:
    return gallery.whole(looked.truths[picture], looked.found[picture], confidence=evaluation.confidence)


def _difference(d: Difference) -> tuple[str, ...]:
    name = NAMES.get(d.name, d.name.replace("ap50_95", "AP50-95"))
    return name, f"{d.a:.3f}", f"{d.b:.3f}", f"{d.b - d.a:+.3f}", f"{d.low:+.3f} to {d.high:+.3f}", d.verdict


def _cards(e: Evaluation) -> list[tuple[str, str, str]]:
    return [
        (name, f"{e.figures[key]:.3f}", f"{e.intervals[key][0]:.3f} to {e.intervals[key][1]:.3f}")
        for key, name in NAMES.items()
    ]


def _classes(e: Evaluation) -> str:
    head = ("class", "boxes", "AP50", "AP50-95", "P", "R", "F1", "best at", "P", "R", "target at", "P", "false/picture")
    return page.table(head, (_class_row(name, figures) for name, figures in e.per_class.items()))


def _class_row(name: str, c: ClassFigures) -> tuple[str, ...]:
    def told(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    def p(point: Point) -> tuple[str, str]:
        return f"{point.precision:.3f}", f"{point.recall:.3f}"

    target = ("not reached", "", "")
    if c.target is not None:
        target = (f"{c.target.confidence:.2f}", f"{c.target.precision:.3f}", f"{c.target.false_per_picture:.2f}")
    best = (f"{c.best.confidence:.2f}", *p(c.best))
    return name, str(c.boxes), told(c.ap50), told(c.ap50_95), *p(c.working), f"{c.working.f1:.3f}", *best, *target


def _mark(e: Evaluation) -> tuple[float, float]:
    return e.per_class[ALL].working.recall, e.per_class[ALL].working.precision


def _plots(e: Evaluation) -> str:
    rows = {name: line.as_dict() for name, line in e.curves.items()}
    at = {name: figures.working for name, figures in e.per_class.items()}

    def drawn(x: str, y: str) -> list[Line]:
        return [
            Line(
                name,
                row[x],
                row[y],
                [(getattr(at[name], x), getattr(at[name], y))] if row[x] else (),
                x == "confidence",
            )
            for name, row in rows.items()
        ]

    share, threshold = Axis("recall"), Axis("confidence")
    most = max([1.0, *(max(row["false_per_picture"], default=0.0) for row in rows.values())])
    rate = Axis("false boxes per picture", 0.01, most, log=True)
    return "".join(
        (
            lines("Precision over recall", drawn("recall", "precision"), x=share, y=Axis("precision")),
            lines("Recall over false boxes (FROC)", drawn("false_per_picture", "recall"), x=rate, y=Axis("recall")),
            lines("F1 over threshold", drawn("confidence", "f1"), x=threshold, y=Axis("F1")),
            lines("Precision over threshold", drawn("confidence", "precision"), x=threshold, y=Axis("precision")),
            lines("Recall over threshold", drawn("confidence", "recall"), x=threshold, y=Axis("recall")),
            bars(f"Calibration (ECE {e.reliability.ece:.3f})", e.reliability.bins),
        )
    )


def _sizes(e: Evaluation) -> str:
    rows = (
        (
            f"{band.from_px} to {band.to_px} px" if band.to_px else f"{band.from_px} px and more",
            str(band.boxes),
            f"{band.found / band.boxes:.3f}",
            f"{band.recall_95[0]:.3f} to {band.recall_95[1]:.3f}",
        )
        for band in e.sizes
    )
    return page.table(("side", "boxes", "recall", "95 % interval"), rows)


def _errors(looked: Looked, e: Evaluation) -> str:
    counts, parts = e.fault_counts(), []
    for kind, meaning in KINDS.items():
        shown = worst(e.faults, kind=kind, count=TILES_A_KIND)
        parts.append(f"<h3>{kind}: {counts[kind]}</h3><p class='dim'>{meaning}</p>")
        parts.append(page.tiles((_tile(looked, fault, e), _caption(looked, fault)) for fault in shown))
    return "".join(parts)


def _tile(looked: Looked, fault: Fault, e: Evaluation) -> str:
    picture = fault.picture
    return gallery.tile(fault, looked.truths[picture], looked.found[picture], confidence=e.confidence)


def _caption(looked: Looked, fault: Fault) -> str:
    true = None if fault.true_class is None else looked.classes[fault.true_class]
    found = None if fault.found_class is None else looked.classes[fault.found_class]
    told = {
        "missed": f"{true}; best box there {fault.confidence:.2f}",
        "false": f"{found} {fault.confidence:.2f}",
        "confused": f"{true} taken for {found} {fault.confidence:.2f}",
        "misplaced": f"{found} {fault.confidence:.2f}, overlap {fault.overlap:.2f}",
        "doubled": f"{found} {fault.confidence:.2f}, overlap {fault.overlap:.2f}",
    }[fault.kind]
    return f"{told} · {looked.truths[fault.picture].path.name}"
