"""The contract on paper is the contract in code: AsyncAPI document, page, examples, schemas, topics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from edge_sorter.config import LineSection
from edge_sorter.plc.asyncapi import asyncapi_text, document, page_text
from edge_sorter.plc.contract import CHANNELS, EXAMPLES, example_of
from edge_sorter.plc.decode import decode, decode_inbound
from edge_sorter.plc.inbound import INBOUND, KEPT
from edge_sorter.plc.messages import MESSAGES, TOPIC_OF
from edge_sorter.plc.schema_files import all_messages
from edge_sorter.plc.topics import Topics

PREFIX = Topics(LineSection()).prefix


def filled(below: str) -> str:
    return below.replace("{code}", "UNVERIFIED").replace("{lane}", "L12").replace("{name}", "host")


@pytest.mark.parametrize(("name", "text"), [("asyncapi.yaml", asyncapi_text), ("messages.md", page_text)])
def test_the_files_in_docs_are_what_the_types_say(root, name, text):
    assert (root / "docs" / name).read_text() == text(), "run: python -m edge_sorter.plc.asyncapi"


def test_every_message_and_every_topic_is_in_it():
    assert {channel.message for channel in CHANNELS} == set(all_messages()) == set(EXAMPLES)
    inbound = {channel.below.replace("{lane}", "+") for channel in CHANNELS if channel.writer != "sorter"}
    assert inbound == set(INBOUND)
    assert {
        channel.below.replace("{lane}", "+") for channel in CHANNELS if channel.retained and channel.writer != "sorter"
    } == KEPT
    for channel in CHANNELS:
        if channel.writer == "sorter" and channel.message != "reply":
            assert channel.below.replace("{code}", "+") == TOPIC_OF.get(channel.message, channel.message)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.message)
def test_every_example_passes_the_border_and_its_schema(channel):
    payload = json.dumps(example_of(channel.message)).encode()
    topic = f"{PREFIX}/{filled(channel.below)}"
    if channel.message in INBOUND or channel.writer != "sorter":
        kind, message = decode_inbound(payload, topic=topic, prefix=PREFIX)
        assert kind == channel.below.replace("{lane}", "+")
    elif channel.message != "reply":  # nobody but its asker reads a reply
        message = decode(payload, topic=topic)
        assert type(message) is MESSAGES[channel.message]
    schema = document()["components"]["schemas"][channel.message]
    whole = {"components": {"schemas": {channel.message: schema}}, "$ref": f"#/components/schemas/{channel.message}"}
    jsonschema.validate(json.loads(payload), whole)


def references(value) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for part in value.values() for ref in references(part)]
    if isinstance(value, list):
        return [ref for part in value for ref in references(part)]
    return []


def test_every_reference_leads_somewhere():
    whole = yaml.safe_load(asyncapi_text())
    found = references(whole)
    assert len(found) > 80
    for reference in found:
        target = whole
        for step in reference.removeprefix("#/").split("/"):
            assert step in target, reference
            target = target[step]


def test_it_is_asyncapi_3():
    """Against the official schema; ASYNCAPI_SCHEMA names it (npm pack @asyncapi/specs: package/schemas/3.0.0.json)."""
    path = os.environ.get("ASYNCAPI_SCHEMA")
    if path is None:
        pytest.skip("ASYNCAPI_SCHEMA names no schema; npm pack @asyncapi/specs has it as package/schemas/3.0.0.json")
    jsonschema.validate(document(), json.loads(Path(path).read_text()))


def test_schemas_command_writes_all_of_it(tmp_path):
    command = [sys.executable, "-m", "edge_sorter", "schemas", "--out", str(tmp_path / "contract")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "contract").iterdir()}
    assert names == {f"{name}.json" for name in all_messages()} | {"asyncapi.yaml", "messages.md"}
    assert len(done.stdout.splitlines()) == len(names)
    (tmp_path / "file").write_text("")
    command[-1] = str(tmp_path / "file")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 78
    assert "name a folder" in done.stderr
