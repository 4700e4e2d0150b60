"""The PLC's program on a simulated line: items by photo-eye, decisions by place, diverters by encoder.

Contract: `scan` is one cycle; it knows counts, edges and messages, never what a parcel is, and reads no clock. Every
item gets one way through the line: its lane, if an accepted decision names one, the sorter is heard, the lane is not
full and its neighbours leave the diverter time to move; else straight on. Messages are judged by the rules of
`plc.gateway.judge`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from edge_sorter.plc.gateway.judge import WRAP, Judge
from edge_sorter.plc.inbound import AckResult, ConfirmResult
from edge_sorter.plc.messages import DecisionMessage
from edge_sorter.sim.twin.eye import EyeEdge
from edge_sorter.sim.twin.items import Item, Way
from edge_sorter.sim.twin.layout import DiverterSection, SimPlcConfig
from edge_sorter.sim.twin.world import Diverter, LaneStock
from edge_sorter.types import Action


@dataclass
class ProgramCounts:
    """What happened to decisions, for the report."""

    accepted: int = 0
    late: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    about_nothing: int = 0
    second_decisions: int = 0


class PlcProgram:
    """Follows items from the photo-eye to the last diverter.

    Attributes:
        items: By stretch number; all that were ever seen, for the report.
        item_of_uid: Items with a decision, by the sorter's name for the parcel.
        counts, judge: What became of decisions, and the rules they were judged by.
        usable: Whether the sorter is heard and says that it runs.
        jam: The photo-eye is dark for more belt than anything is long.
    """

    def __init__(self, config: SimPlcConfig, diverters: tuple[Diverter, ...], lanes: dict[str, LaneStock]) -> None:
        self.items: dict[int, Item] = {}
        self.item_of_uid: dict[str, Item] = {}
        self.counts = ProgramCounts()
        self.judge = Judge(replay=config.replays)
        self.usable = self.jam = False
        self._config = config
        self._diverters = {diverter.section.id: diverter for diverter in diverters}
        self._lanes = lanes
        self._live: list[Item] = []
        self._early: list[DecisionMessage] = []
        self._speed_mm_s = self._fastest_mm_s = 0.0
        self._awaited: list[Item] = []

    @property
    def live(self) -> tuple[Item, ...]:
        """Items between the eye and the end of the line."""
        return tuple(self._live)

    # Decisions.

    def decide(self, message: DecisionMessage, *, now: datetime, count: int) -> AckResult:
        """Take a decision into the tracking, or say why not.

        Args:
            message: A decision that passed the border.
            now: UTC.
            count: The encoder now, unwrapped.
        """
        result = self._decide(message, now, count)
        if result is AckResult.ACCEPTED:
            self.counts.accepted += 1
        elif result is AckResult.LATE:
            self.counts.late += 1
        else:
            self.counts.refused[result.value] = self.counts.refused.get(result.value, 0) + 1
        return result

    def _decide(self, message: DecisionMessage, now: datetime, count: int) -> AckResult:
        if message.lane not in self._diverters and message.lane != self._config.straight_on.id:
            return AckResult.LANE_UNAVAILABLE
        result = self.judge.judge(message, now=now, count=count % WRAP)
        item = self._item_of(message, count)
        if result is AckResult.LATE and item is not None and item.decision is None:
            item.late = True
        if result is not AckResult.ACCEPTED:
            return result
        if not self.usable:
            result = AckResult.REJECTED
        elif item is None:
            if self._still_to_come(message, count):
                self._early.append(message)
                return AckResult.ACCEPTED
            self.counts.about_nothing += 1
            result = AckResult.UNKNOWN_PARCEL
        else:
            result = self._assign(item, message)
        if result is not AckResult.ACCEPTED:
            self.judge.forget(message)
        return result

    def _assign(self, item: Item, message: DecisionMessage) -> AckResult:
        if item.trouble is ConfirmResult.FLUSHED:
            return AckResult.REJECTED
        if item.way is not Way.OPEN:
            return AckResult.LATE
        if message.parcel_uid not in item.uids:
            item.uids.append(message.parcel_uid)
        if item.decision is not None and item.decision.parcel_uid != message.parcel_uid:
            self.counts.second_decisions += 1  # one thing on the belt goes one way: the first one counts
            return AckResult.REJECTED
        item.decision = message
        self.item_of_uid[message.parcel_uid] = item
        return AckResult.ACCEPTED

    def _item_of(self, message: DecisionMessage, count: int) -> Item | None:
        """Return the item a decision speaks of, by index or else by place."""
        if message.plc_index is not None:
            return next((item for item in self._live if item.plc_index == message.plc_index), None)
        ends = self._ends_at_eye(message, count)
        if ends is None:
            return None
        middle, slack = sum(ends) / 2.0, self._counts(self._config.program.match_mm)
        best: Item | None = None
        for item in self._live:
            passed = max(item.lead_count + slack, count)  # in the beam it reaches as far as it has passed
            reach = passed if item.trail_count is None else item.trail_count + slack
            inside = item.lead_count - slack <= middle <= reach
            if inside and (best is None or abs(middle - item.middle) < abs(middle - best.middle)):
                best = item
        return best

    def _ends_at_eye(self, message: DecisionMessage, count: int) -> tuple[float, float] | None:
        """Return the counts at which the parcel's ends pass the eye, unwrapped."""
        to_eye = self._counts(self._config.photo_eye.at_mm - self._config.decision_line_mm)
        pos = message.pos
        if pos.lead_cnt is not None:
            ends = [_unwrapped(end, count) for end in (pos.lead_cnt, pos.trail_cnt) if end is not None]
        elif pos.lead_mm is not None and self._config.replays:  # travel since the clip began, which is our travel
            ends = [
                round(self._config.encoder.first_count + self._counts(end))
                for end in (pos.lead_mm, pos.trail_mm)
                if end is not None
            ]
        else:
            return None
        return ends[0] + to_eye, ends[-1] + to_eye

    def _still_to_come(self, message: DecisionMessage, count: int) -> bool:
        ends = self._ends_at_eye(message, count)
        return ends is not None and sum(ends) / 2.0 + self._counts(self._config.program.match_mm) > count

    # One cycle.

    def scan(self, *, at_s: float, count: int, speed_mm_s: float, edges: list[EyeEdge]) -> None:
        """Do one cycle: follow the edges, send diverters out and home.

        Args:
            at_s: World time.
            count: The encoder, unwrapped.
            speed_mm_s: The belt's speed as the drive says.
            edges: What the eye saw since the last cycle.
        """
        self._speed_mm_s, self._fastest_mm_s = speed_mm_s, max(speed_mm_s, self._fastest_mm_s)
        for edge in edges:
            self._see(edge)
        self._watch_eye(count)
        if self._early and edges:
            self._find_early(count)
        for place, item in enumerate(self._live):
            self._pass_points(item, place, at_s, count)
        self._bring_home(at_s, count)
        end = self._counts_to(self._config.straight_on.at_mm)
        self._live = [item for item in self._live if item.trail_count is None or item.trail_count + end > count]

    def flush(self) -> None:
        """Trust nothing that is on the belt: it goes straight on, unless its diverter has it already."""
        self._early.clear()
        for item in self._live:
            if item.way is Way.OPEN:
                item.way, item.trouble = Way.STRAIGHT, ConfirmResult.FLUSHED

    def drop_accepted(self) -> None:
        """Carry out no decision that has not begun: the sorter is not heard any more."""
        self._early.clear()
        for item in self._live:
            if item.way is Way.OPEN and item.decision is not None:
                item.held = True

    def _see(self, edge: EyeEdge) -> None:
        if edge.front:
            item = Item(len(self.items) + 1, edge.stretch, edge.count)
            self.items[edge.stretch] = item
            self._live.append(item)
        else:
            item = self.items[edge.stretch]
            item.trail_count = edge.count
            self._awaited.append(item)

    def _watch_eye(self, count: int) -> None:
        """Trust no item that is longer than anything can be: what it is, and where it ends, nobody knows."""
        item = self._live[-1] if self._live else None
        self.jam = (
            item is not None
            and item.trail_count is None
            and count - item.lead_count > self._counts(self._config.program.longest_mm)
        )
        if self.jam and item is not None and item.way is Way.OPEN:
            item.way, item.trouble = Way.STRAIGHT, ConfirmResult.JAM

    def arrived(self, stretch: int) -> None:
        """Hear that a lane's eye saw something of a piece of covered belt."""
        self.items[stretch].arrived = True

    def overdue(self, count: int) -> list[Item]:
        """Return items that no lane's eye has seen by now and that one must have: they are stuck, or were taken."""
        self._awaited = [item for item in self._awaited if not item.arrived]
        found = [item for item in self._awaited if count > self._last_sight(item)]
        for item in found:
            item.jammed = True
            self._awaited.remove(item)
        return found

    def _last_sight(self, item: Item) -> float:
        """Return the count by which a lane's eye must have seen an item, wherever it went."""
        assert item.trail_count is not None
        last_mm = self._config.straight_on.at_mm
        diverter = None if item.decision is None else self._diverters.get(item.decision.lane)
        if diverter is not None:
            section = diverter.section
            last_mm = max(last_mm, section.mouth_mm + self._fastest_mm_s * section.chute_ms / 1e3)
        return item.trail_count + self._counts_to(last_mm + self._config.program.overdue_mm)

    def _find_early(self, count: int) -> None:
        early, self._early = self._early, []
        for message in early:
            item = self._item_of(message, count)
            if item is not None and item.trail_count is not None:
                self._assign(item, message)
            elif self._still_to_come(message, count) or item is not None:
                self._early.append(message)
            else:
                self.counts.about_nothing += 1

    def _pass_points(self, item: Item, place: int, at_s: float, count: int) -> None:
        if item.way is not Way.OPEN or item.decision is None:
            return
        diverter = self._diverters.get(item.decision.lane)
        if diverter is None or item.decision.action is Action.CANCEL:
            return
        section = diverter.section
        if count < item.lead_count + self._counts_to(section.no_return_mm):
            return
        item.trouble = self._obstacle(item, place, diverter, at_s, count)
        item.way = Way.STRAIGHT if item.trouble or item.held else Way.DIVERTING
        if item.way is Way.DIVERTING:
            diverter.command(out=True, at_s=at_s)

    def _obstacle(self, item: Item, place: int, diverter: Diverter, at_s: float, count: int) -> ConfirmResult | None:
        """Return why this item cannot be diverted, or None."""
        section = diverter.section
        if self._lanes[section.id].full:
            return ConfirmResult.ABORT_FULL
        if item.trail_count is None or (diverter.moving(at_s) and not diverter.out):
            return ConfirmResult.ABORT_GAP
        mouth, move = self._counts_to(section.mouth_mm), self._counts(self._speed_mm_s * section.travel_ms / 1e3)
        if place > 0 and self._comes_to(self._live[place - 1], section):
            ahead = self._live[place - 1]
            if ahead.trail_count is None or ahead.trail_count + mouth > count:
                return ConfirmResult.ABORT_GAP
        if place + 1 < len(self._live) and self._comes_to(self._live[place + 1], section):
            too_close = self._live[place + 1].lead_count - item.trail_count < move
            return ConfirmResult.ABORT_GAP if too_close else None
        return None

    def _comes_to(self, item: Item, section: DiverterSection) -> bool:
        """Tell whether an item reaches this mouth and should not go into it."""
        if item.decision is None or item.way is Way.STRAIGHT:
            return True
        own = self._diverters.get(item.decision.lane)
        return own is None or own.section.mouth_mm > section.mouth_mm

    def _bring_home(self, at_s: float, count: int) -> None:
        for diverter in self._diverters.values():
            if diverter.out and not self._wanted(diverter.section, count):
                diverter.command(out=False, at_s=at_s)

    def _wanted(self, section: DiverterSection, count: int) -> bool:
        """Tell whether the next item at this mouth goes into it, or is about to."""
        mouth = self._counts_to(section.mouth_mm)
        soon = mouth - 2.0 * self._counts(section.mouth_mm - section.no_return_mm)
        for item in self._live:
            if item.trail_count is not None and item.trail_count + mouth <= count:
                continue
            mine = item.decision is not None and item.decision.lane == section.id
            if mine and (item.way is Way.DIVERTING or (item.way is Way.OPEN and not item.held)):
                return item.way is Way.DIVERTING or item.lead_count + soon <= count
            if self._comes_to(item, section):
                return False
        return False

    def _counts_to(self, place_mm: float) -> float:
        """Return counts from the eye to a place."""
        return self._counts(place_mm - self._config.photo_eye.at_mm)

    def _counts(self, mm: float) -> float:
        return mm / self._config.encoder.mm_per_count


def _unwrapped(count: int, near: int) -> int:
    """Return the count with these 32 bits that is nearest to `near`."""
    return near + (count - near + WRAP // 2) % WRAP - WRAP // 2
