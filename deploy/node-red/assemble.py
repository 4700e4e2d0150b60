"""Put functions/*.js into the function nodes of flow.json, so that code is read and reviewed as code.

The node named "Judge" gets functions/judge.js, and so on; a line `//= include shared/x.js` stands for that file.
Layout and settings are edited in Node-RED and exported to flow.json; run this afterwards: `python3 assemble.py`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = re.compile(r"^//= include (\S+)\n", re.MULTILINE)


def code_of(node_name: str) -> str:
    """Return the code of the function node with this name, includes put in.

    Raises:
        FileNotFoundError: It has no file.
    """
    functions = HERE / "functions"
    text = (functions / f"{node_name.lower().replace(' ', '_')}.js").read_text("utf-8")
    return INCLUDE.sub(lambda found: (functions / found[1]).read_text("utf-8"), text).rstrip("\n")


def assembled(flow_text: str) -> str:
    """Return the flow with the code of today."""
    nodes = json.loads(flow_text)
    for node in nodes:
        if node["type"] == "function":
            node["func"] = code_of(node["name"])
    return json.dumps(nodes, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write flow.json."""
    file = HERE / "flow.json"
    file.write_text(assembled(file.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
