"""What the simulated PLC says on MQTT: encoder, heartbeat, lanes, line, items, answers.

Contract: every message is one of `plc.inbound`; nothing waits: what cannot be sent now is not sent. Retained messages
go out when they say something new, and again every ten seconds.
"""

from __future__ import annotations

import json
import logging
from collections import Counter

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.events import LaneStatus
from edge_sorter.plc.gateway.judge import WRAP
from edge_sorter.plc.inbound import (
    AckMessage,
    AckResult,
    ConfirmMessage,
    ConfirmResult,
    EncoderMessage,
    ItemMessage,
    LaneMessage,
    LineMessage,
    PlcHeartbeatMessage,
)
from edge_sorter.plc.messages import DecisionMessage, Message
from edge_sorter.plc.session import Session
from edge_sorter.plc.topics import Topics
from edge_sorter.sim.twin.eye import EyeEdge
from edge_sorter.sim.twin.faults import Kind, active
from edge_sorter.sim.twin.items import Item
from edge_sorter.sim.twin.layout import SimPlcConfig
from edge_sorter.sim.twin.program import PlcProgram
from edge_sorter.sim.twin.scale import Scale
from edge_sorter.sim.twin.world import Arrival, World

log = logging.getLogger(__name__)

HEARTBEAT_NS = 100_000_000
AGAIN_NS = 10_000_000_000


class Voice:
    """Speaks for one world and its program; keeps silent where a fault says so.

    Attributes:
        answered: Acknowledgements by result, also those a fault kept back.
        sorter_n: Newest counter in the sorter's heartbeat, for the echo.
    """

    def __init__(
        self, config: SimPlcConfig, world: World, program: PlcProgram, *, session: Session, topics: Topics, clock: Clock
    ) -> None:
        self.answered: Counter[str] = Counter()
        self.sorter_n: int | None = None
        self._config, self._world, self._program = config, world, program
        self._session, self._topics, self._clock = session, topics, clock
        self._fastest_mm_s = float(world.traffic.ride.speed_mm_s.max())
        self._beats = self._connects = 0
        self._told: dict[str, str] = {}
        self._confirmed: set[int] = set()
        self._scale = None if config.scale is None else Scale(config, config.scale)
        self._due_ns = {"heartbeat": 0, "encoder": 0, "again": 0}

    def speak(self, now_ns: int, *, cycle_ns: int) -> None:
        """Say what is due.

        Args:
            now_ns: The present.
            cycle_ns: When the newest cycle of the program began.
        """
        if self._session.connects != self._connects or self._is_due("again", now_ns, AGAIN_NS):
            self._connects = self._session.connects
            self._told.clear()  # a broker may have forgotten what it kept
        if self._is_due("encoder", now_ns, round(1e9 / self._config.encoder.hz)) and not self._fault("encoder_lost"):
            sample = EncoderMessage(
                cnt=self._world.count % WRAP,
                mm_per_cnt=self._config.encoder.mm_per_count,
                v_mm_s=round(self._world.speed_mm_s, 1),
                ts=self._stamp(cycle_ns),
            )
            self._send(self._topics.plc_enc, sample, qos=0)
        if self._is_due("heartbeat", now_ns, HEARTBEAT_NS) and not self._fault("no_heartbeat"):
            self._beats += 1
            beat = PlcHeartbeatMessage(
                n=self._beats,
                peer_n=self.sorter_n,
                plc_cycle_ms=self._config.program.scan_ms,
                mode="PRODUCTION" if self._program.usable else "HOLD",
                ts=self._stamp(now_ns),
            )
            self._send(self._topics.plc_hb, beat, qos=0)
        self._tell_lanes()
        if self._fault("e_stop"):
            self._tell_line("ABORTED", "E-stop")
        elif self._fault("encoder_lost"):
            self._tell_line("HELD", "encoder lost")
        else:  # this belt runs on below a jam, and is told to
            self._tell_line("EXECUTE", f"jam at {self._config.photo_eye.name}" if self._program.jam else None)

    def item(self, edge: EyeEdge) -> None:
        """Tell what the photo-eye saw."""
        self._tell_item(self._program.items[edge.stretch], rear=not edge.front)

    def items_again(self) -> None:
        """Tell a sorter that started anew what is on its way from the eye."""
        for item in self._program.live:
            self._tell_item(item, rear=item.trail_count is not None)

    def _tell_item(self, item: Item, *, rear: bool) -> None:
        message = ItemMessage(
            plc_index=item.plc_index,
            eye=self._config.photo_eye.name,
            edge="TRAIL" if rear else "LEAD",
            lead_cnt=item.lead_count % WRAP,
            trail_cnt=item.trail_count % WRAP if rear and item.trail_count is not None else None,
            ts=self._stamp(),
        )
        self._send(self._topics.plc_item, message)

    def weights(self) -> None:
        """Tell what the scale has weighed since it was last asked."""
        if self._scale is not None:
            for message in self._scale.weighed(self._world, self._program, ts=self._stamp()):
                self._send(self._topics.scan_read, message)

    def confirm(self, arrival: Arrival) -> None:
        """Tell where a decided item arrived; one message for all that lies in it."""
        parcel = self._world.traffic.parcels[arrival.parcel]
        mark = "" if arrival.lane == parcel.lane else f", should be in {parcel.lane}"
        log.info("parcel %s %s landed in %s%s", parcel.number, parcel.class_name, arrival.lane, mark)
        item = self._program.items[self._world.stretch_by_parcel[arrival.parcel]]
        straight = self._config.straight_on
        recirculates = straight.recirculates and arrival.lane == straight.id
        self._confirm(item, arrival.lane, item.confirms(arrival.lane, recirculates=recirculates))

    def missing(self, item: Item) -> None:
        """Tell that no lane's eye saw an item in time: it is stuck somewhere, or somebody took it."""
        log.warning("item %s is overdue at every lane's eye: jam", item.plc_index)
        self._confirm(item, None, ConfirmResult.JAM)

    def _confirm(self, item: Item, lane: str | None, result: ConfirmResult) -> None:
        if item.decision is None or item.stretch in self._confirmed or self._fault("no_confirms"):
            return
        self._confirmed.add(item.stretch)
        message = ConfirmMessage(
            parcel_uid=item.decision.parcel_uid,
            plc_index=item.plc_index,
            lane_cmd=item.decision.lane,
            lane_act=lane,
            result=result,
            enc_cnt=self._world.count % WRAP,
            ts=self._stamp(),
        )
        self._send(self._topics.plc_confirm, message)

    def acknowledge(self, message: DecisionMessage, result: AckResult) -> None:
        """Answer a decision."""
        item: Item | None = self._program.item_of_uid.get(message.parcel_uid)
        self._answer(
            AckMessage(
                boot_id=message.boot_id,
                seq=message.seq,
                parcel_uid=message.parcel_uid,
                rev=message.rev,
                result=result,
                plc_index=message.plc_index if item is None else item.plc_index,
                enc_cnt=self._world.count % WRAP,
                ts=self._stamp(),
            )
        )

    def refuse(self, payload: bytes, result: AckResult) -> None:
        """Answer a decision that cannot be read, as far as it says which one it is."""
        try:
            data = json.loads(payload)
            answer = AckMessage(result=result, **{key: data[key] for key in ("boot_id", "seq", "parcel_uid", "rev")})
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        self._answer(answer)

    def goodbye(self) -> None:
        """Leave nothing retained that could be taken for a running line."""
        self._tell_line("STOPPED", "sim-plc ended")
        for lane in (*self._world.lanes, self._config.straight_on.id):
            self._tell_lane(lane, LaneStatus.DISABLED, None)

    def _answer(self, answer: AckMessage) -> None:
        self.answered[answer.result.value] += 1
        if not self._fault("no_acks"):
            self._send(self._topics.plc_ack, answer)

    def _tell_lanes(self) -> None:
        for lane, stock in self._world.lanes.items():
            half = LaneStatus.HALF if stock.parcels >= stock.capacity / 2.0 else LaneStatus.OPEN
            self._tell_lane(lane, LaneStatus.FULL if stock.full else half, stock.fill_percent)
        self._tell_lane(self._config.straight_on.id, LaneStatus.OPEN, None)

    def _tell_lane(self, lane: str, status: LaneStatus, fill_percent: float | None) -> None:
        topic = self._topics.plc_lane_state(lane)
        if self._told.get(topic) != status.value:
            message = LaneMessage(lane=lane, state=status, fill_pct=fill_percent, ts=self._stamp())
            self._keep(topic, message, news=status.value)

    def _tell_line(self, packml: str, cause: str | None) -> None:
        topic = self._topics.plc_line_state
        news = f"{packml} {cause}"
        if self._told.get(topic) != news:
            message = LineMessage(packml=packml, v_set_mm_s=self._fastest_mm_s, cause=cause, ts=self._stamp())
            self._keep(topic, message, news=news)

    def _is_due(self, what: str, now_ns: int, period_ns: int) -> bool:
        due = now_ns >= self._due_ns[what]
        if due:
            self._due_ns[what] = max(self._due_ns[what], now_ns - period_ns) + period_ns
        return due

    def _keep(self, topic: str, message: Message, *, news: str) -> None:
        if self._send(topic, message, retain=True):
            self._told[topic] = news

    def _send(self, topic: str, message: Message, *, qos: int = 1, retain: bool = False) -> bool:
        connection = self._session.connection
        return (
            connection is not None and connection.publish(topic, message.to_json(), qos=qos, retain=retain) is not None
        )

    def _fault(self, kind: Kind) -> bool:
        return active(self._config.faults, kind, self._world.now_s) is not None

    def _stamp(self, at_ns: int | None = None) -> str:
        return rfc3339(self._clock.wall(self._clock.now_ns() if at_ns is None else at_ns))
