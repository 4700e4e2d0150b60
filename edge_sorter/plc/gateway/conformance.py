"""Tells the author of a gateway whether it keeps the contract: speaks as the sorter, rightly and wrongly, and listens.

Contract: `examine` needs nothing of the gateway but its MQTT side. Every finding names the rule and what was seen. What
cannot be seen from here (that a retained decision is refused after a reconnect, that the PLC's diverter moved) is not
claimed.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock, rfc3339, stopwatch_ns
from edge_sorter.errors import MessageError, PlcError
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.decode import decode_inbound
from edge_sorter.plc.gateway.settings import GatewayConfig
from edge_sorter.plc.inbound import AckMessage, AckResult, EncoderMessage, PlcHeartbeatMessage
from edge_sorter.plc.messages import (
    AppState,
    Deadline,
    DecisionMessage,
    HeartbeatMessage,
    Message,
    Position,
    StateMessage,
)
from edge_sorter.plc.session import Session
from edge_sorter.plc.topics import Topics
from edge_sorter.types import Action

ACK_S = 1.0
"""How long we wait for an answer; 0.1 s is what a line wants, and is told beside the finding."""
SILENCE_S = 1.5
BEAT_S = 0.1
FIRST_CONTACT_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule and whether it is kept: "ok", "fail" or "skip"."""

    rule: str
    verdict: str
    seen: str

    def as_dict(self) -> dict[str, str]:
        """Return it for JSON."""
        return {"rule": self.rule, "verdict": self.verdict, "seen": self.seen}


class _Sorter:
    """A sorter's side of the topics, driven by hand; it beats whenever it waits."""

    def __init__(self, config: GatewayConfig, clock: Clock) -> None:
        self.clock = clock
        self.topics = Topics(config.line)
        self.boot = "CONFORM1"
        self.seq = 0
        self.beating = True
        self.acks: list[tuple[AckMessage, int]] = []
        self.heartbeats: list[tuple[PlcHeartbeatMessage, int]] = []
        self.count: int | None = None
        self.bad: list[str] = []
        self.n = 0
        self._next_beat_ns = 0
        self._inbox: queue.Queue[MQTTMessage] = queue.Queue()
        prefix = self.topics.prefix
        self.session = Session(
            config.mqtt,
            Identity(f"edge-sorter-conformance-{config.line.line}", subscriptions=(f"{prefix}/plc/#", self.topics.hb)),
            on_message=self._inbox.put,
        )
        self.foreign_beats = 0

    def send(self, topic: str, message: Message | bytes, *, qos: int = 1, retain: bool = False) -> None:
        connection = self.session.connection
        if connection is None:
            raise PlcError("the broker was lost in the middle of the examination; begin again")
        payload = message if isinstance(message, bytes) else message.to_json()
        connection.publish(topic, payload, qos=qos, retain=retain)

    def say(self, state: AppState) -> None:
        message = StateMessage(boot_id=self.boot, state=state, cause="conformance", ts=self.now())
        self.send(self.topics.state, message, retain=True)

    def decision(
        self, *, lane: str, in_s: float = 5.0, deadline_count: int | None = None, **more: Any
    ) -> DecisionMessage:
        self.seq += 1
        now = self.clock.wall(self.clock.now_ns())
        fields = {
            "boot_id": self.boot,
            "seq": self.seq,
            "parcel_uid": f"{self.boot}-{self.seq}",
            "rev": 0,
            "lane": lane,
            "action": Action.DIVERT,
            "reason": "PLAN_MATCH",
            "pos": Position(ref="SPEED"),
            "t_capture": rfc3339(now),
            "t_publish": rfc3339(now),
            "deadline": Deadline(ts=rfc3339(now + timedelta(seconds=in_s)), enc_cnt=deadline_count),
            "replay": False,
        }
        return DecisionMessage.model_validate(fields | more)

    def decide(self, message: DecisionMessage) -> DecisionMessage:
        self.send(self.topics.decision, message)
        return message

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Work for so long, or until something is true; tell whether it is."""
        end_ns = stopwatch_ns() + round(seconds * 1e9)
        while not until():
            if stopwatch_ns() >= end_ns:
                return False
            self.session.poll()
            now_ns = self.clock.now_ns()
            if self.beating and now_ns >= self._next_beat_ns:
                self._next_beat_ns = now_ns + round(BEAT_S * 1e9)
                self.n += 1
                beat = HeartbeatMessage(boot_id=self.boot, n=self.n, ts=self.now(), state=AppState.RUNNING)
                self.send(self.topics.hb, beat, qos=0)
            self._hear()
        return True

    def answer(self, message: DecisionMessage, *, nth: int = 1, seconds: float = ACK_S) -> AckResult | None:
        """Wait for the nth answer to a message of this sequence number and boot."""

        def found() -> list[AckMessage]:
            key = (message.boot_id, message.seq)
            return [ack for ack, _ in self.acks if (ack.boot_id, ack.seq) == key]

        self.wait(seconds, lambda: len(found()) >= nth)
        return found()[nth - 1].result if len(found()) >= nth else None

    def now(self) -> str:
        return rfc3339(self.clock.wall(self.clock.now_ns()))

    def _hear(self) -> None:
        try:
            received = self._inbox.get(timeout=0.005)
        except queue.Empty:
            return
        if received.topic == self.topics.hb:
            self.foreign_beats += b'"CONFORM' not in received.payload
            return
        try:
            _, message = decode_inbound(
                bytes(received.payload), topic=received.topic, prefix=self.topics.prefix, retained=received.retain
            )
        except MessageError as error:
            self.bad.append(str(error))
            return
        if isinstance(message, AckMessage):
            self.acks.append((message, stopwatch_ns()))
        elif isinstance(message, PlcHeartbeatMessage):
            self.heartbeats.append((message, stopwatch_ns()))
        elif isinstance(message, EncoderMessage):
            self.count = message.cnt


def examine(config: GatewayConfig, *, lane: str, clock: Clock) -> list[Finding]:
    """Examine the gateway that listens to this line.

    Args:
        config: Line and broker of the gateway under examination.
        lane: A lane that it knows.
        clock: The present.

    Raises:
        PlcError: The broker cannot be reached, or a real sorter speaks on these topics.
    """
    sorter = _Sorter(config, clock)
    sorter.session.start()
    try:
        sorter.beating = False
        sorter.wait(1.0)
        if sorter.foreign_beats:
            raise PlcError(
                f"a sorter is running on {sorter.topics.prefix}; stop it first, and never do this with parcels"
            )
        sorter.beating = True
        sorter.say(AppState.RUNNING)
        findings = [_heartbeat(sorter)]
        if findings[0].verdict == "fail" and not sorter.heartbeats:
            return findings
        for check in CHECKS:
            findings.append(check(sorter, lane))
        findings.append(_well_formed(sorter))
        return findings
    finally:
        sorter.beating = False
        if sorter.session.connection is not None:
            sorter.say(AppState.OFFLINE)
        sorter.session.close(0.5)


def _finding(rule: str, kept: bool, seen: str) -> Finding:
    return Finding(rule, "ok" if kept else "fail", seen)


def _word(result: AckResult | None) -> str:
    return "no answer" if result is None else result.value


def _heartbeat(sorter: _Sorter) -> Finding:
    rule = "beats at least 5 times a second on plc/hb, and echoes our newest counter as peer_n"
    if not sorter.wait(FIRST_CONTACT_S, lambda: any(beat.peer_n for beat, _ in sorter.heartbeats)):
        seen = "no heartbeat" if not sorter.heartbeats else "peer_n never came"
        return _finding(rule, False, f"{seen} within {FIRST_CONTACT_S:g} s")
    first = len(sorter.heartbeats)
    sorter.wait(2.0)
    rate = (len(sorter.heartbeats) - first) / 2.0
    behind = sorter.n - (sorter.heartbeats[-1][0].peer_n or 0)
    return _finding(rule, rate >= 4.5 and behind <= 5, f"{rate:.1f} a second, {behind} of our beats behind")


def _accepts(sorter: _Sorter, lane: str) -> Finding:
    began_ns = stopwatch_ns()
    message = sorter.decide(sorter.decision(lane=lane))
    result = sorter.answer(message)
    took_ms = (stopwatch_ns() - began_ns) / 1e6
    return _finding(
        "accepts a decision that is in time", result is AckResult.ACCEPTED, f"{_word(result)} after {took_ms:.0f} ms"
    )


def _duplicate(sorter: _Sorter, lane: str) -> Finding:
    message = sorter.decide(sorter.decision(lane=lane))
    first = sorter.answer(message)
    sorter.decide(message)
    second = sorter.answer(message, nth=2)
    return _finding(
        "answers a repetition with DUPLICATE and acts once",
        (first, second) == (AckResult.ACCEPTED, AckResult.DUPLICATE),
        f"{_word(first)}, then {_word(second)}",
    )


def _conflict(sorter: _Sorter, lane: str) -> Finding:
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


def _revisions(sorter: _Sorter, lane: str) -> Finding:
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


def _late(sorter: _Sorter, lane: str) -> Finding:
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane, in_s=-0.2)))
    return _finding("refuses a decision after its deadline with LATE", result is AckResult.LATE, _word(result))


def _late_by_count(sorter: _Sorter, lane: str) -> Finding:
    rule = "believes the encoder before the clock: a deadline count that has passed is LATE, one ahead is not"
    if sorter.count is None:
        return Finding(rule, "skip", "the gateway publishes no encoder on plc/enc")
    behind = sorter.decision(lane=lane, deadline_count=(sorter.count - 1000) % 2**32)
    passed = sorter.answer(sorter.decide(behind))
    ahead = sorter.decision(lane=lane, in_s=-5.0, deadline_count=(sorter.count + 1_000_000) % 2**32)
    coming = sorter.answer(sorter.decide(ahead))
    kept = passed is AckResult.LATE and coming is AckResult.ACCEPTED
    return _finding(rule, kept, f"passed: {_word(passed)}, ahead: {_word(coming)}")


def _replay(sorter: _Sorter, lane: str) -> Finding:
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane, replay=True)))
    return _finding("refuses a replayed decision", result is not AckResult.ACCEPTED, _word(result))


def _unknown_major(sorter: _Sorter, lane: str) -> Finding:
    message = sorter.decision(lane=lane)
    sorter.send(sorter.topics.decision, message.to_json().replace(b"decision/1", b"decision/9"))
    result = sorter.answer(message)
    return _finding("refuses a schema of another major version", result is not AckResult.ACCEPTED, _word(result))


def _unknown_fields(sorter: _Sorter, lane: str) -> Finding:
    message = sorter.decision(lane=lane)
    sorter.send(sorter.topics.decision, message.to_json()[:-1] + b',"new_in_1_1":{"a":[1]}}')
    result = sorter.answer(message)
    return _finding("ignores fields that it does not know", result is AckResult.ACCEPTED, _word(result))


def _garbage(sorter: _Sorter, lane: str) -> Finding:
    for payload in (b"", b"\xff\xfe", b"[" * 20_000, b"{}", b"null", b'{"seq":1e999}'):
        sorter.send(sorter.topics.decision, payload)
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane)))
    return _finding(
        "survives garbage on the decision topic", result is AckResult.ACCEPTED, f"after it: {_word(result)}"
    )


def _burst(sorter: _Sorter, lane: str) -> Finding:
    sent = [sorter.decide(sorter.decision(lane=lane)) for _ in range(16)]
    results = [sorter.answer(message, seconds=2 * ACK_S) for message in sent]
    good = sum(result is AckResult.ACCEPTED for result in results)
    return _finding(
        "takes 16 decisions at once (a window, not one by one)", good == len(sent), f"{good} of 16 accepted"
    )


def _stale_boot(sorter: _Sorter, lane: str) -> Finding:
    old = sorter.boot
    sorter.boot = "CONFORM2"
    sorter.say(AppState.RUNNING)
    new = sorter.answer(sorter.decide(sorter.decision(lane=lane)))
    stale = sorter.answer(sorter.decide(sorter.decision(lane=lane, boot_id=old, parcel_uid=f"{old}-again")))
    kept = new is AckResult.ACCEPTED and stale not in (None, AckResult.ACCEPTED)
    return _finding(
        "after a restart takes the new boot and refuses the old one", kept, f"new {_word(new)}, old {_word(stale)}"
    )


def _hold(sorter: _Sorter, lane: str) -> Finding:
    sorter.say(AppState.HOLD)
    sorter.wait(0.3)
    held = sorter.answer(sorter.decide(sorter.decision(lane=lane)), seconds=0.5)
    sorter.say(AppState.RUNNING)
    sorter.wait(0.3)
    after = sorter.answer(sorter.decide(sorter.decision(lane=lane)))
    kept = held is not AckResult.ACCEPTED and after is AckResult.ACCEPTED
    return _finding("acts on nothing while our state is HOLD", kept, f"in HOLD {_word(held)}, after it {_word(after)}")


def _silence(sorter: _Sorter, lane: str) -> Finding:
    sorter.beating = False
    sorter.wait(SILENCE_S)
    result = sorter.answer(sorter.decide(sorter.decision(lane=lane)), seconds=0.5)
    sorter.beating = True
    sorter.wait(0.5)
    after = sorter.answer(sorter.decide(sorter.decision(lane=lane)))
    kept = result is not AckResult.ACCEPTED and after is AckResult.ACCEPTED
    return _finding(
        f"falls back to its default lane after {SILENCE_S:g} s without our heartbeat, and comes back",
        kept,
        f"in silence {_word(result)}, after it {_word(after)}",
    )


def _well_formed(sorter: _Sorter) -> Finding:
    rule = "sends only messages that satisfy the schemas"
    return _finding(rule, not sorter.bad, sorter.bad[0] if sorter.bad else f"{len(sorter.acks)} acknowledgements read")


CHECKS: tuple[Callable[[_Sorter, str], Finding], ...] = (
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
