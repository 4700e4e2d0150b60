"""The page as an operator meets it: the demo line running with its page, and a real Chromium in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mosquitto import INSTALLED, Mosquitto, free_port
from page_line import TOKEN, line_with_page
from recorded_demo import Recorded

from edge_sorter.config import ServiceSection

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker that keeps what a plant's keeps."""
    if not INSTALLED:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto mosquitto-clients)")
    running = Mosquitto(tmp_path, persistence=True).start()
    yield running
    running.stop()


# Both only live as long as the file that uses them: a line that went on playing would meet the faults that other tests
# put into the video room, and Playwright keeps an event loop running in this very thread.
@pytest.fixture(scope="module")
def demo_page() -> Iterator[str]:
    """The address of the page of a running demo line that anybody on this machine may look at."""
    with line_with_page(ServiceSection(http=f"127.0.0.1:{free_port()}")) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    """A real Chromium."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page is not tried in a browser; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., object]]:
    """Opens addresses in tabs of their own; afterwards none of them may have had anything to complain about."""
    complaints: list[str] = []
    contexts = []

    def visit(url: str, *, expected: tuple[str, ...] = (), **settings: object):
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **settings})
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()

        def note(message) -> None:
            if message.type in ("error", "warning") and not any(word in message.text for word in expected):
                complaints.append(f"{message.type}: {message.text}")

        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def own_line(root: Path, tmp_path: Path) -> Path:
    """A copy of the demo line's configuration whose files may be changed; what is large is only pointed at."""
    demo = tmp_path / "configs" / "demo"
    demo.mkdir(parents=True)
    for path in (root / "configs" / "demo").iterdir():
        if path.suffix == ".yaml":
            shutil.copy(path, demo)
        else:
            (demo / path.name).symlink_to(path)
    (tmp_path / "weights").symlink_to(root / "weights")
    shutil.copytree(root / "calibration" / "camera", tmp_path / "calibration" / "camera")
    return demo / "line.yaml"


@pytest.fixture
def recorded(root: Path) -> Iterator[Recorded]:
    """The demo played from its journal."""
    playing = Recorded(root)
    yield playing
    playing.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path
