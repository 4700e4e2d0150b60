"""Named difficulty levels of the simulated line: every knob of its belt, its parcels, its camera and its detector.

Contract: a level is data; a run is fixed by a level, a seed and a number of parcels. Rates are per look (one parcel in
one frame that arrived) unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Profile = Literal["constant", "ramp", "stop-and-go"]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class BeltKnobs:
    """How the belt moves, and how well its encoder says so."""

    speed_mm_s: float
    profile: Profile = "constant"
    acceleration_mm_s2: float = 1500.0
    run_mm: Range = (80_000.0, 240_000.0)
    """stop-and-go: belt travel between two stops; ramp: between two changes of speed."""
    stand_s: Range = (0.5, 4.0)
    slowest: float = 0.6
    """ramp: least speed, as a share of the full one."""
    encoder_hz: float = 100.0
    mm_per_count: float = 0.5


@dataclass(frozen=True, slots=True)
class ParcelKnobs:
    """What lies on the belt. Shares of kinds are those of the demo line."""

    gap_mm: Range = (100.0, 500.0)
    skew_deg: float = 25.0
    doubles: float = 0.0
    """Share of parcels that touch the one before them."""
    side_by_side: float = 0.0
    """Share of parcels that lie beside the one before them."""
    stacked: float = 0.0
    """Share of parcels that lie on the one before them, of those that fit there."""
    touching_mm: Range = (0.0, 8.0)
    slides: float = 0.0
    """Share of parcels that slide back on the belt once, on their way to the line."""
    slide_mm: Range = (20.0, 150.0)
    jams: float = 0.0
    """Share of parcels that get stuck while the belt runs on; those behind them run up and stand as well."""
    jam_mm: Range = (300.0, 1500.0)
    """Belt that passes below a parcel until it comes free."""
    totes: float = 0.0
    """Share of parcels that are totes, which the model has no class for."""
    irregular: float = 0.0
    """Share that is irregular: tyres, buckets, wrapped bundles."""


@dataclass(frozen=True, slots=True)
class CameraKnobs:
    """When pictures are taken, and what happens to them on the way."""

    fps: float
    stamp_jitter_ms: float = 0.0
    lost: float = 0.0
    """Share of frames that never arrive."""
    lost_in_a_row: float = 1.0
    """Mean length of a loss."""
    latency_ms: Range = (30.0, 70.0)
    """From the picture to its decision."""
    late: float = 0.0
    """Share of frames that take longer than that."""
    late_ms: Range = (100.0, 400.0)


@dataclass(frozen=True, slots=True)
class DetectorKnobs:
    """How the detector sees a parcel that is in the picture."""

    noise_px: float = 0.0
    noise_share: float = 0.0
    """Edge noise as a share of the box's side, on top."""
    wild: float = 0.0
    """Share of boxes with four times the noise."""
    bias_px: float = 0.0
    """Error of each edge that stays with a parcel for all of its looks, standard deviation."""
    misses: float = 0.0
    low: float = 0.0
    """Share of looks below the detector's own threshold."""
    confused: float = 0.0
    """Share of looks with a wrong class, any other."""
    confused_soft: float = 0.0
    """Share of looks at a polybag or mailer that take one for the other."""
    false_per_frame: float = 0.0
    false_sure: float = 0.1
    """Share of false boxes above the threshold."""
    doubled: float = 0.0
    """Share of looks with a second, smaller box on the parcel."""
    doubled_sure: float = 0.3
    """Share of those above the threshold."""
    splits_per_parcel: float = 0.0
    merges_per_pair: float = 0.0
    """Chance that two neighbours closer than `merge_gap_mm` melt into one box for a while."""
    merge_gap_mm: float = 160.0
    covers: float = 0.5
    """Share of stacks of which only the upper parcel is found."""
    double_merges: float = 0.0
    """The same for touching or side-by-side parcels."""
    episode_frames: float = 3.0
    """Mean length of a split or a merge."""


@dataclass(frozen=True, slots=True)
class Level:
    """One named difficulty."""

    name: str
    belt: BeltKnobs
    parcels: ParcelKnobs
    camera: CameraKnobs
    detector: DetectorKnobs
    track: Mapping[str, Any] = field(default_factory=dict)
    """What an installation of this difficulty sets in `track`, else the defaults."""
    sort: Mapping[str, Any] = field(default_factory=dict)
    """The same for `sort`. With `doubles: exception`, touching and side-by-side parcels must get that lane."""


LONGEST_MM = {"carton": 720.0, "polybag": 480.0, "sack": 480.0, "mailer": 480.0, "tube": 580.0}
"""What single parcels of these lines measure at most, as their boxes show them."""

NORMAL = Level(
    "normal",
    BeltKnobs(speed_mm_s=2000.0, profile="stop-and-go"),
    ParcelKnobs(),
    CameraKnobs(fps=30.0, stamp_jitter_ms=1.0, lost=0.005, late=0.005),
    DetectorKnobs(
        noise_px=1.2,
        noise_share=0.01,
        wild=0.01,
        misses=0.03,
        low=0.03,
        bias_px=2.0,
        confused=0.03,
        confused_soft=0.08,
        false_per_frame=1.0,
        false_sure=0.006,
        doubled=0.05,
        doubled_sure=0.02,
        splits_per_parcel=0.005,
        merges_per_pair=0.005,
    ),
    sort={"doubles": "exception", "doubles_gap_mm": 60.0, "longest_mm": LONGEST_MM},
)

LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level(
            "easy",
            BeltKnobs(speed_mm_s=1000.0),
            ParcelKnobs(gap_mm=(200.0, 500.0)),
            CameraKnobs(fps=30.0, stamp_jitter_ms=0.2),
            DetectorKnobs(noise_px=0.7, misses=0.005, low=0.01, confused=0.005),
        ),
        NORMAL,
        Level(
            "rough",
            NORMAL.belt,
            ParcelKnobs(slides=0.05, jams=0.002),
            NORMAL.camera,
            NORMAL.detector,
        ),
        Level(
            "mixed",
            NORMAL.belt,
            ParcelKnobs(totes=0.06, irregular=0.04, stacked=0.04),
            NORMAL.camera,
            NORMAL.detector,
        ),
        Level(
            "hard",
            BeltKnobs(speed_mm_s=2500.0, profile="stop-and-go"),
            ParcelKnobs(gap_mm=(60.0, 500.0), doubles=0.02, side_by_side=0.02),
            CameraKnobs(fps=15.0, stamp_jitter_ms=2.0, lost=0.25, lost_in_a_row=1.5, late=0.02),
            DetectorKnobs(
                noise_px=1.5,
                noise_share=0.015,
                wild=0.02,
                misses=0.10,
                low=0.08,
                bias_px=2.0,
                confused=0.05,
                confused_soft=0.08,
                false_per_frame=1.0,
                false_sure=0.01,
                doubled=0.06,
                doubled_sure=0.05,
                splits_per_parcel=0.03,
                merges_per_pair=0.03,
                double_merges=0.6,
            ),
            track={"confirm_hits": 2, "tentative_s": 0.6},
            sort={
                "min_class_confidence": 0.75,
                "doubles": "exception",
                "doubles_gap_mm": 45.0,
                "longest_mm": LONGEST_MM,
                "broadest": 1.3,
                "slimmest": {"carton": 1.7},
                "found_late": "exception",
            },
        ),
    )
}
