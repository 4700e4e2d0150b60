"""The main job on shipped weights: the demo clip, a real broker with an outsider, real footage."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import mosquitto as real
import pytest

from edge_sorter.config import load_config
from edge_sorter.live import replay_published
from edge_sorter.replay import ReplayOptions, ReplayResult, replay_clip, replay_journal

DEMO = "configs/demo/line.yaml"


@dataclass
class Replayed:
    out: Path
    result: ReplayResult


@pytest.fixture(scope="module")
def demo(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """The demo clip, replayed once as fast as possible."""
    out = tmp_path_factory.mktemp("demo")
    options = ReplayOptions(out_dir=out, truth=root / "configs/demo/truth.json", video=False)
    config = load_config(root / DEMO)
    return Replayed(out, replay_clip(config, root / "configs/demo/demo.mp4", config_name=DEMO, options=options))


@pytest.mark.slow
def test_every_demo_parcel_gets_one_decision_in_the_right_lane_and_in_time(demo: Replayed) -> None:
    report = demo.result.report
    truth = report["truth"]
    assert truth["parcels"] >= 40
    assert (truth["decided"], truth["missed"], truth["extra"]) == (truth["parcels"], 0, 0)
    assert truth["lane_right"] / truth["lanes_judged"] >= 0.99, truth["wrong"]
    assert (report["late"], report["duplicates"]) == (0, 0)
    assert truth["crossing_error_ms_max"] < 150


@pytest.mark.slow
def test_the_journal_gives_the_same_decisions_byte_for_byte(demo: Replayed, root: Path, tmp_path: Path) -> None:
    decisions, differ = replay_journal(load_config(root / DEMO), demo.out / "journal.jsonl", out_dir=tmp_path)
    assert (decisions, differ) == (demo.result.report["decisions"], 0)
    assert (tmp_path / "decisions.jsonl").read_bytes() == (demo.out / "decisions.jsonl").read_bytes()


@pytest.mark.slow
def test_the_same_clip_gives_the_same_decisions(demo: Replayed, root: Path, tmp_path: Path) -> None:
    options = ReplayOptions(out_dir=tmp_path, video=False)
    replay_clip(load_config(root / DEMO), root / "configs/demo/demo.mp4", config_name=DEMO, options=options)
    assert (tmp_path / "decisions.jsonl").read_bytes() == (demo.out / "decisions.jsonl").read_bytes()


GOLDEN = Path(__file__).parent / "golden"


def test_golden_journal(root: Path) -> None:
    """A recorded journal of the demo decides as it did when it was recorded.

    After a change that is meant to alter decisions: `edge-sorter replay configs/demo/demo.mp4 -c configs/demo/line.yaml
    --out out/golden --no-video`, look at what changed, and copy journal.jsonl to tests/golden/demo.jsonl.
    """
    decisions, differ = replay_journal(load_config(root / DEMO), GOLDEN / "demo.jsonl")
    assert decisions >= 38
    assert differ == 0


@pytest.fixture
def broker(tmp_path: Path):
    if not real.INSTALLED:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto mosquitto-clients)")
    # A broker that keeps sessions over its restart, as a plant's does: the outsider needs a second to come back.
    with_sessions = real.Mosquitto(tmp_path, persistence=True).start()
    yield with_sessions
    with_sessions.stop()


@pytest.fixture
def published(root: Path, broker):
    """A function that replays the demo clip to the broker in real time, in a thread; and the outsider who listens."""
    config = load_config(root / DEMO)
    plc = config.plc.model_copy(update={"host": broker.host, "port": broker.port})
    config = config.model_copy(update={"plc": plc})
    results: list[ReplayResult] = []

    def play(**options) -> threading.Thread:
        def work() -> None:
            results.append(
                replay_published(
                    config,
                    root / "configs/demo/demo.mp4",
                    config_name=DEMO,
                    options=ReplayOptions(**options),
                    progress=lambda *_: None,
                    stopped=lambda: False,
                )
            )

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    outsider = real.Outsider(broker, "replay/#")
    yield play, outsider, results
    outsider.close()


PREFIX = "replay/acme/hub7/sort/line03/vis01/edge_sorter/v1"


@pytest.mark.slow
@pytest.mark.broker
def test_an_outsider_sees_every_decision_once(published) -> None:
    play, outsider, results = published
    play().join(120)
    sent = [d.parcel_uid for d in results[0].decisions]
    real.wait_until(lambda: len(outsider.on(f"{PREFIX}/decision")) >= len(sent), what="all decisions seen")
    seen = [json.loads(payload)["parcel_uid"] for payload in outsider.on(f"{PREFIX}/decision")]
    assert seen == sent
    assert len(set(seen)) == len(seen) >= 25
    states = [json.loads(payload)["state"] for payload in outsider.on(f"{PREFIX}/state")]
    assert states[0] == "STARTING"
    assert "RUNNING" in states
    assert states[-1] == "OFFLINE"


@pytest.mark.slow
@pytest.mark.broker
def test_a_broker_restart_mid_replay_is_survived_and_told(published, broker) -> None:
    play, outsider, results = published
    playing = play(realtime=True)
    real.wait_until(lambda: len(outsider.on(f"{PREFIX}/decision")) >= 5, timeout_s=30, what="first decisions")
    broker.stop()
    broker.start()
    before = len(outsider.on(f"{PREFIX}/decision"))
    playing.join(120)
    real.wait_until(lambda: b'"OFFLINE"' in outsider.on(f"{PREFIX}/state")[-1], what="the end")
    seen = [json.loads(payload)["parcel_uid"] for payload in outsider.on(f"{PREFIX}/decision")]
    assert len(seen) > before
    assert len(set(seen)) == len(seen)
    report = results[0].report
    assert report["published"].get("SENT", 0) == len(seen)
    told = [json.loads(payload) for payload in outsider.on(f"{PREFIX}/state")]
    assert any(state.get("reconnects", 0) >= 1 and "reconnect" in (state.get("cause") or "") for state in told)


@pytest.mark.slow
def test_make_demo_says_so_in_its_last_line(root: Path, tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "edge_sorter", "demo", "--fast", "--no-video", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    last = shown.stdout.strip().splitlines()[-1]
    assert shown.returncode == 0, shown.stdout + shown.stderr
    parcels = int(last.split()[0])
    assert last == (
        f"{parcels} parcels, {parcels - 2} decisions received over MQTT, 2 of them for two that no diverter can part, "
        f"{parcels} parcels in the right lane, 0 late, 0 duplicates"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("clip", "parcels", "tolerance"), [("cartons_1080p50", 3, 0), ("flat_packs", 13, 1)])
def test_real_clips_are_counted(root: Path, footage: Path, clip: str, parcels: int, tolerance: int) -> None:
    config = load_config(root / f"configs/footage/{clip}.yaml")
    folder = footage / "clips" / clip
    options = ReplayOptions(truth=folder / "truth.json")
    report = replay_clip(config, folder / "clip.mp4", config_name=clip, options=options).report
    assert abs(report["decisions"] - parcels) <= tolerance, report["by_reason"]
    assert report["duplicates"] == 0


def test_nothing_of_the_footage_is_in_the_checkout(root: Path, footage: Path) -> None:
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    foreign = {digest(path) for path in footage.rglob("*") if path.suffix in (".mp4", ".jpg", ".png")}
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False).stdout
    ours = [root / name for name in tracked.split("\0") if name.endswith((".mp4", ".jpg", ".png"))]
    assert not [path for path in ours if path.is_file() and digest(path) in foreign]
