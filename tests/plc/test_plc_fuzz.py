"""Whatever arrives on whatever topic: nothing breaks, nothing piles up, and each message is taken or counted once."""

from __future__ import annotations

import json
from typing import Any

from by_schema import ANYTHING, values_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import SystemClock
from edge_sorter.config import LineSection
from edge_sorter.event_record import event_from, event_record
from edge_sorter.plc.inbound import INBOUND
from edge_sorter.plc.inbox import Inbox
from edge_sorter.plc.line_events import line_event
from edge_sorter.plc.topics import Topics

TOPICS = Topics(LineSection())
KINDS = {kind: values_of(model.model_json_schema()) for kind, model in INBOUND.items()}


def topic_of(kind: str, content: Any) -> str:
    lane = content.get("lane") if isinstance(content, dict) else None
    return f"{TOPICS.prefix}/{kind.replace('+', lane if isinstance(lane, str) else 'L1')}"


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, bytes]:
    """One that fits its schema, one with a part of it broken, or bytes."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    content = draw(KINDS[kind])
    how = draw(st.sampled_from(("whole", "whole", "part lost", "part changed", "another topic", "bytes")))
    topic, name = topic_of(kind, content), draw(st.sampled_from(sorted(content) or ["n"]))
    if how == "part lost":
        content.pop(name, None)
    elif how == "part changed":
        content[name] = draw(ANYTHING)
    elif how == "another topic":
        topic = f"{TOPICS.prefix}/{draw(st.text(max_size=20))}"
    return topic, draw(st.binary(max_size=300)) if how == "bytes" else json.dumps(content).encode()


def arrive(inbox: Inbox, topic: str, payload: bytes, *, retained: bool) -> None:
    message = MQTTMessage(topic=topic.encode(errors="surrogatepass"))
    message.payload, message.retain = payload, retained
    inbox.hear(message)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(told=st.lists(st.tuples(messages(), st.booleans()), max_size=8))
def test_each_message_is_taken_or_counted_once_and_what_is_taken_makes_an_event(told) -> None:
    clock = SystemClock()
    inbox = Inbox(TOPICS, clock=clock)
    for (topic, payload), retained in told:
        arrive(inbox, topic, payload, retained=retained)
    taken = inbox.take()
    assert len(taken) + inbox.rejected.total() == len(told)
    assert all(code.isupper() for code in inbox.rejected)
    for heard in taken:
        event = line_event(heard.message, at_ns=heard.at_ns, clock=clock)
        assert event is None or event_from(json.loads(json.dumps(event_record(event)))) == event
