"""The operator's page in a real Chromium: it moves, it explains, it keeps strangers out, it never complains."""

from __future__ import annotations

import itertools

import pytest
from mosquitto import free_port
from page_line import TOKEN, line_with_page

from edge_sorter.belt import load_calibration
from edge_sorter.check import check_installation
from edge_sorter.clock import FileClock
from edge_sorter.config import ServiceSection, load_config

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
    page.locator(".decision", has_text="small-carton").first.evaluate("node => node.click()")  # the list moves on
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
        page = open_page(f"http://127.0.0.1:{port}/", expected=("403", "ERR_CONNECTION", "WebSocket"))
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


def click_a_parcel(page, box: dict[str, float]) -> str:
    """Click over the held picture until a parcel is hit, as somebody would who sees them; return what is measured."""
    for _ in range(60):
        page.check("#freeze")
        for y, x in itertools.product(range(170, 400, 45), range(150, 840, 45)):
            page.mouse.click(box["x"] + x * box["width"] / 960, box["y"] + y * box["width"] / 960)
            if page.locator("#measured-text").inner_text() != "Click a parcel in the picture.":
                measured = "() => document.getElementById('measured-text').textContent.startsWith('Measured')"
                page.wait_for_function(measured)
                return str(page.locator("#measured-text").inner_text())
        page.uncheck("#freeze")
        page.wait_for_timeout(500)
    raise AssertionError("no parcel in sixty pictures")


def test_a_camera_is_set_up_by_dragging_and_saved(own_line, token_file, open_page):
    port = free_port()
    service = ServiceSection(http=f"127.0.0.1:{port}", token_file=token_file)
    slowly = FileClock(slow=4.0)  # a busy machine sees enough pictures of each parcel to measure the belt's speed
    with line_with_page(service, config_path=own_line, changeable=True, clock=slowly) as url:
        page = open_page(f"{url}#setup", expected=("403", "ERR_CONNECTION", "WebSocket"))
        page.wait_for_function("() => document.getElementById('point-0-x')?.value === '140'")
        box = page.locator("#setup-canvas").bounding_box()
        scale = box["width"] / 960

        def drag(a: tuple[float, float], b: tuple[float, float]) -> None:
            page.mouse.move(box["x"] + a[0] * scale, box["y"] + a[1] * scale)
            page.mouse.down()
            page.mouse.move(box["x"] + b[0] * scale, box["y"] + b[1] * scale, steps=4)
            page.mouse.up()

        drag((94, 82), (110, 90))
        line_px = page.evaluate(
            "async () => { const { homography, map } = await import('/static/homography.js');"
            " const p = await (await fetch('/api/setup')).json();"
            " return map(homography(p.calibration.belt_points_mm, p.calibration.image_points_px), [1140, 400]); }"
        )
        drag((line_px[0], line_px[1]), (line_px[0] - 80, line_px[1]))
        assert 900 < float(page.input_value("#line-mm")) < 1050
        page.wait_for_function("() => !document.getElementById('speed-use').disabled")
        assert click_a_parcel(page, box).startswith("Measured")
        assert page.is_checked("#freeze")
        assert "From the click before: 0 mm along, 0 mm across" in click_a_parcel(page, box)
        page.fill("#known-length", "1")
        page.fill("#known-width", "1")
        assert "off by" in page.locator("#known-error").inner_text()
        page.click("#speed-use")
        assert 850 < float(page.input_value("#speed")) < 1200
        page.click("#setup-save")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('setup-save').textContent === 'Save'")
        page.click("#setup-save")
        page.wait_for_function("() => document.getElementById('setup-done').textContent.startsWith('Saved.')")
    findings = check_installation(own_line)
    assert findings.errors == []
    config = load_config(own_line)
    assert 900 < config.belt.decision_line.at_mm < 1050
    assert load_calibration(config.belt.calibration).image_points_px[0] == pytest.approx((110, 90), abs=2)
    assert len(list(own_line.parent.glob("line.yaml.*.bak"))) == 1


def test_nobody_saves_without_the_right_to(own_line, token_file, open_page):
    port = free_port()
    service = ServiceSection(http=f"127.0.0.1:{port}", token_file=token_file)
    before = own_line.read_text()
    with line_with_page(service, config_path=own_line, changeable=True) as url:
        page = open_page(url, expected=("ERR_CONNECTION", "WebSocket"))
        proposal = page.request.get(f"{url}api/setup").json()
        assert page.request.post(f"{url}api/setup/try", data=proposal).status == 200
        assert page.request.post(f"{url}api/setup/save", data=proposal).status == 403
        signed = {"Authorization": f"Bearer {TOKEN}"}
        bad = proposal | {"line_mm": 99999}
        answer = page.request.post(f"{url}api/setup/save", data=bad, headers=signed)
        assert (answer.status, "not in the part" in answer.json()["error"]) == (422, True)
        assert page.request.post(f"{url}api/setup/save", data={"line_mm": "x"}, headers=signed).status == 422
    assert own_line.read_text() == before
