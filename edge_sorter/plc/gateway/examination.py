"""The rules that a gateway is examined by, one function each: say something to it, look at what it answers.

Contract: every check leaves the gateway as it found it, ready for the next; the order is that of `CHECKS`, because the
last one makes everything said before it an older boot's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sorter.clock import stopwatch_ns
from edge_sorter.plc.gateway.played_sorter import ACK_S, PlayedSorter
from edge_sorter.plc.inbound import AckResult
from edge_sorter.plc.messages import AppState
from edge_sorter.types import Action

SILENCE_S = 1.5
FIRST_CONTACT_S = 10.0
COME_BACK_S = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule and whether it is kept: "ok", "fail" or "skip"."""

    rule: str
    verdict: str
    seen: str

    def as_dict(self) -> dict[str, str]:
        """Return it for JSON."""
        return {"rule": self.rule, "verdict": self.verdict, "seen": self.seen}


def _finding(rule: str, kept: bool, seen: str) -> Finding:
    return Finding(rule, "ok" if kept else "fail", seen)


def _word(result: AckResult | None) -> str:
    return "no answer" if result is None else result.value


def heartbeat(sorter: PlayedSorter) -> Finding:
    """Look at the gateway's heartbeat, before anything is decided."""
    rule = "beats at least 5 times a second on plc/hb, and echoes our newest counter as peer_n"
    if not sorter.wait(FIRST_CONTACT_S, lambda: any(beat.peer_n for beat, _ in sorter.heartbeats)):
        seen = "no heartbeat" if not sorter.heartbeats else "peer_n never came"
        return _finding(rule, False, f"{seen} within {FIRST_CONTACT_S:g} s")
    first = len(sorter.heartbeats)
    sorter.wait(2.0)
    rate = (len(sorter.heartbeats) - first) / 2.0
    behind = sorter.n - (sorter.heartbeats[-1][0].peer_n or 0)
    return _finding(rule, rate >= 4.5 and behind <= 5, f"{rate:.1f} a second, {behind} of our beats behind")


def _accepts(sorter: PlayedSorter, lane: str) -> Finding:
    began_ns = stopwatch_ns()
    message = sorter.decide(sorter.decision(lane=lane))
    result = sorter.answer(message)
    took_ms = (stopwatch_ns() - began_ns) / 1e6
    return _finding(
        "accepts a decision that is in time", result is AckResult.ACCEPTED, f"{_word(result)} after {took_ms:.0f} ms"
    )


def _duplicate(sorter: PlayedSorter, lane: str) -> Finding:
    message = sorter.decide(sorter.decision(lane=lane))
    first = sorter.answer(message)
    sorter.decide(message)
    second = sorter.answer(message, nth=2)
    return _finding(
        "answers a repetition with DUPLICATE and acts once",
        (first, second) == (AckResult.ACCEPTED, AckResult.DUPLICATE),
        f"{_word(first)}, then {_word(second)}",
    )


def _conflict(sorter: PlayedSorter, lane: str) -> Finding:
    message = sorter.decide(sorter.decision(lane=lane))
    sorter.answer(message)
    other = sorter.decision(lane=lane, parcel_uid=message.parcel_uid, action=Action.PASS)
    sorter.decide(other)
    result = sorter.answer(other)
    return _finding(
        "refuses other content under a key that it has taken (boot_id, parcel_uid, rev)",
        result not in (None, AckResult.ACCEPTED, AckResult.DUPLICATE),
        _word(result),
    )


def _revisions(sorter: PlayedSorter, lane: str) -> Finding:
    first = sorter.decide(sorter.decision(lane=lane))
    sorter.answer(first)
    newer = sorter.decide(sorter.decision(lane=lane, parcel_uid=first.parcel_uid, rev=2))
    taken = sorter.answer(newer)
    older = sorter.decide(sorter.decision(lane=lane, parcel_uid=first.parcel_uid, rev=1))
    refused = sorter.answer(older)
    kept = taken is AckResult.ACCEPTED and refused not in (None, AckResult.ACCEPTED)
    return _finding(
        "takes a higher revision and not a lower one after it", kept, f"rev 2 {_word(taken)}, rev 1 {_word(refused)}"
    )


def _late(sorter: PlayedSorter, lane: str) -> Finding:
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane, in_s=-0.2)))
    return _finding("refuses a decision after its deadline with LATE", result is AckResult.LATE, _word(result))


def _late_by_count(sorter: PlayedSorter, lane: str) -> Finding:
    rule = "believes the encoder before the clock: a deadline count that has passed is LATE, one ahead is not"
    if sorter.count is None:
        return Finding(rule, "skip", "the gateway publishes no encoder on plc/enc")
    behind = sorter.decision(lane=lane, deadline_count=(sorter.count - 1000) % 2**32)
    passed = sorter.answer(sorter.decide(behind))
    ahead = sorter.decision(lane=lane, in_s=-5.0, deadline_count=(sorter.count + 1_000_000) % 2**32)
    coming = sorter.answer(sorter.decide(ahead))
    kept = passed is AckResult.LATE and coming is AckResult.ACCEPTED
    return _finding(rule, kept, f"passed: {_word(passed)}, ahead: {_word(coming)}")


def _replay(sorter: PlayedSorter, lane: str) -> Finding:
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane, replay=True)))
    return _finding("refuses a replayed decision", result is not AckResult.ACCEPTED, _word(result))


def _unknown_major(sorter: PlayedSorter, lane: str) -> Finding:
    message = sorter.decision(lane=lane)
    sorter.send(sorter.topics.decision, message.to_json().replace(b"decision/1", b"decision/9"))
    result = sorter.answer(message)
    return _finding("refuses a schema of another major version", result is not AckResult.ACCEPTED, _word(result))


def _unknown_fields(sorter: PlayedSorter, lane: str) -> Finding:
    message = sorter.decision(lane=lane)
    sorter.send(sorter.topics.decision, message.to_json()[:-1] + b',"new_in_1_1":{"a":[1]}}')
    result = sorter.answer(message)
    return _finding("ignores fields that it does not know", result is AckResult.ACCEPTED, _word(result))


def _garbage(sorter: PlayedSorter, lane: str) -> Finding:
    for payload in (b"", b"\xff\xfe", b"[" * 20_000, b"{}", b"null", b'{"seq":1e999}'):
        sorter.send(sorter.topics.decision, payload)
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane)))
    return _finding(
        "survives garbage on the decision topic", result is AckResult.ACCEPTED, f"after it: {_word(result)}"
    )


def _burst(sorter: PlayedSorter, lane: str) -> Finding:
    sent = [sorter.decide(sorter.decision(lane=lane)) for _ in range(16)]
    results = [sorter.answer(message, seconds=2 * ACK_S) for message in sent]
    good = sum(result is AckResult.ACCEPTED for result in results)
    return _finding(
        "takes 16 decisions at once (a window, not one by one)", good == len(sent), f"{good} of 16 accepted"
    )


def _stale_boot(sorter: PlayedSorter, lane: str) -> Finding:
    old = sorter.boot
    sorter.boot = "CONFORM2"
    sorter.say(AppState.RUNNING)
    new = sorter.answer(sorter.decide(sorter.decision(lane=lane)))
    stale = sorter.answer(sorter.decide(sorter.decision(lane=lane, boot_id=old, parcel_uid=f"{old}-again")))
    kept = new is AckResult.ACCEPTED and stale not in (None, AckResult.ACCEPTED)
    return _finding(
        "after a restart takes the new boot and refuses the old one", kept, f"new {_word(new)}, old {_word(stale)}"
    )


def _hold(sorter: PlayedSorter, lane: str) -> Finding:
    sorter.say(AppState.HOLD)
    sorter.wait(0.3)
    held = sorter.answer(sorter.decide(sorter.decision(lane=lane)), seconds=0.5)
    sorter.say(AppState.RUNNING)
    after = _once_back(sorter, lane)
    kept = held is not AckResult.ACCEPTED and after is AckResult.ACCEPTED
    return _finding("acts on nothing while our state is HOLD", kept, f"in HOLD {_word(held)}, after it {_word(after)}")


def _silence(sorter: PlayedSorter, lane: str) -> Finding:
    sorter.beating = False
    sorter.wait(SILENCE_S)
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane)), seconds=0.5)
    sorter.beating = True
    after = _once_back(sorter, lane)
    kept = result is not AckResult.ACCEPTED and after is AckResult.ACCEPTED
    return _finding(
        f"falls back to its default lane after {SILENCE_S:g} s without our heartbeat, and comes back",
        kept,
        f"in silence {_word(result)}, after it {_word(after)}",
    )


def _once_back(sorter: PlayedSorter, lane: str) -> AckResult | None:
    """Return what a gateway that may act again answers, which it is given a moment to notice."""
    result: AckResult | None = None
    began_ns = stopwatch_ns()
    while result is not AckResult.ACCEPTED and stopwatch_ns() - began_ns < COME_BACK_S * 1e9:
        sorter.wait(0.3)
        result = sorter.answer(sorter.decide(sorter.decision(lane=lane)))
    return result


def well_formed(sorter: PlayedSorter) -> Finding:
    """Look at everything the gateway has said, when all is over."""
    rule = "sends only messages that satisfy the schemas"
    return _finding(rule, not sorter.bad, sorter.bad[0] if sorter.bad else f"{len(sorter.acks)} acknowledgements read")


CHECKS: tuple[Callable[[PlayedSorter, str], Finding], ...] = (
    _accepts,
    _duplicate,
    _conflict,
    _revisions,
    _late,
    _late_by_count,
    _replay,
    _unknown_major,
    _unknown_fields,
    _garbage,
    _burst,
    _hold,
    _silence,
    _stale_boot,
)
