"""The conditions a rule can ask, each in one place: whether a parcel meets it, why not, and how two of a kind relate.

Contract: conditions are frozen and pure; `Condition` says what their methods mean. `met` is asked for every parcel and
builds no text. `apart(other)` is true only where no parcel can meet both; `covers(other)` only where every parcel that
meets `other` meets this one. Both compare conditions about the same thing (`about`).

Sizes: `[300, 420]` means 300 <= size < 420, so that two bands can meet without overlapping.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from edge_sorter.sort.starts import Start, show_start
from edge_sorter.types import Parcel

if TYPE_CHECKING:
    from edge_sorter.sort.plan_codes import CodeCondition
    from edge_sorter.sort.route_keys import RouteKeys

Band = tuple[float | None, float | None]

LAST_TEXT = chr(0x10FFFF)
"""Comes after whatever a code may go on with."""


@dataclass(frozen=True)
class Facts:
    """What a plan may ask about a parcel: its evidence, and the route keys read from its codes."""

    parcel: Parcel
    keys: RouteKeys

    @cached_property
    def sizes(self) -> dict[str, float]:
        """Known measures by name, mm and g."""
        parcel, known = self.parcel, {}
        if parcel.size_mm is not None:
            length_mm, width_mm = parcel.size_mm
            known = {"length_mm": length_mm, "width_mm": width_mm, "longest_mm": max(length_mm, width_mm)}
        if parcel.height_mm is not None:
            known["height_mm"] = parcel.height_mm
        if parcel.weight_g is not None:
            known["weight_g"] = parcel.weight_g
        return known


class Condition(Protocol):
    """One thing a rule asks."""

    @property
    def about(self) -> str:
        """What it asks about: the key in the plan file."""

    def met(self, facts: Facts) -> bool:
        """Tell whether a parcel meets it."""

    def why_not(self, facts: Facts) -> str:
        """Say why a parcel does not meet it."""

    def words(self) -> str:
        """Say what is asked, as short as a table needs it."""

    def apart(self, other: Any) -> bool:
        """Tell whether no parcel can meet both."""

    def covers(self, other: Any) -> bool:
        """Tell whether every parcel that meets `other` meets this."""


@dataclass(frozen=True)
class ClassIs:
    """The class is one of these."""

    names: tuple[str, ...]
    about: str = "class"

    def met(self, facts: Facts) -> bool:
        return facts.parcel.class_name in self.names

    def why_not(self, facts: Facts) -> str:
        return f"class is {facts.parcel.class_name}, not {' or '.join(self.names)}"

    def words(self) -> str:
        return f"class {' | '.join(self.names)}"

    def apart(self, other: ClassIs) -> bool:
        return not set(self.names) & set(other.names)

    def covers(self, other: ClassIs) -> bool:
        return set(other.names) <= set(self.names)


@dataclass(frozen=True)
class FlagsAny:
    """At least one of these flags is set."""

    names: tuple[str, ...]
    about: str = "flags"

    def met(self, facts: Facts) -> bool:
        return any(name in facts.parcel.flags for name in self.names)

    def why_not(self, facts: Facts) -> str:
        return f"none of the flags {', '.join(self.names)}"

    def words(self) -> str:
        return f"flags {' | '.join(self.names)}"

    def apart(self, other: FlagsAny) -> bool:
        return False  # a parcel may carry both

    def covers(self, other: FlagsAny) -> bool:
        return set(other.names) <= set(self.names)


@dataclass(frozen=True)
class SizeIn:
    """A measure lies in a band; a parcel whose measure is not known lies in none."""

    about: str
    low: float | None
    high: float | None

    def met(self, facts: Facts) -> bool:
        value = facts.sizes.get(self.about)
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value < self.high)

    def why_not(self, facts: Facts) -> str:
        value = facts.sizes.get(self.about)
        if value is None:
            return f"{self.about} is not known"
        if self.low is not None and value < self.low:
            return f"{self.about} {value:.0f} is below {self.low:g}"
        return f"{self.about} {value:.0f} is not below {self.high:g}"

    def words(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.about} from {self.low:g}" if self.high is None else f"{self.about} below {self.high:g}"
        return f"{self.about} {self.low:g} to {self.high:g}"

    def spans(self) -> list[tuple[float, float]]:
        """Return from where to where a measure may be."""
        return [(-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)]

    def apart(self, other: SizeIn) -> bool:
        return _ends_before(self, other) or _ends_before(other, self)

    def covers(self, other: SizeIn) -> bool:
        low = self.low is None or (other.low is not None and other.low >= self.low)
        return low and (self.high is None or (other.high is not None and other.high <= self.high))


def _ends_before(one: SizeIn, other: SizeIn) -> bool:
    return one.high is not None and other.low is not None and one.high <= other.low


@dataclass(frozen=True)
class KeyLike:
    """A route key is known and begins like one of these."""

    about: str
    starts: tuple[Start, ...]

    def met(self, facts: Facts) -> bool:
        value = facts.keys.known.get(self.about)
        return value is not None and any(start.holds(value) for start in self.starts)

    def why_not(self, facts: Facts) -> str:
        value = facts.keys.known.get(self.about)
        if value is None:
            return f"no {self.about} was read"
        return f"{self.about} is {value}, not {' or '.join(map(show_start, self.starts))}"

    def words(self) -> str:
        return f"{self.about} {' | '.join(map(show_start, self.starts))}"

    def spans(self) -> list[tuple[str, str]]:
        """Return from where to where, in the order of texts, a value may be."""
        return [(start.low, start.high if start.whole else start.high + LAST_TEXT) for start in self.starts]

    def apart(self, other: KeyLike) -> bool:
        return not any(one.meets(two) for one in self.starts for two in other.starts)

    def covers(self, other: KeyLike) -> bool:
        return all(any(narrow.within(wide) for wide in self.starts) for narrow in other.starts)


@dataclass(frozen=True)
class AnyCode:
    """Whether any code was accepted."""

    read: bool
    about: str = "unread"

    def met(self, facts: Facts) -> bool:
        return bool(facts.parcel.codes) == self.read

    def why_not(self, facts: Facts) -> str:
        return "no code was read" if self.read else "a code was read"

    def words(self) -> str:
        return "a code was read" if self.read else "no code was read"

    def apart(self, other: AnyCode) -> bool:
        return self.read != other.read

    def covers(self, other: AnyCode) -> bool:
        return self.read == other.read


@dataclass(frozen=True)
class CodeLike:
    """One accepted code looks like this.

    A parcel may carry several codes and so meet two conditions that no single code meets; they count as apart all the
    same, because labels with contradicting codes go to the exception lane.
    """

    code: CodeCondition
    about: str = "code"

    def met(self, facts: Facts) -> bool:
        return any(self.code.match(code) is not None for code in facts.parcel.codes)

    def why_not(self, facts: Facts) -> str:
        return "no code matches" if facts.parcel.codes else "no code was read"

    def words(self) -> str:
        code = self.code
        parts = ["code", *(code.symbology or ())]
        parts += [f"({code.ai})"] if code.ai else []
        parts += [f"{prefix}*" for prefix in code.prefix or ()]
        parts += ["..".join(code.range)] if code.range else []
        parts += [f"/{code.regex}/"] if code.regex else []
        return " ".join(parts)

    def apart(self, other: CodeLike) -> bool:
        a, b = self.code, other.code
        if a.symbology is not None and b.symbology is not None and not set(a.symbology) & set(b.symbology):
            return True
        if a.ai != b.ai or a.starts is None or b.starts is None:
            return False  # one symbol may hold both identifiers
        return not any(one.meets(two) for one in a.starts for two in b.starts)

    def covers(self, other: CodeLike) -> bool:
        wide, narrow = self.code, other.code
        if wide == narrow:
            return True
        if wide.symbology is not None and (
            narrow.symbology is None or not set(narrow.symbology) <= set(wide.symbology)
        ):
            return False
        if wide.ai != narrow.ai and (wide.ai is not None or wide.looks_at_text):
            return False
        if wide.regex is not None and wide.regex != narrow.regex:
            return False
        limits = [limit for limit in (wide.range_starts, wide.prefix_starts) if limit is not None]
        if limits and narrow.starts is None:
            return False
        return all(any(start.within(allowed) for allowed in limit) for limit in limits for start in narrow.starts or ())
