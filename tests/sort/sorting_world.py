"""A small belt seen straight from above, and parcels riding on it: 2 mm a pixel, the decision line at 1200 mm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from edge_sorter.belt import Belt, BeltMap, Calibration, DecisionLine, SteadyMotion
from edge_sorter.config import DecisionLineSection, SortSection
from edge_sorter.sort import Router, SortPlan, load_plan
from edge_sorter.types import Code, Parcel, SortDecision, Track, TrackState

IMAGE_PX = (1000, 500)
MM_PER_PX = 2.0
LINE_MM = 1200.0
STEP_S = 0.04
CLASSES = ("carton", "polybag", "mailer", "tube", "sack")
DEMO_PLAN = Path(__file__).parents[2] / "configs" / "demo" / "plan.yaml"


def make_belt(*, calibrated: bool = True, speed_mm_s: float | None = 1000.0) -> Belt:
    if not calibrated:
        section = DecisionLineSection(points=((0.6, 0.0), (0.6, 1.0)))
        line = DecisionLine(section, belt_map=None, image_size_px=IMAGE_PX)
        return Belt(None, SteadyMotion(None), line, (1.0, 0.0))
    width, height = IMAGE_PX
    calibration = Calibration(
        image_size_px=IMAGE_PX,
        image_points_px=((0, 0), (width, 0), (width, height), (0, height)),
        belt_points_mm=(
            (0, height * MM_PER_PX),
            (width * MM_PER_PX, height * MM_PER_PX),
            (width * MM_PER_PX, 0),
            (0, 0),
        ),
    )
    belt_map = BeltMap(calibration, image_size_px=IMAGE_PX)
    line = DecisionLine(DecisionLineSection(at_mm=LINE_MM), belt_map=belt_map, image_size_px=IMAGE_PX)
    return Belt(belt_map, SteadyMotion(speed_mm_s), line, (1.0, 0.0))


def make_router(
    belt: Belt,
    *,
    plan: SortPlan | None = None,
    classes: tuple[str, ...] | None = None,
    flush_at_start: bool = False,
    **section: object,
) -> Router:
    plan = plan or load_plan(DEMO_PLAN, classes=CLASSES)
    return Router(
        SortSection(plan=DEMO_PLAN, **section),
        plan=plan,
        line=belt.line,
        belt=belt,
        boot_id="BOOT",
        classes=classes,
        flush_at_start=flush_at_start,
    )


def parcel(
    track_id: int,
    at_s: float,
    x_mm: float,
    *,
    y_mm: float = 500.0,
    size_mm: tuple[float, float] = (300.0, 200.0),
    state: TrackState = TrackState.CONFIRMED,
    measured: bool = True,
    hits: int = 9,
    class_name: str = "carton",
    share: float = 1.0,
    known_size_mm: tuple[float, float] | None = (300.0, 200.0),
    speed_mm_s: float = 1000.0,
    codes: tuple[Code, ...] = (),
    flags: tuple[str, ...] = (),
) -> Parcel:
    """A parcel whose centre is at (x_mm, y_mm) on the belt."""
    height = IMAGE_PX[1]
    box = (
        (x_mm - size_mm[0] / 2) / MM_PER_PX,
        height - (y_mm + size_mm[1] / 2) / MM_PER_PX,
        (x_mm + size_mm[0] / 2) / MM_PER_PX,
        height - (y_mm - size_mm[1] / 2) / MM_PER_PX,
    )
    at_ns = round(at_s * 1e9)
    track = Track(
        track_id, state, at_ns, box, (speed_mm_s / MM_PER_PX, 0.0), measured, 0.9, CLASSES.index(class_name), hits,
        0, at_ns,
    )  # fmt: skip
    return Parcel(track, class_name, share, known_size_mm, codes, flags)


def feed(router: Router, belt: Belt, at_s: float, *parcels: Parcel) -> tuple[SortDecision, ...]:
    at_ns = round(at_s * 1e9)
    return router.update(parcels, captured_ns=at_ns, travel_mm=belt.motion.travel_mm(at_ns))


def lost(track_id: int, at_s: float, x_mm: float, *, since_s: float, **what: object) -> Parcel:
    """A parcel whose track is only predicted, last seen at `since_s`."""
    seen = parcel(track_id, at_s, x_mm, state=TrackState.LOST, measured=False, **what)
    return replace(seen, track=replace(seen.track, last_seen_ns=round(since_s * 1e9)))


def run(
    router: Router, belt: Belt, frame: Callable[[float, float], Iterable[Parcel]], *, frames: int = 60
) -> list[SortDecision]:
    """Feed what `frame(at_s, x_mm)` returns, x_mm being where a parcel is that starts at 300 mm at 1 m/s."""
    decisions: list[SortDecision] = []
    for index in range(frames):
        at_s = index * STEP_S
        decisions += feed(router, belt, at_s, *frame(at_s, 300.0 + 1000.0 * at_s))
    return decisions
