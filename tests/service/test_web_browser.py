"""The operator's page in a real Chromium: it moves, it explains, it keeps strangers out, it never complains."""

from __future__ import annotations

import pytest
from mosquitto import free_port
from page_line import TOKEN, line_with_page

from edge_sorter.config import ServiceSection

pytestmark = pytest.mark.slow


def fingerprint(page, canvas: str) -> str:
    """A canvas's picture; a frozen one gives the same twice."""
    return page.evaluate(f"document.getElementById('{canvas}').toDataURL('image/jpeg', 0.5)")


def test_the_line_is_seen_moving(demo_page, open_page):
    page = open_page(demo_page)
    page.wait_for_selector("#banner[data-state=RUNNING]")
    page.wait_for_function("() => document.getElementById('live-note').hidden")
    for canvas in ("live", "strip"):
        before = fingerprint(page, canvas)
        page.wait_for_function(
            f"before => document.getElementById('{canvas}').toDataURL('image/jpeg', 0.5) !== before", arg=before
        )
    assert page.locator("#line-name").inner_text() == "line03 vis01"
    page.wait_for_selector("#decisions .decision img")
    page.wait_for_function("() => document.querySelector('#lanes [data-lane=L01] td:last-child')?.textContent > 0")
    page.wait_for_selector("#throughput rect, #throughput text")
    assert "parcel-yolo26n" in page.locator("#about").inner_text()


def test_a_decision_explains_itself(demo_page, open_page):
    page = open_page(demo_page)
    page.locator(".decision", has_text="small-carton").first.click()
    page.wait_for_selector("#why[open]")
    assert "small-carton" in page.locator("#why-because").inner_text()
    assert "carton" in page.locator("#why-votes").inner_text()
    timing = page.locator("#why-timing").inner_text()
    assert "to spare" in timing
    assert "infer" in timing
    assert "goes to L01" in page.locator("#why tr.matched").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector("#why", state="hidden")


def test_a_parcel_is_found_again(demo_page, open_page):
    page = open_page(demo_page)
    uid = page.locator(".decision").first.get_attribute("data-uid")
    page.click("[data-tab=history]")
    page.fill("#wanted", uid)
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#found [data-uid='{uid}']")
    assert page.locator("#found .decision").count() == 1
    assert "no journal is kept" in page.locator("#found-note").inner_text().lower()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_and_can_be_read(demo_page, open_page, width, scheme):
    page = open_page(demo_page, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.wait_for_selector("#banner[data-state=RUNNING]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert page.evaluate("parseFloat(getComputedStyle(document.getElementById('state')).fontSize)") >= 40
    page.click("#theme")
    assert page.locator("html").get_attribute("data-theme") != scheme


def test_a_wrong_token_is_refused_and_the_right_one_opens(token_file, open_page):
    port = free_port()
    service = ServiceSection(http=f"0.0.0.0:{port}", token_file=token_file)
    with line_with_page(service):
        page = open_page(f"http://127.0.0.1:{port}/", expected=("403",))
        page.fill("#token", "not-the-token-at-all")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('token-wrong').textContent !== ''")
        assert page.locator("#banner").get_attribute("data-state") == "WAITING"
        assert page.request.get(f"http://127.0.0.1:{port}/api/still.jpg").status == 401
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#banner[data-state=RUNNING]")
        assert page.request.get(f"http://127.0.0.1:{port}/api/still.jpg").status == 200
        assert page.evaluate("document.cookie") == ""


def test_a_lost_sorter_is_plain_to_see(open_page):
    port = free_port()
    with line_with_page(ServiceSection(http=f"127.0.0.1:{port}")) as url:
        page = open_page(url, expected=("ERR_CONNECTION", "WebSocket"))
        page.wait_for_selector("#banner[data-state=RUNNING]")
    page.wait_for_selector("#banner[data-state='NO CONTACT']")
    page.wait_for_function("() => document.getElementById('live-note').textContent.startsWith('Picture is')")
    assert not page.locator("#live-note").is_hidden()
