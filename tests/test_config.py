"""The configuration file is the user interface: what it accepts, and what it says when it does not."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from edge_sorter.config import load_config
from edge_sorter.errors import ConfigError

GOOD = """
video: {source: clip.mp4}
detect: {model: weights/m.onnx}
belt: {decision_line: {points: [[0.5, 0.0], [0.5, 1.0]]}}
sort: {plan: plan.yaml}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "line.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return path


def problems_of(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text))
    return str(caught.value)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.detect.model == tmp_path / "weights/m.onnx"
    assert config.sort.plan == tmp_path / "plan.yaml"
    assert config.video.source == str(tmp_path / "clip.mp4")


def test_every_file_of_every_section_is_relative_to_the_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/line")
    config = load_config(
        write(
            tmp_path,
            """
            detect: {model: m.onnx}
            belt:
              calibration: ~/c.yaml
              encoder: {source: ./counts.csv, mm_per_count: 0.5}
              decision_line: {at_mm: 5}
            sort: {plan: plan.yaml}
            plc: {password_file: word, tls: {ca_file: ca.pem, cert_file: /etc/c.pem}, outbox: {path: out.sqlite}}
            journal: {path: j.jsonl}
            evidence: {path: kept}
            service: {token_file: token, tls: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem}}
            """,
        )
    )
    assert config.belt.calibration == Path("/home/line/c.yaml")
    assert config.belt.encoder is not None and config.belt.encoder.source == tmp_path / "counts.csv"
    assert (config.detect.model, config.sort.plan) == (tmp_path / "m.onnx", tmp_path / "plan.yaml")
    assert config.plc.tls is not None and config.plc.outbox.path == tmp_path / "out.sqlite"
    assert (config.plc.password_file, config.plc.tls.ca_file) == (tmp_path / "word", tmp_path / "ca.pem")
    assert (config.plc.tls.cert_file, config.plc.tls.key_file) == (Path("/etc/c.pem"), None)
    assert (config.journal.path, config.evidence.path) == (tmp_path / "j.jsonl", tmp_path / "kept")
    tls = config.service.tls
    assert tls is not None and config.service.token_file == tmp_path / "token"
    assert (tls.cert_file, tls.key_file) == (tmp_path / "c.pem", tmp_path / "k.pem")
    assert tls.client_ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize("source", ["rtsp://cam/1", "usb:0", "gst:videotestsrc ! appsink", "http://cam/mjpeg"])
def test_a_camera_is_no_path(tmp_path: Path, source: str) -> None:
    config = load_config(write(tmp_path, GOOD.replace("clip.mp4", f"'{source}'")))
    assert config.video.source == source


def test_every_shipped_configuration_loads(root: Path) -> None:
    lines = [p for p in (root / "configs").rglob("*.yaml") if "\nbelt:" in p.read_text() and "detect:" in p.read_text()]
    assert len(lines) >= 4
    for path in lines:
        assert load_config(path).detect.model.suffix == ".onnx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # an unknown key names its line and the nearest known key
        (GOOD.replace("source:", "sorce:"), ["line 2, video.sorce: unknown key; did you mean 'source'?"]),
        # a nested unknown key is found too
        (
            GOOD.replace("points:", "pionts:"),
            ["line 4, belt.decision_line.pionts: unknown key; did you mean 'points'?"],
        ),
        # a section that is missing altogether
        (GOOD.replace("sort: {plan: plan.yaml}", ""), ["sort: required key is missing"]),
        # a wrong type says what was found
        (GOOD + "plc: {port: lots}\n", ["line 6, plc.port:", "(found 'lots')"]),
        # ranges
        (GOOD + "plc: {port: 99999}\n", ["line 6, plc.port:", "65535"]),
        (GOOD.replace("m.onnx}", "m.onnx, input_px: [640, 380]}"), ["line 3, detect.input_px:", "multiples of 32"]),
        # rules across keys
        (GOOD.replace("belt: {", "belt: {speed_mm_s: 5, "), ["speed_mm_s needs belt.calibration"]),
        (
            GOOD.replace("belt: {", "belt: {encoder: {source: mqtt, mm_per_count: 0.5}, "),
            ["encoder needs belt.calibration"],
        ),
        (GOOD.replace("points: [[0.5, 0.0], [0.5, 1.0]]", "at_mm: 5"), ["at_mm needs belt.calibration"]),
        (GOOD.replace("points: [[0.5, 0.0], [0.5, 1.0]]", ""), ["give either at_mm"]),
        (
            GOOD.replace("plan: plan.yaml", "plan: plan.yaml, min_hits: 1"),
            ["min_hits must be at least track.confirm_hits"],
        ),
        # not a number, infinity
        (GOOD + "track: {lost_s: .nan}\n", ["line 6, track.lost_s:", "finite"]),
        # the same key twice
        (GOOD + "video: {source: other.mp4}\n", ["line 6, video: already set on line 2"]),
        # broken YAML
        ("video: [1, 2\n", ["is not valid YAML: line"]),
        ("just text\n", ["must be a mapping"]),
        ("", ["must be a mapping"]),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, expected: list[str]) -> None:
    message = problems_of(tmp_path, text)
    for part in expected:
        assert part in message


def test_all_mistakes_at_once_in_file_order(tmp_path: Path) -> None:
    message = problems_of(
        tmp_path,
        """
        video: {source: a.mp4, fpss: 3}
        detect: {model: m.onnx, confidenc: 0.4}
        belt:
          decision_line: {points: [[0.5, 0], [0.5, 1]]}
          direction: [0, 0]
        sort: {plan: p.yaml, min_hits: many}
        """,
    )
    lines = [line.split(",")[0] for line in message.splitlines()[1:]]
    assert lines == ["  - line 2", "  - line 3", "  - line 4", "  - line 7"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: p / "absent.yaml", "does not exist"),
        (lambda p: p, "is a folder"),
        (lambda p: (p / "b.yaml").write_bytes(b"\xff\xfe\x00") and p / "b.yaml", "not UTF-8"),
        (lambda p: (p / "c.yaml").write_text("a: " + "x" * 1_100_000) and p / "c.yaml", "larger than"),
    ],
)
def test_unreadable_files(tmp_path: Path, make, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_config(make(tmp_path))


def test_the_reference_says_what_the_types_say(root: Path) -> None:
    from edge_sorter.config_reference import reference

    written = (root / "docs/configuration.md").read_text(encoding="utf-8")
    assert written == reference(), "stale: run python -m edge_sorter.config_reference"
    rows = [line for line in written.splitlines() if line.startswith("| `")]
    assert not [row for row in rows if row.endswith("|  |")], "a key without a description"


@pytest.mark.parametrize(
    ("source", "at_start", "flushes"),
    [
        ("rtsp://camera/1", "auto", True),
        ("usb:0", "auto", True),
        ("clip.mp4", "auto", False),
        (None, "auto", False),
        ("usb:0", "sort", False),
        ("clip.mp4", "flush", True),
    ],
)
def test_parcels_in_view_at_start_are_flushed_with_a_camera(root: Path, source, at_start, flushes) -> None:
    config = load_config(root / "configs/demo/line.yaml")
    config = config.model_copy(
        update={
            "video": config.video.model_copy(update={"source": source}),
            "sort": config.sort.model_copy(update={"at_start": at_start}),
        }
    )
    assert config.flushes_at_start is flushes
