"""docs/failure-policy.md names its tests; they exist."""

from __future__ import annotations

import re


def test_every_row_is_there_and_every_test_it_names_exists(root):
    text = (root / "docs/failure-policy.md").read_text()
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert rows == list(range(1, 26))
    tests = [path.read_text() for path in (root / "tests").rglob("test_*.py")]
    names = {name for source in tests for name in re.findall(r"def (test_row_\w+)\(", source)}
    for pattern in re.findall(r"`(test_row_\w+)\*?`", text):
        assert any(name.startswith(pattern) for name in names), pattern
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (root / path).exists(), path
