"""Evidence on the page: served by name only, marked by those who may, shown in the why and in the history."""

from __future__ import annotations

import http.client
import json
from datetime import datetime, timezone
from pathlib import Path

import own_line
import pytest
from mosquitto import free_port, wait_until
from page_line import TOKEN, line_with_page
from test_line_status import MS, decision, step

from edge_sorter.belt import open_belt
from edge_sorter.clock import ReplayClock
from edge_sorter.config import EvidenceSection, ServiceSection, load_config
from edge_sorter.journal import JournalWriter
from edge_sorter.service.evidence import Evidence, Store
from edge_sorter.service.evidence.store import name_of
from edge_sorter.service.http import open_http
from edge_sorter.service.status import LineStatus
from edge_sorter.service.web import Page
from edge_sorter.sort import load_plan

AT = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
JPEG = b"\xff\xd8 a picture"
PATIENCE_MS = 120_000


def ask(url: str, path: str, *, method: str = "GET", body: str | None = None, token: str | None = None):
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture
def restarted(root: Path, tmp_path: Path, token_file: Path):
    """A page just started, over the journal and the evidence of an earlier run."""
    old = decision(1, captured_ns=MS)
    with JournalWriter(tmp_path / "journal.jsonl", header={}) as writer:
        writer.write(step(1, MS, old))
    folder = tmp_path / "evidence"
    store = Store(folder)
    name = name_of(AT, "no_read", f"{old.parcel_uid}-{old.rev}")
    (folder / f"{name}.jpg").write_bytes(JPEG)
    (folder / f"{name}.mp4").write_bytes(b"clip")
    store.add(name, {"why": "no_read"})

    clock = ReplayClock()
    status = LineStatus(clock)
    service = ServiceSection(http=f"127.0.0.1:{free_port()}", token_file=token_file)
    page = Page(service, status)
    config = load_config(root / "configs/demo/line.yaml")
    journal = config.journal.model_copy(update={"path": tmp_path / "journal.jsonl"})
    config = config.model_copy(update={"journal": journal})
    plan = load_plan(config.sort.plan, classes=("carton", "polybag", "mailer", "tube", "sack"))
    belt = open_belt(config.belt, image_size_px=(960, 540))
    page.show(config, belt=belt, plan=plan, classes=("carton",), size_px=(960, 540))
    with (
        Evidence(EvidenceSection(path=folder), Store(folder), status, clock, line="x") as evidence,
        open_http(service, status, page=page) as server,
    ):
        page.keep(evidence)
        yield server.url, old, name, evidence, clock


def test_the_history_of_an_earlier_run_has_its_pictures(restarted):
    url, old, *_ = restarted
    status, body = ask(url, f"/api/history?q={old.parcel_uid}")
    (card,) = json.loads(body)["cards"]
    assert (status, card["parcel_uid"], card["picture"]) == (200, old.parcel_uid, True)
    assert ask(url, f"/api/picture/{old.parcel_uid}/{old.rev}.jpg") == (200, JPEG)
    assert ask(url, "/api/picture/nobody/0.jpg")[0] == 404


def test_a_parcels_evidence_is_listed_and_served_by_name_only(restarted):
    url, old, name, *_ = restarted
    listed = json.loads(ask(url, f"/api/evidence?uid={old.parcel_uid}")[1])
    assert [entry["id"] for entry in listed["entries"]] == [name]
    assert json.loads(ask(url, "/api/evidence?uid=nobody")[1]) == {"kept": True, "entries": []}
    assert ask(url, f"/api/evidence/{name}.mp4") == (200, b"clip")
    assert json.loads(ask(url, f"/api/evidence/{name}.json")[1])["why"] == "no_read"
    for bad in ("salt", f"{name}", f"{name}.txt", "..%2Fjournal.jsonl", "%2e%2e/salt", f"{name}.mp4%00"):
        assert ask(url, f"/api/evidence/{bad}")[0] == 404, bad


def test_only_those_who_may_change_something_mark(restarted):
    url, _, _, evidence, clock = restarted
    assert ask(url, "/api/evidence/mark", method="POST", body="{}")[0] == 403
    assert ask(url, "/api/evidence/mark", method="POST", body="{}", token=TOKEN)[0] == 200
    for bad in ("[]", "{", '{"note": 1}', '{"parcel_uid": "nobody"}', json.dumps({"note": "x" * 2000})):
        assert ask(url, "/api/evidence/mark", method="POST", body=bad, token=TOKEN)[0] == 422, bad
    clock.sleep_until(10_000 * MS)
    wait_until(lambda: evidence.counts["mark"] == 1, timeout_s=60, what="the mark is kept")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_why_shows_the_clip_and_keeps_more(root, tmp_path, token_file, open_page):
    values = own_line.demo_values(root)
    values["sort"] |= {"min_hits": 500}
    values["evidence"] = {"path": str(tmp_path / "evidence"), "on": ["low_conf", "mark"], "per_hour": 3}
    path = own_line.write(tmp_path, values)
    port = free_port()
    service = ServiceSection(http=f"127.0.0.1:{port}", token_file=token_file)
    with line_with_page(service, config_path=path) as url:
        store = tmp_path / "evidence"
        wait_until(lambda: any(store.glob("*.json")), timeout_s=120, what="a first exception is kept")
        uid = Store(store).entries()[-1].parcel.rpartition("-")[0]
        page = open_page(url, expected=("403", "ERR_CONNECTION", "WebSocket"))
        card = page.locator(f".decision[data-uid='{uid}']").first
        card.wait_for(timeout=PATIENCE_MS)
        card.evaluate("node => node.click()")  # not where the mouse is: the list moves on under it
        page.wait_for_selector("#why-evidence video")
        page.wait_for_function("() => document.querySelector('#why-evidence video').readyState >= 2")
        assert page.evaluate("document.querySelector('#why-evidence video').videoWidth") == 640
        assert "not sure enough" in page.locator("#why-evidence figcaption").inner_text()
        page.click("#why-mark")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#sign-in", state="hidden")
        page.click("#why-mark")
        page.wait_for_function(
            "() => document.querySelector('#why-evidence').innerText.includes('marked by a person')",
            timeout=PATIENCE_MS,
        )
