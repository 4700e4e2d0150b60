"""The JSON Schemas that other people's programs are built against, written from the very types in code.

`python -m edge_sorter.plc.schema_files` rewrites ``plc/schemas``; a test fails while they are not the types' own.
"""

from __future__ import annotations

import json
from pathlib import Path

from edge_sorter.plc.inbound import INBOUND
from edge_sorter.plc.messages import MAJOR, MESSAGES, Message

SCHEMA_FOLDER = Path(__file__).resolve().parent / "schemas"


def all_messages() -> dict[str, type[Message]]:
    """Return every message by the word in its schema field."""
    incoming = {
        str(model.model_fields["schema_"].default).split(".")[1].split("/")[0]: model for model in INBOUND.values()
    }
    return MESSAGES | incoming


def schema_text(name: str) -> str:
    """Return the JSON Schema (draft 2020-12) of one message, as the checked-in file holds it.

    `schema` is required in what we send; who sends to us may leave it out.
    """
    schema = all_messages()[name].model_json_schema(by_alias=True, mode="validation")
    if name in MESSAGES:
        schema["required"] = ["schema", *schema.get("required", [])]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"edge_sorter.{name}.{MAJOR}.json"}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path = SCHEMA_FOLDER) -> list[Path]:
    """Write all JSON Schemas and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in all_messages():
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(schema_text(name), encoding="utf-8")
    return paths


if __name__ == "__main__":
    write_schemas()
