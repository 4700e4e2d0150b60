"""YAML files that people write: read into a checked model, or explained mistake by mistake.

`read_yaml` never stops at the first problem: every unknown key, wrong type and broken rule is listed with its file,
line and key, and an unknown key gets the nearest known one as a suggestion.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_sorter.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[str | int, ...]

MAX_BYTES = 1_000_000
"""No hand-written file is near this; a larger one is somebody's mistake."""
MAX_DEPTH = 32


class Section(BaseModel):
    """Base of everything read from a file: frozen, no unknown keys, no silent type juggling of floats like NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Nested = TypeVar("Nested", bound=Section)


def read_yaml(path: Path, model: type[Model], *, what: str = "file", context: dict[str, Any] | None = None) -> Model:
    """Read one YAML file into `model`.

    Args:
        path: The file.
        model: A pydantic model that forbids unknown keys.
        what: What the file is for a person, such as "sort plan"; opens the error message.
        context: Handed to the model's validators.

    Raises:
        ConfigError: The file is missing, is no YAML, or breaks the model; lists every problem with its line.
    """
    node, data = _parse(path, what)
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        lines = _lines(node)
        problems = sorted(
            {_explain(path.name, lines, model, item) for item in error.errors(include_url=False)}, key=_line_order
        )
        raise ConfigError(f"{what} {path}: {_count(problems)}", problems=tuple(problems)) from None


def beside(section: Nested, folder: Path) -> Nested:
    """Return a section with all paths, those of inner sections too, relative to the folder of its file; `~` is home."""
    moved: dict[str, object] = {}
    for name, value in section:
        if isinstance(value, Path):
            moved[name] = (folder / value.expanduser()).resolve()
        elif isinstance(value, Section) and (inner := beside(value, folder)) is not value:
            moved[name] = inner
    return section.model_copy(update=moved) if moved else section  # what nobody wrote stays as not written


def read_document(
    data: dict[str, Any], model: type[Model], *, what: str, context: dict[str, Any] | None = None
) -> Model:
    """Read plain values, such as a message held, into `model`; as `read_yaml`, with places instead of lines.

    Raises:
        ConfigError: The document breaks the model; lists every problem with its place.
    """
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        found = {_explain(what, {}, model, item).partition(", ")[2] for item in error.errors(include_url=False)}
        problems = tuple(sorted(found))
        raise ConfigError(f"{what}: {_count(problems)}", problems=problems) from None


def _count(problems: Sequence[str]) -> str:
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"


def _line_order(problem: str) -> tuple[int, str]:
    digits = problem.removeprefix("line ").split(",")[0]
    return (int(digits) if digits.isdigit() else 0, problem)


def _parse(path: Path, what: str) -> tuple[yaml.Node | None, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{what} {path} is larger than {MAX_BYTES} bytes; this is not a hand-written {what}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{what} {path} does not exist") from None
    except IsADirectoryError:
        raise ConfigError(f"{what} {path} is a folder, not a file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} is not UTF-8 text (byte {error.start}); is it a YAML file?") from None
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from None
    try:
        odd = _odd_structure(text)
        if odd is not None:
            raise ConfigError(f"{what} {path}: {odd}")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.load(text, Loader=yaml.SafeLoader)
    except ValueError as error:  # a number of thousands of digits, a date that no calendar has
        raise ConfigError(f"{what} {path} is not valid YAML: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{what} {path} is not valid YAML: {at}{getattr(error, 'problem', error)}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{what} {path} must be a mapping of keys to values, found {type(data).__name__}")
    duplicates = tuple(_duplicate_keys(node))
    if duplicates:
        raise ConfigError(f"{what} {path} gives a key twice", problems=duplicates)
    return node, data


def _odd_structure(text: str) -> str | None:
    """Return why a file is not read at all: nine short lines of aliases can stand for a billion values."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            return f"line {line}: aliases (*{event.anchor}) are not read; write the value out"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return f"line {line}: nested more than {MAX_DEPTH} levels deep"
    return None


def _duplicate_keys(node: yaml.Node | None, prefix: str = "") -> list[str]:
    found: list[str] = []
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                found.append(f"line {line}, {prefix}{name}: already set on line {seen[name]}")
            seen.setdefault(name, line)
            found += _duplicate_keys(value, f"{prefix}{name}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found += _duplicate_keys(value, f"{prefix}{index}.")
    return found


def _lines(node: yaml.Node | None, at: Loc = ()) -> dict[Loc, int]:
    """Map the place of every value to its line, counted from 1."""
    if node is None:
        return {}
    lines: dict[Loc, int] = {at: node.start_mark.line + 1}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*at, key.value)
            lines.update(_lines(value, place))
            lines[place] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines.update(_lines(value, (*at, index)))
    return lines


def _explain(whole: str, lines: dict[Loc, int], model: type[BaseModel], item: Any) -> str:
    loc: Loc = tuple(part for part in item["loc"] if not str(part).startswith("function-"))
    known = loc
    while known and known not in lines:
        known = known[:-1]
    line = lines.get(known, 1)
    key = ".".join(str(part) for part in loc) or whole
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = "unknown key" + _suggest(str(loc[-1]), _fields(model, loc[:-1]))
    elif item["type"] == "missing":
        message = "required key is missing"
    elif not isinstance(item["input"], (dict, list)):
        message = f"{message} (found {item['input']!r})"
    return f"line {line}, {key}: {message}"


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known keys: {', '.join(known)}" if known else ""


def _fields(model: type[BaseModel], loc: Loc) -> list[str]:
    """Return the keys a section knows, found by walking the model along `loc`."""
    current: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        candidates = [m for m in _models(current) if part in m.model_fields]
        if candidates:
            current = candidates[0].model_fields[part].annotation
        elif not _models(current):
            return []
    models = _models(current)
    return sorted({field.alias or name for m in models for name, field in m.model_fields.items()})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in get_args(annotation) for m in _models(arg)]
