"""Writes the contract down for others: an AsyncAPI 3 document, the JSON Schemas, and a page for people.

`python -m edge_sorter.plc.asyncapi` rewrites docs/asyncapi.yaml, docs/messages.md and plc/schemas; a test fails while
they are not what the types say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from edge_sorter.plc.contract import CHANNELS, Channel, example_of, model_of
from edge_sorter.plc.messages import MAJOR
from edge_sorter.plc.schema_files import schema_text, write_schemas

DOCS = Path(__file__).resolve().parents[2] / "docs"
PREFIX = "{enterprise}/{site}/{area}/{line}/{cell}/edge_sorter/v1"
_LEVELS = {
    "enterprise": "company, as the plant's topic tree names it",
    "site": "building",
    "area": "part of the building",
    "line": "conveyor line",
    "cell": "this camera on the line",
    "code": "alarm code, such as CAM_LOST",
    "lane": "lane id of the sort plan",
    "name": "whoever asked",
}
_INTRO = """How edge_sorter talks to a PLC gateway, scanners and the host over MQTT 5 or 3.1.1.
Payloads are UTF-8 JSON below 16 KiB (a sort plan: 256 KiB). Unknown fields are ignored, an unknown major version is
refused. A decision is never retained and never queued: after `deadline` it must not be acted on. Replays live under
`replay/...` and say `replay: true`; a live PLC refuses them. This is no safety function."""


def document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document."""
    names = list(dict.fromkeys(channel.message for channel in CHANNELS))
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "edge_sorter", "version": f"{MAJOR}.0.0", "description": _INTRO},
        "defaultContentType": "application/json",
        "servers": {
            "plant": {
                "host": "broker.example:8883",
                "protocol": "mqtts",
                "protocolVersion": "5",
                "description": "the broker of the cell; see deploy/mosquitto for one with a certificate per role",
            }
        },
        "channels": {_key(channel): _channel(channel) for channel in CHANNELS},
        "operations": {_operation_name(channel): _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {name: _message(name) for name in names},
            "schemas": {name: _schema(name) for name in names},
        },
    }


def asyncapi_text() -> str:
    """Return docs/asyncapi.yaml."""
    head = "# Written by `python -m edge_sorter.plc.asyncapi` from the types in code; do not edit.\n"
    return head + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)


def page_text() -> str:
    """Return docs/messages.md."""
    lines = [
        "# Messages",
        "",
        "<!-- Written by `python -m edge_sorter.plc.asyncapi` from the types in code; do not edit. -->",
        "",
        _INTRO,
        "",
        "The same for programs: [asyncapi.yaml](asyncapi.yaml); `edge-sorter schemas --out DIR` writes JSON Schemas as",
        f"well. Every topic begins with `{PREFIX}/`.",
        "",
        "| topic | written by | QoS | retained | rate | what for |",
        "|---|---|---|---|---|---|",
    ]
    for channel in CHANNELS:
        kept = "yes" if channel.retained else "no"
        link = f"[`{channel.below}`](#{channel.message})"
        lines.append(f"| {link} | {channel.writer} | {channel.qos} | {kept} | {channel.rate} | {channel.purpose} |")
    for name in dict.fromkeys(channel.message for channel in CHANNELS):
        lines += ["", *_section(name)]
    return "\n".join(lines) + "\n"


def write_contract(folder: Path) -> list[Path]:
    """Write the AsyncAPI document, its page and a JSON Schema for each message; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"asyncapi.yaml": asyncapi_text(), "messages.md": page_text()}
    texts |= {f"{channel.message}.json": schema_text(channel.message) for channel in CHANNELS}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _key(channel: Channel) -> str:
    return channel.below.replace("/{", "_").replace("}", "").replace("/", "_")


def _channel(channel: Channel) -> dict[str, Any]:
    address = f"{PREFIX}/{channel.below}"
    levels = {name: {"description": text} for name, text in _LEVELS.items() if f"{{{name}}}" in address}
    return {
        "address": address,
        "description": f"{channel.purpose} ({channel.rate}; {'retained' if channel.retained else 'not retained'})",
        "parameters": levels,
        "messages": {channel.message: {"$ref": f"#/components/messages/{channel.message}"}},
    }


def _operation_name(channel: Channel) -> str:
    return ("send_" if channel.writer == "sorter" else "receive_") + _key(channel)


def _operation(channel: Channel) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": "send" if channel.writer == "sorter" else "receive",
        "channel": {"$ref": f"#/channels/{_key(channel)}"},
        "summary": channel.purpose,
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained, "bindingVersion": "0.2.0"}},
        "messages": [{"$ref": f"#/channels/{_key(channel)}/messages/{channel.message}"}],
    }
    if channel.message == "cmd":
        operation["reply"] = {
            "channel": {"$ref": "#/channels/reply_name"},
            "messages": [{"$ref": "#/channels/reply_name/messages/reply"}],
        }
    return operation


def _message(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": f"edge_sorter.{name}/{MAJOR}",
        "summary": _first_sentence(model_of(name).__doc__ or ""),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "examples": [{"payload": example_of(name)}],
    }


def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(schema_text(name))
    del schema["$schema"], schema["$id"]
    text = json.dumps(schema).replace('"#/$defs/', f'"#/components/schemas/{name}/$defs/')
    moved: dict[str, Any] = json.loads(text)
    return moved


def _section(name: str) -> list[str]:
    schema = json.loads(schema_text(name))
    required = set(schema.get("required", ()))
    lines = [f"## {name}", "", " ".join((model_of(name).__doc__ or "").split()), ""]
    lines += ["| field | type | required | meaning |", "|---|---|---|---|"]
    for field, rules in schema["properties"].items():
        kind, meaning = _kind(rules, schema), _first_sentence(rules.get("description", ""))
        lines.append(f"| `{field}` | {kind} | {'yes' if field in required else ''} | {meaning} |")
    example = json.dumps(example_of(name), ensure_ascii=False)
    return [*lines, "", "```json", example, "```"]


def _kind(rules: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in rules:
        target = schema["$defs"][rules["$ref"].rsplit("/", 1)[1]]
        return _kind(target, schema) if "enum" in target else f"object: {', '.join(target.get('properties', {}))}"
    if "anyOf" in rules:
        return " or ".join(_kind(part, schema) for part in rules["anyOf"] if part.get("type") != "null")
    if "const" in rules:
        return f"`{rules['const']}`"
    if "enum" in rules:
        return ", ".join(f"`{word}`" for word in rules["enum"])
    kind = str(rules.get("type", "any"))
    if kind == "array":
        return f"array of {_kind(rules['items'], schema)}" if "items" in rules else "array"
    return {"integer": "whole number", "string": "text"}.get(kind, kind)


def _first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).replace("|", "or")


if __name__ == "__main__":
    write_schemas()
    (DOCS / "asyncapi.yaml").write_text(asyncapi_text(), encoding="utf-8")
    (DOCS / "messages.md").write_text(page_text(), encoding="utf-8")
