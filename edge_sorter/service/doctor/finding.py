"""What an examination says: one part of the installation, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_sorter.errors import EdgeSorterError


class Verdict(str, Enum):
    """How a part is: fine, worth a look, or in the way of running."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the installation.

    Attributes:
        part: What was looked at.
        verdict: How it is.
        fact: What was seen, with figures.
        advice: What to do, for everything that is not fine.
        exit_code: What the command ends with when this is the first failure.
    """

    part: str
    verdict: Verdict
    fact: str
    advice: str = ""
    exit_code: int = 1


def ok(part: str, fact: str) -> Finding:
    """Return a finding that is fine."""
    return Finding(part, Verdict.OK, fact)


def warn(part: str, fact: str, advice: str) -> Finding:
    """Return a finding that is worth a look."""
    return Finding(part, Verdict.WARN, fact, advice)


def fail(part: str, error: EdgeSorterError | str, advice: str = "") -> Finding:
    """Return a finding that keeps the line from running; our own errors say themselves what to do."""
    code = error.exit_code if isinstance(error, EdgeSorterError) else 1
    return Finding(part, Verdict.FAIL, str(error), advice, code)
