"""Values that a JSON Schema describes, for hypothesis: as far as the schemas of our own messages go."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def values_of(schema: dict[str, Any], whole: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """Return a strategy of values that fit a schema; `whole` is the document that references lead into."""
    whole = schema if whole is None else whole
    if "$ref" in schema:
        found: Any = whole
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return values_of(found, whole)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(values_of(one, whole) for one in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "object":
        return _objects(schema, whole)
    if kind == "array":
        return _arrays(schema, whole)
    return _plain(kind, schema)


def _plain(kind: str | None, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "integer":
        return st.integers(low, high)
    if kind == "number":
        above = schema.get("exclusiveMinimum")
        low = above if low is None else low
        return st.floats(low, high, allow_nan=False, allow_infinity=False, exclude_min=above is not None)
    if kind == "string" and "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    if kind == "string":
        return st.text(min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 20), 20))
    return {"boolean": st.booleans(), "null": st.none()}.get(kind or "", ANYTHING)


def _arrays(schema: dict[str, Any], whole: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*(values_of(one, whole) for one in schema["prefixItems"])).map(list)
    return st.lists(values_of(schema.get("items", {}), whole), max_size=min(schema.get("maxItems", 4), 4))


def _objects(schema: dict[str, Any], whole: dict[str, Any]) -> st.SearchStrategy[Any]:
    named = {name: values_of(one, whole) for name, one in schema.get("properties", {}).items()}
    needed = {name: named.pop(name) for name in schema.get("required", ())}
    if named or needed:
        return st.fixed_dictionaries(needed, optional=named)
    values = schema.get("additionalProperties")
    names = values_of({"type": "string", "maxLength": 8} | schema.get("propertyNames", {}), whole)
    return st.dictionaries(names, values_of(values, whole) if isinstance(values, dict) else ANYTHING, max_size=4)
