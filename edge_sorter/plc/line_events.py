"""A checked message of the line becomes the event that the pipeline hears; pure functions of what they are given.

Acknowledgements, confirmations, heartbeats and commands are the link's own business and are no events.
"""

from __future__ import annotations

from datetime import datetime, timezone

from edge_sorter.clock import Clock
from edge_sorter.events import (
    EncoderCount,
    HostData,
    LaneReport,
    LineEvent,
    LineReport,
    PlanOffer,
    PlcItem,
    ScannerRead,
)
from edge_sorter.plc.inbound import (
    EncoderMessage,
    ItemMessage,
    LaneMessage,
    LineMessage,
    PlanMessage,
    RouteMessage,
    ScanMessage,
)
from edge_sorter.plc.messages import Message
from edge_sorter.types import CONDITIONS


def line_event(message: Message, *, at_ns: int, clock: Clock) -> LineEvent | None:
    """Return the event a message tells, or None where it tells none.

    Args:
        message: As the border let it in.
        at_ns: When it arrived, on the axis of `captured_ns`.
        clock: Translates a plan's start from UTC to that axis; its present is not asked.
    """
    event: LineEvent | None = None
    if isinstance(message, EncoderMessage):
        event = EncoderCount(at_ns, message.cnt, message.mm_per_cnt)
    elif isinstance(message, ItemMessage):
        event = PlcItem(at_ns, message.plc_index, message.lead_cnt, message.trail_cnt, message.eye)
    elif isinstance(message, LaneMessage):
        event = LaneReport(at_ns, message.lane, message.state, message.fill_pct)
    elif isinstance(message, LineMessage):
        speed = message.v_set_mm_s
        event = LineReport(at_ns, message.packml, message.mode, speed, message.batch, message.cause)
    elif isinstance(message, ScanMessage):
        event = _scanner_read(message, at_ns)
    elif isinstance(message, RouteMessage):
        known, keys = message.result == "FOUND", tuple(sorted(message.keys.items()))
        event = HostData(at_ns, message.code, known, keys, _conditions(message.flags))
    elif isinstance(message, PlanMessage):
        starts_ns = None if message.valid_from is None else _on_axis(message.valid_from, at_ns, clock)
        document = {"id": message.id, "rev": message.rev, **message.plan}
        event = PlanOffer(at_ns, document, message.activate, starts_ns, sha256=message.sha256)
    return event


def sent_ns(message: EncoderMessage, *, at_ns: int, clock: Clock) -> int | None:
    """Return the sender's own stamp of a sample on the axis of `captured_ns`, or None without one.

    Args:
        message: The sample.
        at_ns: When it arrived.
        clock: Translates UTC to that axis.
    """
    try:
        return None if message.ts is None else _on_axis(message.ts, at_ns, clock)
    except ValueError:  # a thirteenth month
        return None


def _scanner_read(message: ScanMessage, at_ns: int) -> ScannerRead:
    codes = tuple((code.aim or "", code.text) for code in message.codes)
    return ScannerRead(
        at_ns,
        message.scanner,
        message.plc_index,
        message.enc_cnt,
        codes,
        message.weight_g,
        message.dim_mm,
        _conditions(message.flags),
    )


def _conditions(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Return those flags that somebody else may raise; a newer sender may know more of them."""
    return tuple(sorted({flag for flag in flags if flag in CONDITIONS}))


def _on_axis(timestamp: str, at_ns: int, clock: Clock) -> int:
    """Translate UTC to the axis of `captured_ns`; one clock anchors both, so any known point of it will do."""
    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    since = moment - clock.wall(at_ns)
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return at_ns + micros * 1000 + int(fraction.ljust(9, "0") or 0)
