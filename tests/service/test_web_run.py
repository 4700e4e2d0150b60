"""`edge-sorter run` with `service.http`: the page of a real line, its real broker and its journal."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys

import mosquitto as real
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.broker,
    pytest.mark.skipif(not real.INSTALLED, reason="mosquitto is not installed: no real broker to run against"),
]


def ask(port: int, path: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()


def test_the_page_of_a_running_line_finds_parcels_in_its_journal(own_line, tmp_path):
    broker = real.Mosquitto(tmp_path).start()
    port = real.free_port()
    text = own_line.read_text().replace("{host: 127.0.0.1, port: 1883}", f"{{host: 127.0.0.1, port: {broker.port}}}")
    own_line.write_text(f"{text}\njournal: {{path: journal.jsonl}}\nservice: {{http: '127.0.0.1:{port}'}}\n")
    line = subprocess.Popen([sys.executable, "-m", "edge_sorter", "run", "-c", str(own_line)])
    try:
        real.wait_until(lambda: ask(port, "/readyz")[0] == 200, timeout_s=120, what="the line is ready")
        journal = own_line.parent / "journal.jsonl"
        real.wait_until(lambda: b'"dec":[{' in journal.read_bytes(), timeout_s=60, what="a decision is in the journal")
        first = next(x for x in journal.read_bytes().split(b"\n") if b'"dec":[{' in x)
        uid = json.loads(first)["dec"][0]["parcel_uid"]
        real.wait_until(lambda: ask(port, f"/api/history?q={uid}")[1].get("cards"), timeout_s=30, what="it is found")
        status, found = ask(port, f"/api/history?q={uid}")
        assert (status, found["journal"], found["complete"]) == (200, True, True)
        assert [card["parcel_uid"] for card in found["cards"]] == [uid]
        assert ask(port, "/api/history?q=ab")[0] == 400
        assert ask(port, f"/api/picture/{uid}/9.jpg")[0] == 404
        assert ask(port, "/api/setup")[1]["line_mm"] == 1140
    finally:
        line.send_signal(signal.SIGTERM)
        assert line.wait(30) == 0
        broker.stop()
