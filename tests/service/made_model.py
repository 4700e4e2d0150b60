"""The shipped network as another file: other hash, other name, and whatever a test spoils in its manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def made_model(source: Path, name: str, **changes: object) -> Path:
    """Write `name`.onnx and its manifest beside `source`: the same network with one more entry in its metadata."""
    path = source.with_name(f"{name}.onnx")
    entry = b"\x0a\x04name\x12" + bytes([len(name)]) + name.encode()
    path.write_bytes(source.read_bytes() + b"\x72" + bytes([len(entry)]) + entry)  # ModelProto.metadata_props
    manifest = json.loads(source.with_suffix(".json").read_text())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest |= {"name": name, "file": path.name, "sha256": digest, **changes}
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path
