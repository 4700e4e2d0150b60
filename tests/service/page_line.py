"""A line with its page, run in a thread of the test: the demo clip, a real broker, real HTTP."""

from __future__ import annotations

import http.client
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mosquitto import wait_until
from rich.console import Console

from edge_sorter.config import ServiceSection
from edge_sorter.replay.showcase import run_showcase

TOKEN = "the-token-of-the-tests"


@contextmanager
def line_with_page(service: ServiceSection, **more: object) -> Iterator[str]:
    """Run the demo line in a thread; yields the page's address."""
    done = threading.Event()
    failed: list[BaseException] = []

    def play() -> None:
        try:
            run_showcase(Console(file=io.StringIO()), service=service, stopped=done.is_set, **more)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=play, name="line under test")
    thread.start()
    try:
        url = f"http://{service.http}/"
        wait_until(lambda: failed or _ready(service.port), timeout_s=120, what="the demo line runs")
        assert not failed, failed
        yield url
    finally:
        done.set()
        thread.join(60)
    assert not failed, failed
    assert not thread.is_alive()


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
