"""Regular expressions that could keep the line waiting are refused before they are used.

Python's `re` backtracks: `(a+)+b` on forty characters takes minutes, and nothing can interrupt it. A sort plan comes
from people and hosts, so its patterns are held to a form whose cost is small on any code of `identify` (256
characters): what is repeated as a group may not vary in itself, and few parts may vary at all.
"""

from __future__ import annotations

import re

MOST_OPEN = 3
"""Parts that may repeat without limit (`*`, `+`, `{2,}`)."""
MOST_VARYING = 8
"""Parts that may vary in length at all (`?`, `{1,3}` too)."""

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P[<=]\w+[>)]?|\(\?[:=!<]*|\(|\)|\||[*+?]\??|\{\d*,?\d*\}\??|.", re.S
)


def too_costly(pattern: str) -> str | None:
    """Return why a pattern may take too long, or None."""
    groups: list[bool] = []
    varies = closed = False
    closed_varies = False
    open_parts = varying_parts = 0
    for token in _TOKEN.findall(pattern):
        repeat = _repeat(token)
        if repeat is not None:
            low, high = repeat
            if closed and closed_varies and (high is None or high > 1):
                return "a repeated group may hold neither repeats nor alternatives: it could take minutes on one code"
            if low != high:
                varies = True
                varying_parts += 1
                open_parts += high is None
            closed = False
            continue
        closed = token == ")"
        if token == ")":
            closed_varies = varies
            varies = (groups.pop() if groups else False) or varies
        elif token.startswith("("):
            groups.append(varies)
            varies = False
        elif token == "|":
            varies = True
    if open_parts > MOST_OPEN or varying_parts > MOST_VARYING:
        return f"at most {MOST_OPEN} open repeats and {MOST_VARYING} varying parts: more could take minutes on one code"
    return None


def _repeat(token: str) -> tuple[int, int | None] | None:
    """Return how often the part before may occur, or None where the token is no repeat."""
    if token[0] in "*+?":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[token[0]]
    found = re.fullmatch(r"\{(\d*)(,?)(\d*)\}\??", token)
    if found is None or not (found[1] or found[3]):
        return None
    low = int(found[1] or 0)
    return low, (int(found[3]) if found[3] else None) if found[2] else low
