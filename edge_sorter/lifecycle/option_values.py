"""Option values that several commands share, read in one way and with one message."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sorter.errors import ModelError


def class_map(text: str, names: Sequence[str]) -> dict[int, int] | None:
    """Read `--classes 0=carton,1=polybag` as their class ids to ours; None when it is empty: theirs are ours.

    Args:
        text: The option.
        names: Names of our class ids.

    Raises:
        ModelError: A pair is not ID=NAME, or the model does not know the name.
    """
    mapped = {}
    for pair in filter(None, text.split(",")):
        theirs, _, ours = (part.strip() for part in pair.partition("="))
        if not theirs.isdigit() or ours not in names:
            raise ModelError(f"--classes '{pair}' is not ID=NAME with NAME one of: {', '.join(names)}.")
        mapped[int(theirs)] = names.index(ours)
    return mapped or None


def size_px(text: str, option: str) -> tuple[int, int]:
    """Read `640x384` as width and height of a model's input.

    Raises:
        ModelError: It is not of that form, or a side is no multiple of 32.
    """
    width, _, height = text.strip().partition("x")
    if not (width.isdigit() and height.isdigit()) or int(width) % 32 or int(height) % 32:
        raise ModelError(f"{option} '{text}' is not WIDTHxHEIGHT in multiples of 32, e.g. 640x384.")
    return int(width), int(height)
