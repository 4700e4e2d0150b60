"""The doctor: what he says about sound and sick installations, with real brokers, certificates, clips and engines."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import av
import mosquitto as real
import numpy as np
import own_line
import pytest
import yaml

from edge_sorter.config import Config, load_config
from edge_sorter.service.doctor import Verdict, configuration, examine, exit_code
from edge_sorter.service.doctor.broker import broker, file_until, judge
from edge_sorter.service.doctor.camera import CameraExam
from edge_sorter.service.doctor.clocks import clock_sync, judge_chrony, judge_ptp
from edge_sorter.service.doctor.gpu import engine_cache, gpu
from edge_sorter.service.doctor.machine import disk, memory, power, records
from edge_sorter.service.doctor.model import unmatched
from edge_sorter.service.doctor.page import page
from edge_sorter.types import Detections

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def demo(root: Path) -> Config:
    return load_config(root / "configs/demo/line.yaml")


def with_plc(config: Config, **plc: object) -> Config:
    return config.model_copy(update={"plc": config.plc.model_copy(update=plc)})


@pytest.mark.parametrize(
    ("tracking", "verdict", "fact"),
    [
        (
            "C0A80101,ptp0,1,1795257302.1,0.000012,0.0,0.0,1,0,0,0.0,0.0,16.1,Normal\n",
            Verdict.OK,
            "+0.012 ms from ptp0",
        ),
        ("C0A80101,10.0.0.1,3,17.1,-0.021,0.0,0.0,1,0,0,0.0,0.0,16.1,Normal\n", Verdict.WARN, "-21.000 ms"),
        ("00000000,,0,0.0,0.0,0.0,0.0,0,0,0,1.0,1.0,0.0,Not synchronised\n", Verdict.WARN, "no time server"),
        ("506 Cannot talk to daemon\n", Verdict.WARN, "unknown"),
    ],
)
def test_chrony(tracking, verdict, fact):
    found = judge_chrony(tracking)
    assert found.verdict is verdict
    assert fact in found.fact


def test_a_clock_nobody_vouches_for_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert clock_sync().verdict is Verdict.WARN
    (tmp_path / "timedatectl").write_text("#!/bin/sh\necho yes\n")
    (tmp_path / "timedatectl").chmod(0o755)
    assert clock_sync().verdict is Verdict.OK


PTP = """sending: GET TIME_STATUS_NP
\tdaebe0.fffe.62e6d1-0 seq 0 RESPONSE MANAGEMENT TIME_STATUS_NP
\t\tmaster_offset              63
\t\tingress_time               1795282521449878190
\t\tlastGmPhaseChange          0x0000'0000000000000000.0000
\t\tgmPresent                  true
\t\tgmIdentity                 223355.fffe.22ab37
"""
"""What pmc of linuxptp 3.1.1 printed beside a ptp4l that followed another one."""


@pytest.mark.parametrize(
    ("status", "verdict", "fact"),
    [
        (PTP, Verdict.OK, "+0.000 ms from 223355.fffe.22ab37 (PTP"),
        (PTP.replace(" 63", " -7100000"), Verdict.WARN, "-7.100 ms"),
        (PTP.replace("true", "false"), Verdict.WARN, "no grandmaster"),
        (PTP.replace("master_offset", "else"), Verdict.WARN, "unknown"),
    ],
)
def test_ptp(status, verdict, fact):
    found = judge_ptp(status)
    assert found.verdict is verdict
    assert fact in found.fact


def test_pmc_without_a_ptp4l_is_no_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, said in (("pmc", "sending: GET TIME_STATUS_NP"), ("timedatectl", "yes")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
    assert "systemd does not say how well" in clock_sync().fact
    (tmp_path / "pmc.txt").write_text(PTP)
    (tmp_path / "pmc").write_text('#!/bin/sh\nwhile read -r line; do echo "$line"; done < "$0.txt"\n')
    assert "PTP" in clock_sync().fact


def test_a_gpu_that_nobody_uses_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, cache = gpu(tmp_path)
    assert (first.verdict, cache.verdict) == (Verdict.OK, Verdict.OK)
    assert "the processor" in first.fact
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA RTX A2000, 550.54, 6138 MiB'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    first, cache = gpu(tmp_path)
    assert first.verdict is Verdict.WARN
    assert first.fact.startswith("NVIDIA RTX A2000, 550.54, 6138 MiB, but TensorRT is not installed")
    assert "takes minutes" in cache.fact
    (tmp_path / "cache/edge-sorter/x.plan").write_bytes(b"x" * 3_000_000)
    assert "1 files, 3 MB" in engine_cache(needed=True).fact
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert engine_cache(needed=True).verdict is Verdict.WARN


def test_who_gets_into_the_page_is_said(demo, tmp_path):
    def asked(**service: object) -> list:
        section = demo.service.model_copy(update=service)
        return list(page(demo.model_copy(update={"service": section}), now=NOW))

    assert "no page" in asked(http=None)[0].fact
    (found,) = asked(http="127.0.0.1:9464")
    assert (found.verdict, "nobody can change anything" in found.fact) == (Verdict.OK, True)
    token = tmp_path / "token"
    token.write_text("x" * 20)
    token.chmod(0o644)
    first, second = asked(http="0.0.0.0:9464", token_file=token)
    assert (first.verdict, second.verdict) == (Verdict.WARN, Verdict.WARN)
    assert "readable" in first.advice
    assert second.advice == f"chmod o= {token}"
    (found,) = asked(http="127.0.0.1:9464", token_file=tmp_path / "none")
    assert found.verdict is Verdict.FAIL


def test_memory(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 300000 kB\n")
    assert memory(tmp_path / "meminfo").verdict is Verdict.WARN
    assert "0.3 of 8.2 GB" in memory(tmp_path / "meminfo").fact
    assert memory(tmp_path / "none").verdict is Verdict.WARN


def test_records_that_would_be_lost_with_the_program_are_said(demo, tmp_path, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert records(demo).verdict is Verdict.WARN
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    found = records(demo)
    assert (found.verdict, str(tmp_path / "outbox.sqlite") in found.fact) == (Verdict.OK, True)


def test_a_journal_larger_than_the_disk_is_said(demo, tmp_path):
    journal = demo.journal.model_copy(update={"path": tmp_path / "later/journal.jsonl", "max_mb": 1e9})
    (found,) = disk(demo.model_copy(update={"journal": journal}))
    assert found.verdict is Verdict.WARN
    assert "lower journal.max_mb" in found.advice


def test_power_mode_of_a_jetson(monkeypatch, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [found.verdict for found in power(tmp_path)] == [Verdict.WARN]
    for mode, verdict in (("MAXN_SUPER", Verdict.OK), ("15W", Verdict.WARN)):
        (tmp_path / "nvpmodel").write_text(f"#!/bin/sh\necho 'NV Power Mode: {mode}'\necho 0\n")
        (tmp_path / "nvpmodel").chmod(0o755)
        (found,) = power(tmp_path)
        assert (found.verdict, found.fact) == (verdict, f"power mode {mode}")


def test_a_powersave_governor_is_said_but_not_intels(tmp_path):
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_governor").write_text("powersave\n")
    assert [found.verdict for found in power(tmp_path)] == [Verdict.WARN]
    (folder / "scaling_driver").write_text("intel_pstate\n")
    assert list(power(tmp_path)) == []


def clip(path: Path, images) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("value", "verdict", "said"),
    [(0, Verdict.WARN, "CAM_DARK"), (120, Verdict.WARN, "out of focus"), (250, Verdict.WARN, "nearly white")],
)
def test_pictures_nobody_can_use(demo, tmp_path, value, verdict, said):
    path = clip(tmp_path / "clip.mp4", [np.full((240, 320, 3), value, np.uint8)] * 20)
    exam = CameraExam(demo.model_copy(update={"video": demo.video.model_copy(update={"source": str(path)})}))
    found = next(f for f in exam.findings if f.part == "picture")
    assert found.verdict is verdict
    assert said in found.fact + found.advice


def test_a_camera_that_does_not_answer(demo):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        source = f"rtsp://me:secret@127.0.0.1:{closed.getsockname()[1]}/cam"
        video = demo.video.model_copy(update={"source": source, "open_timeout_s": 1.0})
        (found,) = CameraExam(demo.model_copy(update={"video": video})).findings
    assert (found.verdict, found.exit_code) == (Verdict.FAIL, 69)
    assert "secret" not in found.fact


def test_a_password_is_not_shown(demo, root, tmp_path):
    config = yaml.safe_load((root / "configs/demo/line.yaml").read_text())
    config["video"]["source"] = "rtsp://me:secret@192.0.2.1/cam"
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(config))
    facts = [found.fact for found in configuration(tmp_path / "line.yaml")]
    assert "rtsp://192.0.2.1/cam" in facts
    assert not [fact for fact in facts if "secret" in fact]


@pytest.mark.parametrize(("days", "verdict"), [(-1, Verdict.FAIL), (29, Verdict.WARN), (31, Verdict.OK)])
def test_how_long_a_certificate_holds(days, verdict):
    assert judge("certificate", NOW + timedelta(days=days, hours=1), now=NOW).verdict is verdict


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 that holds for ten days; its key lies beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10",
         "-subj", "/CN=plant", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path / "cert.pem"


@pytest.mark.broker
def test_a_broker_whose_certificate_ends_soon(demo, certificate, tmp_path):
    if not real.INSTALLED:
        pytest.skip("mosquitto is not installed")
    key = certificate.with_name("key.pem")
    plant = real.Mosquitto(tmp_path, extra=f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}").start()
    try:
        tls = {"ca_file": certificate}
        config = Config.model_validate(demo.model_dump() | {"plc": {"port": plant.port, "tls": tls}})
        found = {f.part: f for f in broker(config)}
    finally:
        plant.stop()
    assert "MQTT 5, TLS" in found["broker"].fact
    for part in ("broker's certificate", "authority"):
        assert found[part].verdict is Verdict.WARN
        assert " 9 more days" in found[part].fact
    ends = file_until(certificate)
    assert ends is not None
    assert timedelta(days=9) < ends - datetime.now(timezone.utc) < timedelta(days=11)


def test_no_broker(demo):
    (found,) = broker(with_plc(demo, port=real.free_port()))
    assert (found.verdict, found.exit_code) == (Verdict.FAIL, 76)
    assert "connection refused; start the broker there" in found.fact


def boxes(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(0, table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_boxes_that_one_engine_does_not_see():
    seen = boxes((0, 0, 100, 100, 0.9, 0), (200, 0, 300, 100, 0.9, 1), (400, 0, 500, 100, 0.3, 0))
    assert unmatched(seen, seen, sure=0.5) == 0
    assert unmatched(seen, boxes((2, 2, 101, 101, 0.4, 0), (200, 0, 300, 100, 0.9, 1)), sure=0.5) == 0
    assert unmatched(seen, boxes((2, 2, 101, 101, 0.9, 0)), sure=0.5) == 1
    assert unmatched(seen, boxes((0, 0, 100, 100, 0.9, 0), (200, 0, 300, 100, 0.9, 0)), sure=0.5) == 1, "other class"
    assert unmatched(seen, boxes((60, 0, 160, 100, 0.9, 0)), sure=0.5) == 2
    assert unmatched(seen, boxes(), sure=0.5) == 2


def test_a_wrong_configuration_is_all_there_is_to_say(tmp_path):
    (tmp_path / "line.yaml").write_text("detect: {}\n")
    found = list(examine(tmp_path / "line.yaml"))
    assert exit_code(found) == 78
    assert {f.part for f in found} == {"configuration"}


@pytest.mark.slow
@pytest.mark.broker
def test_a_sound_installation(root, tmp_path):
    if not real.INSTALLED:
        pytest.skip("mosquitto is not installed")
    plant = real.Mosquitto(tmp_path).start()
    outsider = real.Outsider(plant, "#")
    try:
        own_line.write(tmp_path, own_line.demo_values(root) | {"plc": {"port": plant.port}})
        done = subprocess.run(
            [sys.executable, "-m", "edge_sorter", "doctor", "--json", "-c", tmp_path / "line.yaml"],
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
    finally:
        outsider.close()
        plant.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    parts = {finding["part"]: finding for finding in told["findings"]}
    assert parts["computes right"]["verdict"] == "ok", parts["computes right"]
    assert {"configuration", "clock", "disk", "memory", "broker", "camera", "engine", "speed"} <= parts.keys()
    assert all(f["advice"] for f in told["findings"] if f["verdict"] == "warn")
    assert outsider.lines == [], "it publishes nothing"
