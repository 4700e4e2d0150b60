"""Codes in a sort plan: what a code must look like, and which route keys it gives."""

from __future__ import annotations

import re
from functools import cached_property

from pydantic import Field, field_validator, model_validator

from edge_sorter.sort.pattern_cost import too_costly
from edge_sorter.sort.plan_words import Name, Strings, Text
from edge_sorter.sort.route_keys import KEYS, gs1_elements, normal
from edge_sorter.sort.starts import Start
from edge_sorter.types import Code
from edge_sorter.yamlfile import Section


class CodeCondition(Section):
    """What one accepted code of the parcel must look like; everything given must hold for the same code."""

    symbology: Strings | None = None
    ai: str | None = Field(
        None, pattern=r"^[0-9]{2,4}$", description="GS1 application identifier; the rest is about its value"
    )
    prefix: Strings | None = None
    range: tuple[str, str] | None = Field(None, description="first and last allowed start of the code, equally long")
    regex: str | None = Field(None, min_length=1, max_length=256, description="matches the whole code")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        if regex is not None:
            try:
                re.compile(regex)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
            why = too_costly(regex)
            if why is not None:
                raise ValueError(why)
        return regex

    @field_validator("range")
    @classmethod
    def _range_is_ordered(cls, limits: tuple[str, str] | None) -> tuple[str, str] | None:
        if limits is not None and (len(limits[0]) != len(limits[1]) or not limits[0] or limits[0] > limits[1]):
            raise ValueError("give two equally long, non-empty starts of a code, the smaller one first")
        return limits

    @model_validator(mode="after")
    def _asks_something(self) -> CodeCondition:
        if (self.regex, self.prefix, self.range, self.symbology, self.ai) == (None,) * 5:
            raise ValueError("give at least one of regex, prefix, range, symbology, ai")
        return self

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return None if self.regex is None else re.compile(self.regex)

    @property
    def looks_at_text(self) -> bool:
        """Whether it asks for more than the symbology or the presence of an identifier."""
        return self.regex is not None or self.prefix is not None or self.range is not None

    @cached_property
    def range_starts(self) -> tuple[Start, ...] | None:
        """The range as starts."""
        return None if self.range is None else (Start(*self.range),)

    @cached_property
    def prefix_starts(self) -> tuple[Start, ...] | None:
        """The prefixes as starts."""
        return None if self.prefix is None else tuple(Start(prefix, prefix) for prefix in self.prefix)

    @property
    def starts(self) -> tuple[Start, ...] | None:
        """How a text that meets this must begin; None when anything may come first."""
        return self.range_starts or self.prefix_starts

    def match(self, code: Code) -> tuple[str, dict[str, str]] | None:
        """Return the text looked at and what the named groups of `regex` found in it, or None where it is not met."""
        if self.symbology is not None and code.symbology not in self.symbology:
            return None
        text: str | None = code.text if self.ai is None else gs1_elements(code.text).get(self.ai)
        if text is None or (self.prefix is not None and not text.startswith(self.prefix)):
            return None
        if self.range_starts is not None and not self.range_starts[0].holds(text):
            return None
        if self._pattern is None:
            return text, {}
        found = self._pattern.fullmatch(text)
        return None if found is None else (text, {k: v for k, v in found.groupdict().items() if v is not None})


class CodeEntry(CodeCondition):
    """How to read a code: where it fits, its named groups, `key` and `set` become route keys of the parcel."""

    id: Name
    key: str | None = Field(None, description="the whole text, or the value of `ai`, is this key")
    fixed: dict[str, Text] = Field(default_factory=dict, alias="set", description="keys that such a code stands for")

    @cached_property
    def gives(self) -> frozenset[str]:
        """The route keys it may give."""
        groups = self._pattern.groupindex if self._pattern is not None else {}
        return frozenset({*groups, *self.fixed, *([self.key] if self.key else [])})

    @model_validator(mode="after")
    def _yields_known_keys(self) -> CodeEntry:
        unknown = sorted(self.gives - set(KEYS))
        if unknown:
            raise ValueError(f"{', '.join(map(repr, unknown))}: route keys are {', '.join(KEYS)}")
        if not self.gives:
            raise ValueError("gives no route key: name a group of `regex` after one, or give `key` or `set`")
        return self

    def keys_of(self, code: Code) -> dict[str, str]:
        """Return the route keys one code gives; none where it does not fit."""
        found = self.match(code)
        if found is None:
            return {}
        text, groups = found
        own = {**self.fixed, **({self.key: text} if self.key else {}), **groups}
        return {key: normal(value) for key, value in own.items() if normal(value)}
