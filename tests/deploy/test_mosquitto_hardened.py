"""The shipped broker configuration on a real mosquitto: who gets in, and who may write what."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from pathlib import Path

import mosquitto as real
import pytest

PREFIX = "acme/hub7/sort/line03/vis01/edge_sorter/v1"
USERS = (
    *("sorter.line03.vis01", "gateway.line03.vis01", "scanner.line03.vis01", "mirror.line03.vis01"),
    *("monitor", "host", "operator", "scada"),
)
SPARKPLUG = "spBv1.0/hub7"

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(
        not real.INSTALLED or shutil.which("openssl") is None,
        reason="mosquitto, mosquitto-clients or openssl is not installed",
    ),
]


@pytest.fixture(scope="module")
def certs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    script = root / "deploy/mosquitto/make-certs.sh"
    subprocess.run(["sh", script, folder, "127.0.0.1", *USERS], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def broker(root: Path, certs: Path, tmp_path_factory: pytest.TempPathFactory):
    """The shipped files, with their paths and port moved into a test folder and nothing else changed."""
    folder = tmp_path_factory.mktemp("broker")
    shipped = root / "deploy/mosquitto"
    shutil.copy(shipped / "acl.conf", folder / "acl.conf")
    one = real.Mosquitto(folder)
    text = (shipped / "mosquitto.conf").read_text()
    for old, new in (
        ("/etc/mosquitto/certs", str(certs)),
        ("/etc/mosquitto/acl.conf", str(folder / "acl.conf")),
        ("/var/lib/mosquitto/", f"{folder}/"),
        ("listener 8883", f"user root\nlistener {one.port} 127.0.0.1"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "mosquitto.conf").write_text(text)
    one.start()
    yield one
    one.stop()


def tls(certs: Path, user: str | None) -> list[str]:
    own = [] if user is None else ["--cert", str(certs / f"{user}.pem"), "--key", str(certs / f"{user}.key")]
    return ["--cafile", str(certs / "ca.pem"), *own]


def publish(broker, certs: Path, user: str | None, topic: str, text: str = "x") -> subprocess.CompletedProcess[str]:
    command = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-V", "mqttv5", "-q", "1"]
    return subprocess.run(
        [*command, *tls(certs, user), "-t", topic, "-m", text], capture_output=True, text=True, timeout=20, check=False
    )


def heard(broker, certs: Path, user: str, topic: str, *, writer: str) -> bool:
    """Whether `user`, subscribed to `topic`, gets what `writer` goes on publishing there for a while."""
    command = ["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", "mqttv5", "-q", "1", "-C", "1"]
    listener = subprocess.Popen(
        [*command, *tls(certs, user), "-t", topic, "-F", "%t"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for _ in range(60):
        publish(broker, certs, writer, topic)
        if listener.poll() is not None:
            break
        time.sleep(0.05)
    listener.kill()
    return bool(listener.communicate()[0].strip())


@pytest.mark.parametrize(
    ("user", "topic", "allowed"),
    [
        ("sorter.line03.vis01", "decision", True),
        ("sorter.line03.vis01", "state", True),
        ("sorter.line03.vis01", "alarm/NO_ACK", True),
        ("sorter.line03.vis01", "plc/ack", False),
        ("sorter.line03.vis01", "cmd", False),
        ("gateway.line03.vis01", "plc/ack", True),
        ("gateway.line03.vis01", "plc/lane/L12/state", True),
        ("gateway.line03.vis01", "decision", False),
        ("gateway.line03.vis01", "cmd", False),
        ("scanner.line03.vis01", "scan/read", True),
        ("scanner.line03.vis01", "plc/ack", False),
        ("host", "wcs/plan", True),
        ("host", "decision", False),
        ("operator", "cmd", True),
        ("operator", "decision", False),
        ("mirror.line03.vis01", "state", False),
        ("mirror.line03.vis01", "decision", False),
        ("mirror.line03.vis01", "plc/ack", False),
        ("mirror.line03.vis01", "cmd", False),
        ("mirror.line03.vis01", f"{SPARKPLUG}/DDATA/line03-vis01/edge_sorter", True),
        ("mirror.line03.vis01", f"{SPARKPLUG}/NDATA/line04-vis01", False),
        ("scada", f"{SPARKPLUG}/NCMD/line03-vis01", True),
        ("scada", f"{SPARKPLUG}/NDATA/line03-vis01", False),
        ("scada", "cmd", False),
        ("monitor", "state", False),
        ("monitor", "decision", False),
    ],
)
def test_every_role_writes_its_own_topics_only(broker, certs, user, topic, allowed):
    done = publish(broker, certs, user, topic if topic.startswith("spBv1.0/") else f"{PREFIX}/{topic}")
    refused = "not authorized" in (done.stderr + done.stdout).lower()
    assert refused is not allowed, done.stderr + done.stdout


def test_no_role_reaches_another_line(broker, certs):
    other = PREFIX.replace("line03", "line04")
    for user in USERS:
        done = publish(broker, certs, user, f"{other}/decision")
        assert "not authorized" in (done.stderr + done.stdout).lower(), user


def test_without_a_certificate_nobody_gets_in(broker, certs):
    done = publish(broker, certs, None, f"{PREFIX}/state")
    assert done.returncode != 0


def test_another_authority_is_not_believed(root, broker, certs, tmp_path):
    script = root / "deploy/mosquitto/make-certs.sh"
    subprocess.run(["sh", script, tmp_path, "127.0.0.1", "sorter.line03.vis01"], check=True, capture_output=True)
    shutil.copy(certs / "ca.pem", tmp_path / "ca.pem")  # trusts the broker, but is signed by a stranger
    assert publish(broker, tmp_path, "sorter.line03.vis01", f"{PREFIX}/state").returncode != 0


def test_the_gateway_hears_decisions_and_a_scanner_does_not(broker, certs):
    decision = f"{PREFIX}/decision"
    assert heard(broker, certs, "gateway.line03.vis01", decision, writer="sorter.line03.vis01")
    assert not heard(broker, certs, "scanner.line03.vis01", decision, writer="sorter.line03.vis01")


def test_keys_are_private_and_a_second_run_keeps_what_is_there(root, certs):
    before = {path.name: path.read_bytes() for path in certs.iterdir() if path.suffix in (".pem", ".key")}
    assert all(path.stat().st_mode & 0o077 == 0 for path in certs.glob("*.key"))
    script = root / "deploy/mosquitto/make-certs.sh"
    shown = subprocess.run(["sh", script, certs, "127.0.0.1", "monitor"], check=True, capture_output=True, text=True)
    assert "kept" in shown.stdout
    assert {path.name: path.read_bytes() for path in certs.iterdir() if path.suffix in (".pem", ".key")} == before


def test_one_more_line(root):
    script = root / "deploy/mosquitto/add-line.sh"
    shown = subprocess.run(["sh", script, "acme/hub9/sort/line04/vis02"], check=True, capture_output=True, text=True)
    assert "user gateway.line04.vis02" in shown.stdout
    assert "topic write acme/hub9/sort/line04/vis02/edge_sorter/v1/plc/#" in shown.stdout
    assert "topic write spBv1.0/hub9/DDATA/line04-vis02/edge_sorter" in shown.stdout
    assert "user mirror.line04.vis02" in shown.stdout
    assert "line03" not in shown.stdout
    assert "hub7" not in shown.stdout
    for wrong in ("", "acme/hub7", "acme/hub7/sort/line04/vis#", "/a/b/c/d", "a/b/c/d/e/f"):
        assert subprocess.run(["sh", script, wrong], capture_output=True, check=False).returncode == 2


def test_the_rights_of_the_mirror_are_enough_and_a_scada_host_sees_it(broker, certs):
    pytest.importorskip("google.protobuf", reason="protobuf is not installed: the Sparkplug mirror was not run")
    from edge_sorter.clock import SystemClock
    from edge_sorter.config import LineSection, PlcSection, TlsSection
    from edge_sorter.plc.gateway.settings import MirrorConfig
    from edge_sorter.plc.gateway.sparkplug import SparkplugMirror
    from edge_sorter.plc.messages import HeartbeatMessage, StateMessage

    own = {"cert_file": certs / "mirror.line03.vis01.pem", "key_file": certs / "mirror.line03.vis01.key"}
    config = MirrorConfig(
        line=LineSection(enterprise="acme", site="hub7", area="sort", line="line03", cell="vis01"),
        mqtt=PlcSection(host=broker.host, port=broker.port, tls=TlsSection(ca_file=certs / "ca.pem", **own)),
        silent_after_ms=60_000,
    )
    stop = threading.Event()
    seen: list[str] = []
    command = ["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", "mqttv5", "-t", f"{SPARKPLUG}/#"]
    host = subprocess.Popen([*command, *tls(certs, "scada"), "-F", "%t"], stdout=subprocess.PIPE, text=True)
    reader = threading.Thread(target=lambda: seen.extend(line.strip() for line in host.stdout))
    mirror = threading.Thread(target=SparkplugMirror(config, clock=SystemClock()).run, args=(stop.is_set,))
    reader.start()
    mirror.start()
    ts = "2026-11-21T18:03:11.5Z"
    said = {
        "state": StateMessage(boot_id="B", state="RUNNING", ts=ts),
        "hb": HeartbeatMessage(boot_id="B", n=1, ts=ts, state="RUNNING"),
    }

    def speak() -> None:
        for topic, message in said.items():
            publish(broker, certs, "sorter.line03.vis01", f"{PREFIX}/{topic}", message.to_json().decode())
        publish(broker, certs, "scada", f"{SPARKPLUG}/NCMD/line03-vis01", "\x12\x18\n\x14Node Control/Rebirthp\x01")

    try:
        births = {f"{SPARKPLUG}/NBIRTH/line03-vis01", f"{SPARKPLUG}/DBIRTH/line03-vis01/edge_sorter"}
        real.wait_until(lambda: births <= set(seen), timeout_s=60, what="both births", meanwhile=speak)
    finally:
        stop.set()
        mirror.join(30)
        real.wait_until(lambda: f"{SPARKPLUG}/NDEATH/line03-vis01" in seen, what="its death")
        host.terminate()
        reader.join(30)
        host.communicate()
