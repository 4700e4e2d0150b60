"""The container files: what they name exists, real programs understand them, and the dashboard asks for real figures.

No image is built here; docs/containers.md says what was.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from mosquitto import free_port, wait_until
from page_line import line_with_page
from test_alerts import RULES, promtool

from edge_sorter.config import ServiceSection, load_config
from edge_sorter.service.access import Access

FOLDER = "deploy/containers"
DASHBOARD = f"{FOLDER}/grafana/dashboards/edge-sorter.json"
FIGURE = re.compile(r"\b(?:edge_sorter|process)_\w+")


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((root / DASHBOARD).read_text())
    return value


def asked(dashboard: dict[str, Any]) -> list[str]:
    """Every query of the dashboard."""
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    return texts


@pytest.fixture(scope="module")
def scraped() -> set[str]:
    """The names of all figures of a running line."""
    with line_with_page(ServiceSection(http=f"127.0.0.1:{free_port()}")) as url:

        def figures() -> str:
            return urllib.request.urlopen(f"{url}metrics", timeout=30).read().decode()

        wait_until(lambda: "\nedge_sorter_frames_per_second " in figures(), timeout_s=60, what="frames are counted")
        text = figures()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    histograms = {
        name + end for name, kind in kinds.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")
    }
    return set(kinds) | histograms


def test_dashboard_and_alerts_ask_only_for_figures_that_a_running_line_has(root: Path, dashboard, scraped):
    rules = yaml.safe_load((root / RULES).read_text())["groups"][0]["rules"]
    names = {name for text in [*asked(dashboard), *(rule["expr"] for rule in rules)] for name in FIGURE.findall(text)}
    names.discard("edge_sorter")  # the job's name
    assert names <= scraped, names - scraped
    assert len(names) > 20


def test_prometheus_understands_every_query(tmp_path: Path, dashboard):
    rules = [
        {"record": f"query_{number}", "expr": text.replace("$line", ".*")}
        for number, text in enumerate(dict.fromkeys(asked(dashboard)))
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "rules.yaml", cwd=tmp_path)


def test_no_panel_covers_another_and_all_use_the_provisioned_datasource(root: Path, dashboard):
    sources = yaml.safe_load((root / FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        fields = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not fields & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= fields
        assert {target["datasource"]["uid"] for target in panel["targets"]} <= uids
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((root / FOLDER / "compose.yaml").read_text())
    return value


def test_every_file_that_the_compose_file_mounts_is_there_or_made_by_setup(root: Path, compose):
    made = ("./secrets/", "./line")
    mounts = [volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]]
    paths = [mount for mount in mounts if mount.startswith(".") and not mount.startswith(made)]
    assert len(paths) >= 5 and all((root / FOLDER / path).exists() for path in paths), paths
    named = {mount for mount in mounts if not mount.startswith(".")}
    assert named == set(compose["volumes"])


def test_only_the_broker_can_be_reached_from_elsewhere(compose):
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    open_ones = {name for name, published in ports.items() for port in published if not port.startswith("127.0.0.1:")}
    assert open_ones == {"broker"} and ports["broker"] == ["8883:8883"]


def test_compose_itself_understands_the_file(root: Path, compose, tmp_path: Path):
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed (apt-get install docker-compose)")
    older = {key: value for key, value in compose.items() if key != "name"}  # version 1 knows no project name
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(older))
    words = [program, "--project-directory", str(root / FOLDER), "-f", "compose.yaml", "config", "-q"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.jetson"])
def test_what_the_images_copy_is_there_and_let_through(root: Path, name: str):
    text = (root / FOLDER / name).read_text()
    copied = [word for words in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for word in words.split()[:-1]]
    let_through = (root / FOLDER / f"{name}.dockerignore").read_text().splitlines()
    assert copied and all((root / word).exists() and f"!{word}" in let_through for word in copied)
    assert "USER edge-sorter" in text and "HEALTHCHECK" in text


@pytest.fixture
def prepared(root: Path, tmp_path: Path) -> Path:
    if os.geteuid() != 0 or shutil.which("openssl") is None:
        pytest.skip("setup.sh wants root and openssl")
    shutil.copytree(root / "deploy", tmp_path / "deploy")
    folder = tmp_path / "deploy/containers"
    subprocess.run(["./setup.sh", "box.hub7.local"], cwd=folder, check=True, capture_output=True)
    return folder


def test_setup_gives_each_account_its_keys_and_keeps_what_is_there(prepared: Path):
    key, token = prepared / "secrets/sorter/sorter.line03.vis01.key", prepared / "secrets/sorter/page.token"
    assert (key.stat().st_uid, key.stat().st_mode & 0o777) == (10001, 0o400)
    assert (prepared / "secrets/broker/certs/broker.key").stat().st_uid == 1883
    before = (key.read_bytes(), token.read_bytes())
    (prepared / "line/plan.yaml").write_text("mine")
    subprocess.run(["./setup.sh", "box.hub7.local"], cwd=prepared, check=True, capture_output=True)
    assert (key.read_bytes(), token.read_bytes()) == before
    assert (prepared / "line/plan.yaml").read_text() == "mine"
    names = ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", "secrets/broker/certs/broker.pem"]
    told = subprocess.run(names, cwd=prepared, check=True, capture_output=True, text=True).stdout
    assert "DNS:broker, DNS:box.hub7.local" in told


def test_the_starter_line_is_a_right_configuration(prepared: Path):
    path = prepared / "line/line.yaml"
    path.write_text(path.read_text().replace("/run/secrets/", f"{prepared}/secrets/"))
    config = load_config(path)
    assert config.plc.tls is not None and config.plc.tls.cert_file.is_file()
    Access.of(config.service)
    assert Path(str(config.detect.model)).parts[:3] == ("/", "opt", "edge-sorter")
