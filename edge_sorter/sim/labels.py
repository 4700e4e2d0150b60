"""Shipping labels with real barcodes, drawn as grey pictures.

Contract: both codes on a label decode to the declared text: Code 128 and QR for a carrier's own number, GS1-128 and
GS1 DataMatrix for GS1 data such as "(00)" and an SSCC.
"""

from __future__ import annotations

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

ByteImage = NDArray[np.uint8]

_CITIES = ("UTRECHT", "LEIPZIG", "GDANSK", "LYON", "MALMO", "TORINO", "GHENT", "BRNO", "PORTO", "TURKU")
_STREETS = ("Harbour Rd", "Mill Lane", "Station St", "North Quay", "Linden Allee", "Canal Side")
_CARRIERS = ("NORDPOST", "HUBLINE", "PARCELO", "EXPRESS 24", "TRANSFER", "STREEK")


def code_image(text: str, kind: str, width_px: int, height_px: int) -> ByteImage:
    """A barcode scaled by whole modules to fit a box; white around it, shape (height_px, width_px).

    Args:
        text: what it says; a text such as "(00)340123450000000018" is written as GS1 data, with its FNC1.
        kind: "code128", "qr" or "datamatrix".
        width_px: width of the box.
        height_px: height of the box.
    """
    code_format = {
        "code128": zxingcpp.BarcodeFormat.Code128,
        "qr": zxingcpp.BarcodeFormat.QRCode,
        "datamatrix": zxingcpp.BarcodeFormat.DataMatrix,
    }[kind]
    code = zxingcpp.create_barcode(text, code_format, gs1=text.startswith("("))
    raw = np.array(code.to_image(scale=1, add_quiet_zones=False), np.uint8)
    if kind == "code128":
        raw = raw[:1]
        scale = max(1, width_px // (raw.shape[1] + 20))
        bars = np.repeat(np.repeat(raw, scale, axis=1), height_px, axis=0)
    else:
        scale = max(1, min(width_px, height_px) // (raw.shape[0] + 8))
        bars = np.repeat(np.repeat(raw, scale, axis=1), scale, axis=0)
    image = np.full((height_px, width_px), 255, np.uint8)
    bars = bars[:height_px, :width_px]
    top, left = (height_px - bars.shape[0]) // 2, (width_px - bars.shape[1]) // 2
    image[top : top + bars.shape[0], left : left + bars.shape[1]] = bars
    return image


def shipping_label(text: str, rng: np.random.Generator, *, width_px: int = 600, height_px: int = 420) -> ByteImage:
    """A label with carrier, address, linear and matrix code of ``text``; shape (height_px, width_px), grey.

    Drawn at 600 x 420 or more every bar is at least two pixels wide.
    """
    label = np.full((420, 600), 250, np.uint8)
    cv2.rectangle(label, (3, 3), (596, 416), 0, 3)
    dark_bar = rng.random() < 0.5
    if dark_bar:
        cv2.rectangle(label, (3, 3), (596, 70), 10, -1)
    carrier = str(rng.choice(_CARRIERS))
    _write(label, carrier, (20, 52), 1.5, ink=245 if dark_bar else 0)
    _write(label, str(rng.integers(1, 99)).zfill(2), (510, 55), 1.6, ink=245 if dark_bar else 0)
    for row, line in enumerate(
        (
            f"{rng.integers(1, 240)} {rng.choice(_STREETS)}",
            f"{rng.integers(1000, 9999)} {rng.choice(_CITIES)}",
            f"{rng.integers(1, 30)}.{rng.integers(0, 9)} kg   1/1",
        )
    ):
        _write(label, line, (22, 108 + 34 * row), 0.85, ink=20)
    label[80:205, 450:585] = code_image(text, "datamatrix" if text.startswith("(") else "qr", 135, 125)
    cv2.line(label, (3, 210), (596, 210), 0, 3)
    label[222:362, 12:588] = code_image(text, "code128", 576, 140)
    _write(label, text, (60 if len(text) > 18 else 130, 400), 1.0)
    if (width_px, height_px) != (600, 420):
        how = cv2.INTER_AREA if width_px < 600 else cv2.INTER_NEAREST
        label = cv2.resize(label, (width_px, height_px), interpolation=how)
    return label


def _write(image: ByteImage, text: str, origin: tuple[int, int], scale: float, *, ink: int = 0) -> None:
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_DUPLEX, scale, ink, max(2, round(2.2 * scale)), cv2.LINE_AA)
