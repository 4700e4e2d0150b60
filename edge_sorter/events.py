"""What the line itself tells: encoder, photo-eyes, lanes, scanner and host, as values on the pipeline's time axis.

They are the second kind of input beside frames. `Pipeline.hear` takes them in the order of arrival, the journal keeps
them between the frames, and so a replay that has both decides byte for byte alike. `at_ns` is the time of arrival on
the axis of `captured_ns`; nothing downstream reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class EncoderCount:
    """One sample of the belt's encoder.

    Attributes:
        at_ns: When it was taken, or arrived where that is all we know.
        count: Counter value, unsigned 32 bits, wraps.
        mm_per_count: Belt travel of one count as the PLC states it, or None.
    """

    at_ns: int
    count: int
    mm_per_count: float | None = None


@dataclass(frozen=True, slots=True)
class PlcItem:
    """A parcel as the PLC's photo-eye saw it: the PLC's own index, and the counts at its two edges.

    Attributes:
        at_ns: Time of arrival.
        plc_index: The PLC's number of this parcel; 16 bits wrap in many controllers.
        lead_count, trail_count: Encoder counts at which its edges passed the eye; trail is None until it has.
        eye: Name of the photo-eye.
    """

    at_ns: int
    plc_index: int
    lead_count: int
    trail_count: int | None = None
    eye: str = "PE1"


class LaneStatus(str, Enum):
    """What a lane can take right now; one never heard of, or not for too long, is UNKNOWN and counts as DISABLED."""

    OPEN = "OPEN"
    HALF = "HALF"
    FULL = "FULL"
    DISABLED = "DISABLED"
    RATE_LIMITED = "RATE_LIMITED"
    FAULT = "FAULT"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class LaneReport:
    """The PLC says what a lane can take; `fill_percent` where it measures it."""

    at_ns: int
    lane: str
    status: LaneStatus
    fill_percent: float | None = None


@dataclass(frozen=True, slots=True)
class LineReport:
    """State of the whole line in PackML words (EXECUTE, HELD, STOPPED, ABORTED ...), and the speed it is set to."""

    at_ns: int
    packml: str
    mode: str = "PRODUCTION"
    set_speed_mm_s: float | None = None
    batch: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class ScannerRead:
    """What an external scanner or dimensioner read, and where on the belt.

    Attributes:
        at_ns: Time of arrival.
        scanner: Its name.
        plc_index: The parcel it belongs to by the PLC's count, or None.
        count: Encoder count of the trigger, or None.
        codes: (symbology or AIM identifier, text) pairs.
        weight_g, dim_mm: From a scale or dimensioner (length, width, height), or None.
        flags: What it saw of the parcel's condition, out of `types.CONDITIONS`.
    """

    at_ns: int
    scanner: str
    plc_index: int | None = None
    count: int | None = None
    codes: tuple[tuple[str, str], ...] = ()
    weight_g: float | None = None
    dim_mm: tuple[float, float, float] | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostData:
    """What the host knows of the parcel that carries a code.

    Attributes:
        at_ns: Time of arrival.
        code: Text of the code it was asked about.
        known: Whether it has data of that parcel.
        keys: (route key, value) pairs, for the sort plan.
        flags: The parcel's condition as booked, out of `types.CONDITIONS`.
    """

    at_ns: int
    code: str
    known: bool
    keys: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """A sort plan that the host or a person wants active: the plain document, checked before anything changes.

    Attributes:
        at_ns: Time of arrival.
        document: The plan as plain values, as YAML or JSON gave them.
        activate: "NOW", "NEXT_GAP" (no undecided parcel in view) or "AT".
        valid_from_ns: With "AT": when, on the same time axis.
        source: Where it came from, for messages: a file name or "mqtt".
        sha256: Digest the sender has of the plan (`edge-sorter plan check --json` tells it), or None.
    """

    at_ns: int
    document: dict[str, Any]
    activate: str = "NOW"
    valid_from_ns: int | None = None
    source: str = "mqtt"
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """From now on nothing that is in view is trusted: its parcels go to the exception lane for `reason`."""

    at_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class WallTime:
    """What the clock on the wall says, told now and then: cut-off times of a sort plan go by it.

    Attributes:
        at_ns: A time on the axis of `captured_ns`.
        local_ns: Nanoseconds since local midnight at that time.
    """

    at_ns: int
    local_ns: int

    def local_s(self, at_ns: int) -> float:
        """Return the local time of day at another time, in seconds since midnight."""
        return (self.local_ns + at_ns - self.at_ns) / 1e9 % 86_400


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How sure one must be from now on; a reload says so.

    Attributes:
        at_ns: Time of the change.
        confidence: Detections from here on may start tracks.
        min_hits: Fewer sightings of a parcel make its decision LOW_CONF.
        min_class_confidence: A class with a smaller share of the evidence is LOW_CONF.
    """

    at_ns: int
    confidence: float
    min_hits: int
    min_class_confidence: float


@dataclass(frozen=True, slots=True)
class ModelInUse:
    """From the next frame on another model, or another engine, finds the parcels.

    Attributes:
        at_ns: Time of the change.
        model: "<name>#<start of its sha256>", as messages name it.
        sha256: Of the model's file.
        engine: Model, engine, arithmetic and device, for humans.
        confidence: Detections from here on may start tracks.
        why: What made it so.
    """

    at_ns: int
    model: str
    sha256: str
    engine: str
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """A parcel has to be decided now although no frame came: the loop says so itself, and the journal keeps it."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class DecidedBefore:
    """What earlier runs decided last, told once at the start where their records were kept.

    Attributes:
        at_ns: Time of the start.
        plc_indices: The PLC's numbers of those parcels, as far as they had one.
        codes: What was read on them.
    """

    at_ns: int
    plc_indices: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()


LineEvent = (
    EncoderCount
    | PlcItem
    | LaneReport
    | LineReport
    | ScannerRead
    | HostData
    | PlanOffer
    | Flush
    | WallTime
    | Thresholds
    | ModelInUse
    | Overdue
    | DecidedBefore
)
"""Everything that may reach the pipeline besides frames."""
