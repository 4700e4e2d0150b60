"""`edge-sorter evaluate` as it is used: shipped weights on pictures, two models, clips; what it writes and refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_sorter.errors import ConfigError, EdgeSorterError, ModelError
from edge_sorter.lifecycle.__main__ import app
from edge_sorter.lifecycle.evaluation import images as evaluation
from edge_sorter.lifecycle.evaluation.clip import evaluate_clip

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLOAT, INT8 = "weights/parcel-yolo26n.onnx", "weights/parcel-yolo26n-int8.onnx"


@pytest.fixture(scope="session")
def schema(root: Path) -> dict[str, Any]:
    path = root / "edge_sorter/lifecycle/evaluation/schema.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    return content


@pytest.fixture(scope="session")
def demo_set(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of the demo clip with their true boxes, all named carton: the shipped weights find most of them."""
    import av

    folder = tmp_path_factory.mktemp("demo_set")
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    rows = np.loadtxt(root / "configs/demo/truth_mot.txt", delimiter=",")
    with av.open(str(root / "configs/demo/demo.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % 40 == 30:
                cv2.imwrite(str(folder / f"images/{index:04}.png"), frame.to_ndarray(format="bgr24"))
                lines = []
                for x, y, w, h in rows[rows[:, 0] == index + 1, 2:6]:
                    box = np.array((x + w / 2, y + h / 2, w, h)) / np.tile((frame.width, frame.height), 2)
                    lines.append("0 " + " ".join(map(str, box)) + "\n")
                (folder / f"labels/{index:04}.txt").write_text("".join(lines))
            if index >= 240:
                break
    return folder


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="session")
def single(root: Path, demo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("single")
    result = run(
        "--model", root / FLOAT, "--images", demo_set / "images", "--any-class", "--resamples", 50, "--out", out
    )
    assert result.exit_code == 0
    assert "mAP50-95" in result.stdout
    assert "report.html" in result.stdout
    return out


@pytest.fixture(scope="session")
def double(root: Path, demo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("double")
    arguments = ("--compare", root / FLOAT, root / INT8, "--images", demo_set / "images", "--any-class")
    result = run(*arguments, "--engine", "onnxruntime", "--resamples", 50, "--out", out, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((out / "evaluation.json").read_text())
    return out


def test_one_model_on_pictures(single: Path, schema: dict[str, Any]) -> None:
    document = json.loads((single / "evaluation.json").read_text())
    jsonschema.validate(document, schema)
    figures = document["figures"]
    assert figures["images"] == 6
    assert figures["recall"] > 0.8  # the demo's parcels are found; their classes are not asked for
    assert figures["map50"] > 0.8
    assert figures["intervals_95"]["recall"][0] <= figures["recall"] <= figures["intervals_95"]["recall"][1]
    assert len(document["errors"]) == sum(figures["faults"].values())


def test_two_models_on_the_same_pictures(double: Path, schema: dict[str, Any]) -> None:
    document = json.loads((double / "evaluation.json").read_text())
    jsonschema.validate(document, schema)
    assert document["a"]["model"]["precision"] == "float32"
    assert document["b"]["model"]["precision"] == "int8_qdq"
    row = document["comparison"]["figures"]["map50_95"]
    assert row["low"] <= row["high"]
    assert abs(row["difference"]) < 0.1


def test_reports_stand_alone_and_chromium_finds_nothing_wrong(single: Path, double: Path) -> None:
    texts = [(folder / "report.html").read_text(encoding="utf-8") for folder in (single, double)]
    assert all("http://" not in text and "https://" not in text for text in texts)
    assert "data:image/jpeg" in "".join(texts)
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: reports are not tried in a browser; apt-get install chromium")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for folder in (single, double):
            tab = browser.new_page(viewport={"width": 390, "height": 844})
            tab.set_default_timeout(60_000)
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
            tab.goto((folder / "report.html").as_uri())
            assert tab.locator("svg").count() >= 1
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390  # tables scroll by themselves
        browser.close()
    assert complaints == []


def test_map_is_recorded_in_the_manifest(root: Path, demo_set: Path, tmp_path: Path) -> None:
    for path in (root / "weights").glob("parcel-yolo26n.*"):
        shutil.copy(path, tmp_path)
    model = tmp_path / "parcel-yolo26n.onnx"
    arguments = ["--model", str(model), "--images", str(demo_set / "images"), "--labels", str(demo_set / "labels")]
    more = ["--classes", "0=carton", "--record", "demo", "--resamples", "20", "--json"]
    result = CliRunner().invoke(app, ["evaluate", *arguments, *more], catch_exceptions=False)
    figures = json.loads(result.stdout)["figures"]
    recorded = json.loads(model.with_suffix(".json").read_text())["metrics"]["demo"]
    assert recorded == {name: figures[name] for name in ("map50", "map50_95", "images")}


def test_real_pictures(root: Path, footage: Path) -> None:
    images = footage / "images/parcels_black_belt/images"
    document = json.loads(
        run(
            "--model", root / FLOAT, "--images", images, "--classes", "0=carton,1=polybag", "--resamples", 50, "--json"
        ).stdout
    )
    assert document["figures"]["images"] == 24
    assert document["figures"]["map50"] == pytest.approx(0.955, abs=0.02)  # weights/README.md
    assert set(document["figures"]["per_class"]) == {"all", "carton", "polybag"}


@pytest.mark.slow
def test_the_demo_clip(root: Path, tmp_path: Path, schema: dict[str, Any]) -> None:
    truths = [root / "configs/demo/truth_mot.txt", root / "configs/demo/truth.json"]
    document = evaluate_clip(root / "configs/demo/demo.mp4", root / "configs/demo/line.yaml", truths)
    jsonschema.validate(document, schema)
    assert document["tracking"]["identity_switches"] == 0
    assert document["tracking"]["idf1"] > 0.9
    assert document["parcels"]["missed"] == document["parcels"]["extra"] == 0


def test_tracks_made_elsewhere(root: Path, tmp_path: Path, schema: dict[str, Any]) -> None:
    truth = root / "configs/demo/truth_mot.txt"
    result = run("--tracks", truth, "--truth", truth, "--out", tmp_path)
    assert result.exit_code == 0
    document = json.loads((tmp_path / "evaluation.json").read_text())
    jsonschema.validate(document, schema)
    assert document["tracking"]["hota"] == pytest.approx(1.0)
    assert "HOTA" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Give --model"),
        (("--model", FLOAT), "Give --model"),
        (("--model", FLOAT, "--compare", FLOAT, INT8, "--images", "IMAGES"), "Give --model"),
        (("--model", FLOAT, "--images", "IMAGES", "--labels", "nowhere"), "No such folder of labels"),
        (("--model", FLOAT, "--images", "IMAGES", "--classes", "0=box"), "NAME one of: carton"),
        (("--model", FLOAT, "--images", "IMAGES", "--engine", "magic"), "--engine 'magic'"),
        (("--model", FLOAT, "--images", "IMAGES", "--input-px", "640x400"), "multiples of 32"),
        (("--model", FLOAT, "--images", "IMAGES", "--group", "("), "regular expression"),
        (("--model", FLOAT, "--images", "IMAGES", "--classes", "3=carton"), "has class 0"),
        (("--model", "none.onnx", "--images", "IMAGES"), "does not exist"),
    ],
)
def test_mistakes_are_told_in_one_message(root: Path, demo_set: Path, arguments: tuple[str, ...], told: str) -> None:
    places = {"IMAGES": str(demo_set / "images"), FLOAT: str(root / FLOAT), INT8: str(root / INT8)}
    with pytest.raises(EdgeSorterError, match=told.replace("(", r"\(")):
        run(*(places.get(argument, argument) for argument in arguments))


def test_mistakes_about_clips(root: Path, tmp_path: Path) -> None:
    truth = root / "configs/demo/truth_mot.txt"
    with pytest.raises(ConfigError, match="-c line"):
        evaluate_clip(root / "configs/demo/demo.mp4", None, [truth])
    with pytest.raises(ConfigError, match="give --truth"):
        evaluate_clip(None, None, [], tracks=truth)
    with pytest.raises(ConfigError, match="needs true boxes"):
        evaluate_clip(None, None, [root / "configs/demo/truth.json"], tracks=truth)


def test_a_model_that_is_refused_is_not_measured_under_its_name(
    root: Path, demo_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening int8 gives the float file where int8 is refused; here the float file is handed out by hand."""
    opened = evaluation.open_detector

    def stand_in(section: Any) -> Any:
        return opened(section.model_copy(update={"model": root / FLOAT}))

    monkeypatch.setattr(evaluation, "open_detector", stand_in)
    with pytest.raises(ModelError, match="refused on this machine"):
        evaluation.evaluate_images(root / INT8, evaluation.Task(demo_set / "images", demo_set / "labels"))


def test_asking_for_help_loads_nothing_heavy(root: Path) -> None:
    code = (
        "import atexit, sys; from edge_sorter.cli import main; sys.argv = ['edge-sorter', 'evaluate', '--help'];"
        "heavy = ('torch', 'onnx', 'scipy', 'pandas', 'motmetrics', 'openvino', 'onnxruntime');"
        "atexit.register(lambda: print('loaded:', *(name for name in heavy if name in sys.modules))); main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert "--compare" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]


def test_only_the_classes_that_occur_there_are_named(root: Path, demo_set: Path, schema: dict[str, Any]) -> None:
    options = ("--model", root / FLOAT, "--images", demo_set / "images", "--resamples", "20", "--json")
    everything, cartons = (json.loads(run(*options, *only).stdout) for only in ((), ("--only", "carton")))
    jsonschema.validate(cartons, schema)
    confused = [document["figures"]["faults"]["confused"] for document in (everything, cartons)]
    assert confused[0] > 0
    assert confused[1] == 0
    assert cartons["set"]["only"] == ["carton"]
    with pytest.raises(ConfigError, match="no class 'cartoon'"):
        run(*options, "--only", "cartoon")


def test_cartons_and_bags_on_a_belt_never_trained_on_are_told_apart(root: Path, footage: Path) -> None:
    belt = footage / "images" / "parcels_black_belt"
    options = ("--images", belt / "images", "--labels", belt / "labels", "--classes", "0=carton,1=polybag")
    shown = run("--model", root / FLOAT, *options, "--only", "carton, polybag", "--resamples", "20", "--json")
    figures = json.loads(shown.stdout)["figures"]
    assert figures["boxes"] == 24
    assert figures["recall"] >= 0.9
    assert figures["precision"] >= 0.9
