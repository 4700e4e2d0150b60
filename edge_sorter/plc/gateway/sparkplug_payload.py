"""Sparkplug B payloads: the part of the Protocol Buffers schema that a mirror needs, and metrics in and out of it.

The schema (Eclipse Sparkplug 3.0, chapter 6, "Payloads") is written down here as field numbers, because the Python
packages that carry it want paho-mqtt below 2 or protobuf below 5, and their code is generated for one protobuf only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from enum import IntEnum
from typing import Any

from edge_sorter.errors import MessageError, PlcError
from edge_sorter.plc.gateway.tags import Kind, Tag

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
MAX_BYTES = 16 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class DataType(IntEnum):
    """Numbers of the data types that are used here."""

    INT64 = 4
    UINT64 = 8
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13


_TYPES = {
    Kind.FLAG: (DataType.BOOLEAN, "boolean_value"),
    Kind.COUNT: (DataType.INT64, "long_value"),
    Kind.NUMBER: (DataType.DOUBLE, "double_value"),
    Kind.TEXT: (DataType.STRING, "string_value"),
    Kind.TIME: (DataType.DATETIME, "long_value"),
}
_PAYLOAD_FIELDS = (("timestamp", 1, "UINT64"), ("seq", 3, "UINT64"))
_METRIC_FIELDS = (
    ("name", 1, "STRING"),
    ("alias", 2, "UINT64"),
    ("timestamp", 3, "UINT64"),
    ("datatype", 4, "UINT32"),
    ("is_null", 7, "BOOL"),
)
_VALUE_FIELDS = (
    ("int_value", 10, "UINT32"),
    ("long_value", 11, "UINT64"),
    ("float_value", 12, "FLOAT"),
    ("double_value", 13, "DOUBLE"),
    ("boolean_value", 14, "BOOL"),
    ("string_value", 15, "STRING"),
)


class Payloads:
    """Makes and reads payloads; needs the optional package protobuf."""

    def __init__(self) -> None:
        """Build the message type.

        Raises:
            PlcError: protobuf is not installed.
        """
        self._payload = _message_class()

    def encode(
        self,
        tags: Mapping[str, Tag],
        *,
        at: datetime,
        seq: int | None,
        bd_seq: int | None = None,
        rebirth: bool = False,
    ) -> bytes:
        """Return the bytes of one message.

        Args:
            tags: Metrics, in order.
            at: Timestamp of the message, UTC.
            seq: 0 to 255, or None in a death.
            bd_seq: Number of the connection, in births and deaths of the edge node.
            rebirth: Whether to offer the command that asks for a rebirth.
        """
        payload = self._payload(timestamp=_milliseconds(at))
        if seq is not None:
            payload.seq = seq
        stamp = _milliseconds(at)
        if bd_seq is not None:
            payload.metrics.add(name="bdSeq", timestamp=stamp, datatype=DataType.UINT64, long_value=bd_seq)
        if rebirth:
            payload.metrics.add(name=REBIRTH, timestamp=stamp, datatype=DataType.BOOLEAN, boolean_value=False)
        for path, tag in tags.items():
            datatype, field = _TYPES[tag.kind]
            metric = payload.metrics.add(name=path, timestamp=_milliseconds(tag.at), datatype=datatype)
            if tag.value is None:
                metric.is_null = True
            else:
                setattr(metric, field, _wire(tag))
        data: bytes = payload.SerializeToString()
        return data

    def commands(self, data: bytes) -> dict[str, bool]:
        """Return the boolean metrics of a command by name; a host may leave the data type out.

        Raises:
            MessageError: The bytes are no payload.
        """
        from google.protobuf.message import DecodeError

        if len(data) > MAX_BYTES:
            raise MessageError("TOO_LARGE", f"Sparkplug command of {len(data)} bytes is over the limit of {MAX_BYTES}")
        payload = self._payload()
        try:
            payload.ParseFromString(data)
        except (DecodeError, ValueError):
            raise MessageError("NOT_SPARKPLUG", "Sparkplug command is no payload of version B") from None
        return {metric.name: bool(metric.boolean_value) for metric in payload.metrics}


def changed(before: Mapping[str, Tag], after: Mapping[str, Tag]) -> dict[str, Tag]:
    """Return the tags that are worth a message: other than before, numbers by more than 2 % (report by exception)."""
    return {path: tag for path, tag in after.items() if path not in before or _differs(before[path], tag)}


def _differs(before: Tag, after: Tag) -> bool:
    old, new = before.value, after.value
    if isinstance(old, float) and isinstance(new, float):
        return abs(new - old) > max(0.05, 0.02 * abs(old))
    return old != new


def _wire(tag: Tag) -> Any:
    if isinstance(tag.value, datetime):
        return _milliseconds(tag.value)
    # Negative whole numbers travel as their two's complement.
    return tag.value % 2**64 if tag.kind is Kind.COUNT and isinstance(tag.value, int) else tag.value


def _milliseconds(at: datetime) -> int:
    return max(0, round((at - EPOCH).total_seconds() * 1e3))


def _message_class() -> Any:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        raise PlcError("the Sparkplug mirror needs protobuf: pip install 'edge-sorter[sparkplug]'") from None
    proto = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="edge_sorter/sparkplug_b.proto", package="edge_sorter.sparkplug")
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    metric.oneof_decl.add(name="value")

    def add(message: Any, fields: Iterable[tuple[str, int, str]], **more: Any) -> None:
        for name, number, kind in fields:
            message.field.add(
                name=name, number=number, type=getattr(proto, f"TYPE_{kind}"), label=proto.LABEL_OPTIONAL, **more
            )

    add(payload, _PAYLOAD_FIELDS)
    add(metric, _METRIC_FIELDS)
    add(metric, _VALUE_FIELDS, oneof_index=0)
    payload.field.add(
        name="metrics",
        number=2,
        type=proto.TYPE_MESSAGE,
        label=proto.LABEL_REPEATED,
        type_name=".edge_sorter.sparkplug.Payload.Metric",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edge_sorter.sparkplug.Payload"))
