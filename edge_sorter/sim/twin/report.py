"""What really landed in which lane: the truth a sorter is judged by, parcel by parcel, with intervals.

Contract: a function of world and program. `right` is the lane the plan wants (or, where that one could not take it,
one the plan allows besides); `safe` is the exception or default lane instead, work for a person; `wrong` is another
customer's lane. Parcels the sorter could not see cross its line are told and not counted, nor are those that had not
landed when somebody stopped the line or that fell off the belt, nor foreign objects, which have rows of their own.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from edge_sorter.plc.inbound import ConfirmResult
from edge_sorter.sim.interval import clopper_pearson
from edge_sorter.sim.twin.items import Item
from edge_sorter.sim.twin.program import PlcProgram
from edge_sorter.sim.twin.traffic import WorldParcel
from edge_sorter.sim.twin.world import FLOOR, World
from edge_sorter.sort import SortPlan

OUTCOMES = ("right", "safe", "wrong")
FAULTS = ("undecided", "late", "second_decision")
ROWS_SHOWN = 20


def make_report(world: World, program: PlcProgram, plan: SortPlan) -> dict[str, Any]:
    """Return what became of every parcel, and the counts of it."""
    things = [(parcel.foreign, _row(world, program, plan, i)) for i, parcel in enumerate(world.traffic.parcels)]
    rows, foreign = ([row for other, row in things if other is wanted] for wanted in (False, True))
    judged = [row for row in rows if row["judged"] and row["landed"] not in (None, FLOOR)]
    outcomes = Counter(row["outcome"] for row in judged)
    flaws = {name: sum(bool(row[name]) for row in judged) for name in FAULTS}
    return {
        "schema": "edge_sorter.sim_plc_report/1",
        "plan": plan.name,
        "parcels": len(rows),
        "judged": len(judged),
        "not_landed": sum(row["landed"] is None for row in rows),
        "fell_off": sum(row["landed"] == FLOOR for row in rows),
        "shares": {name: share_of(outcomes[name], len(judged)) for name in OUTCOMES},
        "faults": {name: share_of(count, len(judged)) for name, count in flaws.items()},
        "decisions": {
            "accepted": program.counts.accepted,
            "late": program.counts.late,
            "refused": dict(sorted(program.counts.refused.items())),
            "about_nothing": program.counts.about_nothing,
            "for_an_item_that_has_one": program.counts.second_decisions,
            "lost_on_the_way": program.judge.counts.gaps,
        },
        "results": dict(sorted(Counter(str(row["result"]) for row in judged).items())),
        "lanes": dict(sorted(Counter(str(row["landed"]) for row in rows).items())),
        "mishaps": _mishaps(rows),
        "items": {
            "seen": len(program.items),
            "of_nothing": len(program.items.keys() - {*world.stretch_by_parcel.values()}),
        },
        "world_s": round(world.now_s, 2),
        "rows": rows,
        "foreign": foreign,
    }


def _row(world: World, program: PlcProgram, plan: SortPlan, i: int) -> dict[str, Any]:
    parcel = world.traffic.parcels[i]
    item = program.items.get(world.stretch_by_parcel.get(i, -1))
    arrival = world.landed.get(i)
    landed = None if arrival is None else arrival.lane
    decision = None if item is None else item.decision
    return {
        "parcel": parcel.number,
        "plc_index": None if item is None else item.plc_index,
        "class": parcel.class_name,
        "size_mm": [round(side) for side in parcel.size_mm],
        "weight_kg": parcel.weight_kg,
        "together": parcel.together,
        "judged": parcel.judged,
        "lane": parcel.lane,
        "decided": None if decision is None else decision.lane,
        "reason": None if decision is None else decision.reason,
        "uid": None if decision is None else decision.parcel_uid,
        "landed": landed,
        "landed_s": None if arrival is None else round(arrival.at_s, 3),
        "outcome": None if landed is None else _outcome(parcel, landed, plan),
        "result": _result(item, landed, i in world.struck),
        "undecided": decision is None and not (item is not None and item.late),
        "late": item is not None and item.late,
        "second_decision": item is not None and len(item.uids) > 1,
        "mishaps": [
            {"what": one.what, "at_mm": round(one.at_mm), "by_mm": round(one.by_mm)}
            for one in world.falls.mishaps.get(i, ())
        ],
    }


def _mishaps(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return what parcels became to which something happened on the belt, by what it was."""
    told: dict[str, Counter[str]] = {}
    for row in rows:
        for what in sorted({one["what"] for one in row["mishaps"]}):
            told.setdefault(what, Counter())[str(row["outcome"] or "not_landed")] += 1
    return {what: dict(sorted(counts.items())) for what, counts in sorted(told.items())}


def _outcome(parcel: WorldParcel, landed: str, plan: SortPlan) -> str:
    if landed == FLOOR:
        return "gone"
    if landed == parcel.lane or landed in parcel.also:
        return "right"
    return "safe" if landed in (plan.exception, plan.default) else "wrong"


def _result(item: Item | None, landed: str | None, struck: bool) -> str:
    if landed == FLOOR or struck:
        return "FELL_OFF" if landed == FLOOR else "STRUCK"
    if item is not None and (item.jammed or item.trouble is ConfirmResult.JAM):
        return "JAM"
    if item is None or item.decision is None:
        return "UNSEEN" if item is None else "NO_DECISION"
    if item.trouble is not None or item.held:
        return item.trouble.value if item.trouble else "HELD"
    if landed is None:
        return "ON_BELT"
    return "AS_DECIDED" if landed == item.decision.lane else "NOT_AS_DECIDED"


def share_of(count: int, of: int) -> dict[str, Any]:
    """Return a count with its share and the exact 95 % interval."""
    low, high = clopper_pearson(count, of)
    share = round(count / of, 6) if of else None
    return {"count": count, "share": share, "low": round(low, 6), "high": round(high, 6)}


def show_report(console: Console, report: dict[str, Any]) -> None:
    """Print a report for people: counts first, then every parcel that did not end where it should."""
    console.print(
        f"{report['judged']} of {report['parcels']} parcels counted; "
        f"{report['decisions']['accepted']} decisions accepted, {report['decisions']['late']} late",
        highlight=False,
    )
    if report["not_landed"]:
        console.print(f"stopped early: {report['not_landed']} had not landed and are not counted", highlight=False)
    table = Table("", "parcels", "share", "95 % interval", title="Where the parcels really landed")
    for name, share in (report["shares"] | report["faults"]).items():
        part = "-" if share["share"] is None else f"{share['share']:.2%}"
        between = f"{share['low']:.2%} .. {share['high']:.2%}"
        table.add_row(name.replace("_", " "), str(share["count"]), part, between)
    console.print(table)
    _show_mishaps(console, report)
    odd = [row for row in report["rows"] if row["judged"] and row["outcome"] not in ("right", None)]
    if not odd:
        return
    table = Table("parcel", "class", "should", "decided", "landed", "what happened", title="Not where they should be")
    for row in odd[:ROWS_SHOWN]:
        decided = f"{row['decided'] or '-'} {row['reason'] or ''}"
        befell = [f"{one['what']} {one['by_mm']} mm at {one['at_mm']}" for one in row["mishaps"]]
        happened = "; ".join((row["result"], *befell))
        table.add_row(str(row["parcel"]), row["class"], row["lane"], decided, row["landed"], happened)
    console.print(table)
    if len(odd) > ROWS_SHOWN:
        console.print(f"and {len(odd) - ROWS_SHOWN} more; --out keeps them all", highlight=False)


def _show_mishaps(console: Console, report: dict[str, Any]) -> None:
    for what, counts in report["mishaps"].items():
        became = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        where = "" if what == "fell off" else " on"
        console.print(f"{what}{where} the belt: {sum(counts.values())} ({became})", highlight=False)
    if report["foreign"]:
        lanes = Counter(str(row["landed"]) for row in report["foreign"])
        where = ", ".join(f"{count} in {lane}" for lane, count in sorted(lanes.items()))
        console.print(f"foreign objects: {len(report['foreign'])} ({where})", highlight=False)
    if report["items"]["of_nothing"]:
        console.print(f"items of the photo-eye with nothing in them: {report['items']['of_nothing']}", highlight=False)
