"""The host is asked once about each code of each parcel in view, and only while the plan wants to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from edge_sorter.clock import FileClock
from edge_sorter.plc.messages import RouteAskMessage
from edge_sorter.service.host_asker import HostAsker
from edge_sorter.types import Code, Detections, Parcel, Step, Track, TrackState


@dataclass
class Host:
    """Remembers what it is asked, and can be out of reach."""

    reachable: bool = True
    asked: list[str] = field(default_factory=list)

    def ask_host(self, message: RouteAskMessage) -> bool:
        if self.reachable:
            self.asked.append(message.code)
        return self.reachable


def asker(host: Host, *, gives: object = "depot") -> HostAsker:
    router = SimpleNamespace(plan=SimpleNamespace(host=gives))
    return HostAsker(router, host, clock=FileClock(), boot_id="b1", replay=False)


def parcel(track_id: int, *texts: str, state: TrackState = TrackState.CONFIRMED) -> Parcel:
    track = Track(
        track_id=track_id,
        state=state,
        captured_ns=0,
        xyxy=(0.0, 0.0, 10.0, 10.0),
        velocity_px_s=(0.0, 0.0),
        measured=True,
        confidence=0.9,
        class_id=0,
        hits=3,
        first_seen_ns=0,
        last_seen_ns=0,
        in_view_at_start=False,
    )
    return Parcel(track, "carton", 1.0, codes=tuple(Code("Code128", text) for text in texts))


def look(asks: HostAsker, *parcels: Parcel) -> None:
    asks.on_step(Step(0, 0, None, Detections.empty(0), (), (), parcels, ()), (), 0)


def test_each_code_of_each_parcel_is_asked_about_once() -> None:
    host = Host()
    asks = asker(host)
    look(asks, parcel(1))
    look(asks, parcel(1, "A"))
    look(asks, parcel(1, "A", "B"), parcel(2, "A"))
    look(asks, parcel(1, "A", "B"), parcel(2, "A"))
    assert host.asked == ["A", "B", "A"]


def test_out_of_reach_it_is_asked_again_and_about_what_has_gone_not_at_all() -> None:
    host = Host(reachable=False)
    asks = asker(host)
    look(asks, parcel(1, "A"), parcel(2, "B"))
    host.reachable = True
    look(asks, parcel(1, "A"), parcel(2, "B", state=TrackState.ENDED))
    assert host.asked == ["A"]


def test_a_plan_that_asks_no_host() -> None:
    host = Host()
    look(asker(host, gives=None), parcel(1, "A"))
    assert host.asked == []
