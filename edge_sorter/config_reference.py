"""docs/configuration.md, written from the configuration's own types: `python -m edge_sorter.config_reference`.

A test fails when the file no longer says what the types say.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edge_sorter.config import Config

HEAD = """# Configuration, key by key

One YAML file describes one line: camera, model, belt, sort plan, broker. Paths are relative to the file. An unknown
key is an error, and `edge-sorter check -c FILE` lists every mistake at once. A key without a default must be given.

Written by `python -m edge_sorter.config_reference` from the types in `edge_sorter/config/`: change those instead.
"""


def reference() -> str:
    """Return the whole page as Markdown."""
    return "\n".join((HEAD, *_section("", Config)))


def _section(path: str, model: type[BaseModel]) -> list[str]:
    lines: list[str] = []
    nested: list[tuple[str, type[BaseModel]]] = []
    rows: list[str] = []
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        if inner is not None:
            nested.append((f"{path}.{name}".lstrip("."), inner))
        else:
            rows.append(f"| `{name}` | {_kind(field)} | {_default(field)} | {field.description or ''} |")
    if path:
        doc = " ".join((model.__doc__ or "").split())
        lines += [f"## `{path}`", "", doc, ""]
    if rows:
        lines += ["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    for inner_path, inner in nested:
        lines += _section(inner_path, inner)
    return lines


def _model_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _kind(field: FieldInfo) -> str:
    words = _words(field.annotation)
    for limit in field.metadata:
        for kind, sign in ((Ge, "≥"), (Gt, ">"), (Le, "≤"), (Lt, "<")):
            if isinstance(limit, kind):
                words += f" {sign} {getattr(limit, kind.__name__.lower())}"
        if isinstance(limit, MinLen) and limit.min_length > 1:
            words += f", at least {limit.min_length} characters"
        if isinstance(limit, MaxLen):
            words += f", at most {limit.max_length} characters"
    return words


def _words(annotation: Any) -> str:
    names = {
        Path: "path",
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        type(None): "nothing",
    }
    if annotation in names:
        return names[annotation]
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is tuple:
        inner = [_words(a) for a in arguments if a is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in arguments else f"[{', '.join(inner)}]"
    if origin is not None and str(origin) == "typing.Literal":
        return ", ".join(f"`{a}`" for a in arguments)
    if hasattr(annotation, "__metadata__"):
        return _words(arguments[0])
    return " or ".join(_words(a) for a in arguments if a is not type(None))


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default is PydanticUndefined:
        return "**required**"
    if field.default is None:
        return "none"
    value = field.default
    return f"`{list(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/configuration.md")
    target.write_text(reference(), encoding="utf-8")
