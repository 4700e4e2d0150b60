"""The small words of a sort plan file: names, lists that may be a single text, patterns, times of the day."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from edge_sorter.sort.route_keys import normal
from edge_sorter.sort.starts import parse_start


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _readable_starts(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        parse_start(normal(pattern))
    return patterns


def _clock_time(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('write it as "18:30", with quotes')
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Text = Annotated[str, Field(min_length=1, max_length=128)]
Strings = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
Targets = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1, max_length=32)]
Starts = Annotated[
    tuple[Text, ...], BeforeValidator(_listed), AfterValidator(_readable_starts), Field(min_length=1, max_length=1000)
]
ClockTime = Annotated[str, AfterValidator(_clock_time)]
