"""Key `identify`: barcodes, conditions, and what scanners and scales tell."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_sorter.yamlfile import Section


class ScannerSection(Section):
    """An external scanner, scale or dimensioner whose reads (scan/read) are given to parcels by encoder position."""

    at_mm: float = Field(description="belt coordinate of its trigger along travel")
    window_mm: float = Field(
        100.0, gt=0, description="a read this far outside a parcel may still be its; never over half the gap"
    )


class IdentifySection(Section):
    """How the evidence of a track becomes one parcel."""

    codes: bool = Field(False, description="read barcodes on the parcel (needs about 2 pixels a module)")
    symbologies: tuple[str, ...] = Field(("Code128", "QRCode", "DataMatrix"), description="formats to look for")
    code_pattern: str | None = Field(None, description="regular expression a code must match to count")
    code_votes: int = Field(2, ge=1, description="frames that must agree on a code")
    class_flags: dict[str, Literal["DAMAGED", "DG", "NON_CONVEYABLE", "OPEN", "OVERSIZE", "OVER_HEIGHT", "WET"]] = (
        Field({}, description="classes of the model that stand for a condition; DG counts from the first sighting on")
    )
    scanners: dict[str, ScannerSection] = Field(
        {}, description="external scanners by name: `at_mm` of the trigger, `window_mm` (100); need an encoder"
    )
