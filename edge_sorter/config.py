"""One YAML file becomes one frozen `Config`; the file is the user interface of an installation.

Every length, time and speed carries its unit in the key. Paths are relative to the file that names them. Nothing
re-reads the configuration while running.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge_sorter.yamlfile import Section, read_yaml

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
FractionPoint = tuple[Fraction, Fraction]
TopicLevel = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]


class LineSection(Section):
    """Where this camera stands in the plant; the five levels open every MQTT topic (ISA-95)."""

    enterprise: TopicLevel = Field("site", description="company, as the plant's topic tree names it")
    site: TopicLevel = Field("hub", description="building")
    area: TopicLevel = Field("sort", description="part of the building")
    line: TopicLevel = Field("line01", description="conveyor line")
    cell: TopicLevel = Field("vis01", description="this camera on the line")


class BlindSection(Section):
    """When a camera counts as blind: no usable picture, so no decision may be built on it."""

    no_frame_ms: float = Field(150, gt=0, description="silence after which a live camera is lost")
    frozen_frames: int = Field(7, ge=2, description="identical pictures in a row that mean a frozen camera")
    dark_luma: float = Field(8.0, ge=0, le=255, description="mean luma below this is a black picture")
    recovered_frames: int = Field(5, ge=1, description="good pictures in a row that end blindness")


class VideoSection(Section):
    """Where frames come from."""

    source: str | None = Field(
        None, min_length=1, description="clip path, rtsp://..., usb:0, or gst:<pipeline>; `replay CLIP` needs none"
    )
    fps: float | None = Field(None, gt=0, le=1000, description="ask a USB camera for this rate")
    size_px: tuple[int, int] | None = Field(None, description="ask a USB camera for this width and height")
    max_width_px: int | None = Field(None, ge=32, description="scale wider pictures down while decoding")
    open_timeout_s: float = Field(10.0, gt=0, description="a camera that never answers fails after this")
    reconnect_s: tuple[float, float] = Field((0.3, 1.5), description="first and longest wait between attempts")
    blind: BlindSection = BlindSection()


class SwapSection(Section):
    """How another model takes over while the line runs (`reload`, or the command `model`)."""

    wait_s: float = Field(
        10.0, ge=0, description="wait so long for a moment without undecided parcels; then it takes over between them"
    )
    probation_s: float = Field(60.0, ge=0, description="the new model is watched for at least so long, and")
    probation_parcels: int = Field(20, ge=0, description="until it has decided so many parcels")
    most_different: Fraction = Field(
        0.1, description="share of boxes missed, invented or of another class, against the old model, that is too much"
    )


class DetectSection(Section):
    """Which model looks at the picture, where, and with which engine."""

    model: Path = Field(description="ONNX model; its manifest <same name>.json lies beside it")
    engine: Literal["auto", "openvino", "onnxruntime", "tensorrt"] = Field(
        "auto", description="auto: TensorRT where there is a GPU, else OpenVINO, else ONNX Runtime"
    )
    threads: int = Field(0, ge=0, description="CPU threads of the engine; 0 lets it choose")
    input_px: tuple[int, int] | None = Field(None, description="network width and height; default: the manifest's")
    confidence: Fraction | None = Field(None, description="detections above this start tracks; default: manifest")
    classes: tuple[str, ...] = Field(
        (),
        description="classes that occur on this line; what looks like another gets the likeliest of these; empty: all",
    )
    low_confidence: Fraction = Field(0.1, description="detections above this may continue a track")
    crop: tuple[Fraction, Fraction, Fraction, Fraction] = Field(
        (0.0, 0.0, 1.0, 1.0), description="x1, y1, x2, y2 of the belt region, as fractions of the picture"
    )
    mask: tuple[FractionPoint, ...] = Field((), description="polygon; a box whose centre is outside is ignored")
    iou: Fraction = Field(0.6, description="non-maximum suppression threshold, for models that need it")
    swap: SwapSection = SwapSection()

    @field_validator("crop")
    @classmethod
    def _crop_has_area(cls, crop: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        if crop[2] <= crop[0] or crop[3] <= crop[1]:
            raise ValueError("crop must be x1, y1, x2, y2 with x1 < x2 and y1 < y2")
        return crop

    @field_validator("mask")
    @classmethod
    def _mask_is_a_polygon(cls, mask: tuple[FractionPoint, ...]) -> tuple[FractionPoint, ...]:
        if mask and len(mask) < 3:
            raise ValueError("a mask polygon needs at least three points")
        return mask

    @field_validator("input_px")
    @classmethod
    def _input_fits_stride(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size and any(side < 32 or side % 32 for side in size):
            raise ValueError("width and height must be multiples of 32")
        return size


class DecisionLineSection(Section):
    """The line at which a parcel is decided: across the belt at `at_mm`, or between two points of the picture."""

    at_mm: float | None = Field(None, description="belt coordinate along travel; needs a calibration")
    points: tuple[FractionPoint, FractionPoint] | None = Field(None, description="two points, fractions of picture")
    anchor: Literal["center", "bottom_center"] = Field("center", description="point of the box that crosses")

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> DecisionLineSection:
        if (self.at_mm is None) == (self.points is None):
            raise ValueError("give either at_mm (calibrated belt) or points (two points of the picture)")
        return self


class EncoderSection(Section):
    """The belt's encoder, by which positions and deadlines count."""

    source: Literal["mqtt"] | Path = Field(
        description="`mqtt`: samples on plc/enc; or the record of a clip, CSV with the header captured_ns,count"
    )
    mm_per_count: float = Field(gt=0, le=100, description="belt travel of one count")
    bits: int = Field(32, ge=8, le=32, description="width of the counter, after which it wraps")


class PhotoEyeSection(Section):
    """The PLC's photo-eye, whose items (plc/item) give parcels the PLC's own index; needs an encoder."""

    at_mm: float = Field(description="belt coordinate of the eye along travel; best a parcel's length before the line")
    tolerance_mm: float = Field(50.0, gt=0, description="how far eye and camera may differ about one parcel")
    eye: str = Field("PE1", min_length=1, description="its name in the messages")
    unexpected: Literal["flag", "exception"] = Field(
        "flag", description="parcel the eye did not see: flag UNEXPECTED only, or exception lane"
    )
    unseen: Literal["count", "exception"] = Field(
        "count", description="item that no camera saw: counted only, or a decision of its own for the exception lane"
    )


class BeltSection(Section):
    """How the picture relates to the belt, and how the belt moves."""

    calibration: Path | None = Field(None, description="camera-to-belt calibration file")
    speed_mm_s: float | None = Field(
        None, gt=0, le=10_000, description="belt speed: constant, or while the encoder is silent; needs a calibration"
    )
    encoder: EncoderSection | None = None
    photo_eye: PhotoEyeSection | None = None
    camera_mm: tuple[float, float, float] | None = Field(
        None, description="the camera's place in belt coordinates: x along travel, y across, height above the belt"
    )
    direction: tuple[float, float] = Field((1.0, 0.0), description="travel in the picture (x right, y down)")
    decision_line: DecisionLineSection

    @model_validator(mode="after")
    def _calibration_is_there(self) -> BeltSection:
        if self.calibration is None and self.decision_line.at_mm is not None:
            raise ValueError("decision_line.at_mm needs belt.calibration; or give decision_line.points")
        if self.calibration is None and self.speed_mm_s is not None:
            raise ValueError("speed_mm_s needs belt.calibration, else millimetres mean nothing in the picture")
        if self.camera_mm is not None and (self.calibration is None or self.camera_mm[2] <= 0.0):
            raise ValueError("camera_mm needs belt.calibration and a height above 0")
        if self.photo_eye is not None and self.encoder is None:
            raise ValueError("photo_eye needs belt.encoder: its items are places by counts")
        if self.calibration is None and self.encoder is not None:
            raise ValueError("encoder needs belt.calibration, else millimetres mean nothing in the picture")
        if self.direction == (0.0, 0.0):
            raise ValueError("direction must not be (0, 0)")
        return self


class TrackSection(Section):
    """How boxes become identities. All times are seconds, so a changed frame rate changes nothing else."""

    confirm_hits: int = Field(3, ge=1, description="frames with a sure detection before a track is believed")
    lost_s: float = Field(1.0, gt=0, description="a track unseen for longer ends")
    tentative_s: float = Field(0.25, gt=0, description="an unconfirmed track unseen for longer is forgotten")
    min_iou: Fraction = Field(0.2, description="overlap of predicted and measured box that may match")


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


class TimingSection(Section):
    """What must fit between the decision line and the diverter, for the deadline."""

    divert_mm: float = Field(2000.0, gt=0, description="from decision line to a lane's point of no return, default")
    travel_s: float | None = Field(None, gt=0, description="the same as a time, where belt speed is unknown")
    actuator_ms: float = Field(150.0, ge=0, description="diverter, from command to being in place")
    plc_scan_ms: float = Field(20.0, ge=0, description="one cycle of the PLC program")
    bridge_ms: float = Field(30.0, ge=0, description="broker and gateway")
    margin_ms: float = Field(100.0, ge=0, description="spare")


class LaneStatesSection(Section):
    """Who says which lanes can take a parcel."""

    source: Literal["assume_open", "plc"] = Field(
        "assume_open", description="plc: a lane that is not reported counts as disabled; assume_open: as open"
    )
    ttl_s: float = Field(60.0, gt=0, description="with plc: a report is believed for so long")


class LimitsSection(Section):
    """What the line can carry and divert; everything else goes to the exception lane."""

    length_mm: float | None = Field(None, gt=0, description="longest along travel; more is OVERSIZE")
    width_mm: float | None = Field(None, gt=0, description="widest across the belt; more is OVERSIZE")
    height_mm: float | None = Field(None, gt=0, description="highest, where a dimensioner tells; more is OVERSIZE")
    weight_g: float | None = Field(None, gt=0, description="heaviest, where a scale tells; more is NON_CONVEYABLE")
    shortest_mm: float | None = Field(
        None, gt=0, description="least longest side a diverter catches; less is NON_CONVEYABLE"
    )


class SortSection(Section):
    """Which plan decides, and how sure it must be."""

    plan: Path = Field(description="sort plan (YAML)")
    min_hits: int = Field(3, ge=1, description="fewer sightings of a parcel make the decision LOW_CONF")
    min_class_confidence: Fraction = Field(0.5, description="a class with a smaller share of evidence is LOW_CONF")
    doubles: Literal["sort", "exception"] = Field(
        "sort", description="parcels that touch, lie side by side or melt into one: one decision, exception lane"
    )
    doubles_gap_mm: float = Field(30.0, ge=0, description="belt between two parcels below which they touch")
    longest_mm: dict[str, float] = Field(
        {}, description="longest side a single parcel of a class may show; a longer one is a double, where these count"
    )
    broadest: float | None = Field(
        None, gt=1, description="where parcels come lengthwise: a box so much wider than long is several, side by side"
    )
    slimmest: dict[str, float] = Field(
        {}, description="longest side over the other that a single parcel of a class may show; a slimmer one is several"
    )
    typical_height_mm: dict[str, float] = Field(
        {},
        description="height by class where no dimensioner tells: places of tall parcels need belt.camera_mm and this",
    )
    found_late: Literal["count", "exception"] = Field(
        "count",
        description="parcel first seen past the line on a belt of known motion: exception lane if there is time",
    )
    min_gap_mm: float = Field(
        0.0, ge=0, description="belt between parcels of different lanes that the diverters need; 0: not checked"
    )
    limits: LimitsSection = LimitsSection()
    lane_states: LaneStatesSection = LaneStatesSection()
    at_start: Literal["auto", "flush", "sort"] = Field(
        "auto", description="parcels in view at start: exception lane, or sorted; auto: flush with a camera"
    )
    on_stop: Literal["flush", "verify"] = Field(
        "flush", description="line STOPPED or ABORTED: all in view to the exception lane, or only after a slip"
    )
    timing: TimingSection = TimingSection()


class TlsSection(Section):
    """Transport security towards the broker."""

    ca_file: Path | None = Field(None, description="certificate authority of the broker; default: the system's")
    cert_file: Path | None = Field(None, description="our own certificate, for mutual TLS")
    key_file: Path | None = Field(None, description="its private key")


class OutboxSection(Section):
    """Where parcel records wait for the broker and stay as the audit trail."""

    path: Path | None = Field(
        None, description="SQLite file; default: outbox.sqlite in $STATE_DIRECTORY of the service, else memory only"
    )
    max_mb: float = Field(256.0, ge=1, description="a larger file loses its oldest records, forwarded ones first")


class PlcSection(Section):
    """The broker that carries decisions to the PLC gateway."""

    host: str = Field("127.0.0.1", description="MQTT broker")
    port: int = Field(1883, ge=1, le=65535, description="1883, or 8883 with TLS as a rule")
    protocol: Literal["auto", "5", "3.1.1"] = Field("auto", description="auto: MQTT 5, or 3.1.1 where 5 is refused")
    client_id: str | None = Field(None, max_length=64, description="default: edge-sorter-<line>-<cell>")
    username: str | None = Field(None, description="where the broker asks for one")
    password_file: Path | None = Field(None, description="file holding the password; never the password itself")
    tls: TlsSection | None = None
    keepalive_s: int = Field(5, ge=1, le=600, description="MQTT keepalive; the heartbeat is what the PLC watches")
    connect_timeout_s: float = Field(5.0, gt=0, description="a broker that is silent for longer fails the start")
    heartbeat_hz: float = Field(10.0, gt=0, le=50, description="heartbeats a second")
    gateway: Literal["none", "required"] = Field(
        "none", description="required: a gateway beats and acknowledges; without it for 1 s nothing is sent (HOLD)"
    )
    confirms: Literal["none", "required"] = Field(
        "none", description="required: lanes confirm what arrives; a parcel without is UNVERIFIED"
    )
    confirm_after_s: dict[str, float] = Field(
        {}, description="lane to longest time from decision line to its eye; default: worked out from the deadline"
    )
    kpi_s: float = Field(10.0, gt=0, description="seconds between two kpi messages")
    outbox: OutboxSection = OutboxSection()


class JournalSection(Section):
    """Where a live run writes its journal; a replay writes into its output folder instead."""

    path: Path | None = Field(None, description="journal of a live run (JSONL); none keeps no journal")
    max_mb: float = Field(512.0, gt=0, description="a larger journal is rotated once to <path>.1")


class EvidenceSection(Section):
    """What is kept of exceptions: a short blurred clip and a record, for some days; costs no decision any time."""

    path: Path | None = Field(
        None, description="folder; default: `evidence` in $STATE_DIRECTORY of the service, else nothing is kept"
    )
    on: tuple[Literal["no_read", "low_conf", "late", "missort", "mark"], ...] = Field(
        ("no_read", "low_conf", "late", "missort", "mark"), description="what is worth keeping; mark: a person says so"
    )
    before_s: float = Field(2.0, ge=0, le=30, description="the clip begins so long before the decision")
    after_s: float = Field(1.0, ge=0, le=30, description="and ends so long after it")
    fps: float = Field(10.0, gt=0, le=60, description="pictures a second in the clip")
    width_px: int = Field(640, ge=64, le=4096, description="width of the clip; less is also harder to read")
    buffer_s: float = Field(30.0, gt=0, le=600, description="kept in memory (at most 48 MB), for what is told later")
    blur: Literal["parcels", "off"] = Field(
        "parcels", description="parcels: what lies inside a parcel's box is a coarse mosaic, whatever is printed there"
    )
    retention_h: float = Field(72.0, gt=0, description="older evidence is removed")
    max_mb: float = Field(2000.0, gt=0, description="more than this, and the oldest is removed")
    per_hour: int = Field(60, ge=1, description="most pieces an hour, marks not counted; the rest is only counted")


class ServiceTlsSection(Section):
    """Transport security of our own HTTP server."""

    cert_file: Path = Field(description="certificate to show to browsers")
    key_file: Path = Field(description="its private key")
    client_ca_file: Path | None = Field(
        None, description="only clients with a certificate of this authority are let in; they may also change things"
    )


class ServiceSection(Section):
    """How the line can be looked at from outside while it runs; nothing here changes a decision."""

    http: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):\d{1,5}$")] | None = Field(
        None, description="address and port of metrics, health and page, such as 127.0.0.1:9464; none: no server"
    )
    token_file: Path | None = Field(
        None, description="file holding the word that opens the page; on this machine only changes need it"
    )
    tls: ServiceTlsSection | None = None

    @property
    def host(self) -> str:
        """Address to listen on, without brackets."""
        return (self.http or "").rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port to listen on; 0 takes any free one."""
        return int((self.http or "0").rpartition(":")[2])

    @property
    def local(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @model_validator(mode="after")
    def _strangers_stay_out(self) -> ServiceSection:
        if self.port > 65535:
            raise ValueError(f"http: port {self.port} is above 65535")
        guarded = self.token_file is not None or (self.tls is not None and self.tls.client_ca_file is not None)
        if self.http is not None and not self.local and not guarded:
            raise ValueError(
                f"http: {self.http} can be reached from other machines: give token_file or tls.client_ca_file, "
                "or listen on 127.0.0.1"
            )
        return self


class Config(Section):
    """A whole installation: one line, one camera, one model, one plan, one broker."""

    line: LineSection = LineSection()
    video: VideoSection = VideoSection()
    detect: DetectSection
    belt: BeltSection
    track: TrackSection = TrackSection()
    identify: IdentifySection = IdentifySection()
    sort: SortSection
    plc: PlcSection = PlcSection()
    journal: JournalSection = JournalSection()
    evidence: EvidenceSection = EvidenceSection()
    service: ServiceSection = ServiceSection()

    @property
    def flushes_at_start(self) -> bool:
        """Whether parcels in view at start go to the exception lane: nobody knows what was decided about them."""
        if self.sort.at_start != "auto":
            return self.sort.at_start == "flush"
        return self.video.source is not None and not is_file_source(self.video.source)

    @model_validator(mode="after")
    def _scanners_have_an_encoder(self) -> Config:
        if self.identify.scanners and self.belt.encoder is None:
            raise ValueError("identify.scanners need belt.encoder: a read is given to a parcel by counts")
        return self

    @model_validator(mode="after")
    def _decision_comes_after_confirmation(self) -> Config:
        if self.sort.min_hits < self.track.confirm_hits:
            raise ValueError("sort.min_hits must be at least track.confirm_hits: unconfirmed tracks never decide")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _paths_are_relative_to_the_file(cls, data: object, handler: object, info: ValidationInfo) -> Config:
        config: Config = handler(data)  # type: ignore[operator]
        base = (info.context or {}).get("base")
        return config if base is None else _resolve(config, Path(base))


def load_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: Lists every mistake with its line.
    """
    return read_yaml(path, Config, what="configuration", context={"base": path.resolve().parent})


def is_file_source(source: str) -> bool:
    """Tell whether `video.source` names a clip rather than a camera."""
    return not source.startswith(("rtsp://", "rtsps://", "http://", "https://", "usb:", "gst:"))


def _resolve(config: Config, base: Path) -> Config:
    def at(path: Path | None) -> Path | None:
        return None if path is None else (base / path.expanduser()).resolve()

    def all_at(section: Section | None, *names: str) -> Section | None:
        return section and section.model_copy(update={name: at(getattr(section, name)) for name in names})

    encoder = config.belt.encoder
    if encoder is not None and isinstance(encoder.source, Path):
        encoder = encoder.model_copy(update={"source": at(encoder.source)})
    source = config.video.source
    if source is not None and is_file_source(source):
        source = str(at(Path(source)))
    return config.model_copy(
        update={
            "video": config.video.model_copy(update={"source": source}),
            "detect": config.detect.model_copy(update={"model": at(config.detect.model)}),
            "belt": config.belt.model_copy(update={"calibration": at(config.belt.calibration), "encoder": encoder}),
            "sort": config.sort.model_copy(update={"plan": at(config.sort.plan)}),
            "evidence": config.evidence.model_copy(update={"path": at(config.evidence.path)}),
            "journal": config.journal.model_copy(update={"path": at(config.journal.path)}),
            "plc": config.plc.model_copy(
                update={
                    "password_file": at(config.plc.password_file),
                    "tls": all_at(config.plc.tls, "ca_file", "cert_file", "key_file"),
                    "outbox": all_at(config.plc.outbox, "path"),
                }
            ),
            "service": config.service.model_copy(
                update={
                    "token_file": at(config.service.token_file),
                    "tls": all_at(config.service.tls, "cert_file", "key_file", "client_ca_file"),
                }
            ),
        }
    )
