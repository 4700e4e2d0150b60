"""What must not be in the evidence: anything that can be read on a parcel, and codes in plain text."""

from __future__ import annotations

import logging
import stat

import cv2
import numpy as np
import pytest
import zxingcpp
from recorded_demo import CODE, no_read_once, opened, pictures_of

from edge_sorter.plc.publisher import PublishResult
from edge_sorter.service.decision_log import DecisionLog
from edge_sorter.service.evidence import Evidence
from edge_sorter.service.evidence.privacy import Pseudonyms, blur


def detail(image: np.ndarray) -> float:
    """How much fine structure there is within 5 x 5 pixels, at most places: edges of tiles are few."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    kernel = np.ones((5, 5), np.uint8)
    return float(np.percentile(cv2.dilate(grey, kernel) - cv2.erode(grey, kernel), 50))


class Both:
    """Two keepers as one observer."""

    def __init__(self, *keepers: Evidence) -> None:
        self._keepers = keepers

    def on_step(self, *arguments) -> None:
        for keeper in self._keepers:
            keeper.on_step(*arguments)

    def each(self, holds) -> bool:
        return all(holds(keeper) for keeper in self._keepers)

    def has_taken_all(self) -> bool:
        return self.each(lambda keeper: keeper.has_taken_all())


def test_nothing_on_a_parcel_can_be_read(recorded, tmp_path):
    """Two keepers see the same pictures; only one of them blurs."""
    sharp_folder, folder = tmp_path / "plain", tmp_path / "blurred"
    with opened(recorded, sharp_folder, blur="off") as plain, opened(recorded, folder) as blurred:
        twice = Both(plain, blurred)
        recorded.play(twice, lambda: twice.each(lambda one: one.counts["no_read"] == 1), spoil=no_read_once())
    (name,) = {entry.id for one in (plain, blurred) for entry in one.store.entries()}
    record = blurred.store.record(name)
    plain_clip, blurred_clip = (pictures_of(tmp_path / kind / f"{name}.mp4") for kind in ("plain", "blurred"))
    details: list[tuple[float, float]] = []
    for picture, sharp, coarse in zip(record["pictures"], plain_clip, blurred_clip, strict=True):
        for _, *box in picture["parcels"]:
            x1, y1, x2, y2 = (round(v) for v in box)
            inside = np.s_[max(0, y1 + 4) : y2 - 4, max(0, x1 + 4) : x2 - 4]
            if min(sharp[inside].shape[:2]) >= 30:
                details.append((detail(sharp[inside]), detail(coarse[inside])))
    assert len(details) > 20
    sharp_detail, coarse_detail = np.mean(details, axis=0)
    assert coarse_detail < sharp_detail / 2


@pytest.mark.parametrize(("text", "kind"), [("JJD00039000", "Code128"), ("Jane Doe, 5 Sample Street", "QRCode")])
@pytest.mark.parametrize("pixels", [1, 3, 6])
def test_a_code_that_could_be_read_cannot_any_more(text, kind, pixels):
    """However near the camera is: a label of any size on its parcel, with the margins of a box."""
    barcode = zxingcpp.create_barcode(text, zxingcpp.barcode_format_from_str(kind))
    modules = np.pad(np.array(barcode.to_image(scale=2)), 30, constant_values=255)
    printed = cv2.cvtColor(np.kron(modules, np.ones((pixels, pixels), np.uint8)), cv2.COLOR_GRAY2BGR)
    height, width = printed.shape[:2]
    assert [found.text for found in zxingcpp.read_barcodes(printed)] == [text]
    assert not zxingcpp.read_barcodes(blur(printed, [(0, 0, width, height)]))


def test_codes_are_nowhere_in_plain_text(recorded, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG), opened(recorded, tmp_path / "one") as evidence:
        made = recorded.play(evidence, lambda: evidence.counts["no_read"] == 1, spoil=no_read_once())
        log = DecisionLog()
        log._tell((made[4],), (PublishResult.SENT,))
    assert made[4].codes[0].text == CODE
    assert CODE not in caplog.text
    for path in (tmp_path / "one").iterdir():
        assert CODE.encode() not in path.read_bytes(), path
    (entry,) = evidence.store.entries()
    ((kind, hashed, frames),) = evidence.store.record(entry.id)["decision"]["codes"]
    assert (kind, frames, hashed) == ("Code128", 3, Pseudonyms(tmp_path / "one").of(CODE))
    (tmp_path / "two").mkdir()
    assert Pseudonyms(tmp_path / "two").of(CODE) != hashed, "another installation names it otherwise"
    assert stat.S_IMODE((tmp_path / "one/salt").stat().st_mode) == 0o600


@pytest.mark.parametrize("box", [(-50, -50, 20, 20), (90, 40, 400, 300), (10, 10, 10, 10), (200, 200, 300, 300)])
def test_boxes_that_leave_the_picture_are_blurred_as_far_as_they_are_in_it(box):
    image = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    before = image.copy()
    blurred = blur(image, [box])
    assert blurred.shape == image.shape
    assert np.array_equal(image, before)
    left, top, right, bottom = max(0, box[0]), max(0, box[1]), min(150, box[2]), min(100, box[3])
    if right > left and bottom > top:
        assert not np.array_equal(blurred[top:bottom, left:right], image[top:bottom, left:right])
