"""One YAML file becomes one frozen `Config`; the file is the user interface of an installation.

Each key of the file has a module of its name here. Every length, time and speed carries its unit in the key. Paths are
relative to the file that names them. Nothing re-reads the configuration while running.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from edge_sorter.config.belt import BeltSection, DecisionLineSection, EncoderSection, PhotoEyeSection
from edge_sorter.config.detect import DetectSection, SwapSection
from edge_sorter.config.evidence import EvidenceSection
from edge_sorter.config.fraction import Fraction, FractionPoint
from edge_sorter.config.identify import IdentifySection, ScannerSection
from edge_sorter.config.journal import JournalSection
from edge_sorter.config.line import LineSection
from edge_sorter.config.plc import OutboxSection, PlcSection, TlsSection
from edge_sorter.config.service import ServiceSection, ServiceTlsSection
from edge_sorter.config.sort import LaneStatesSection, LimitsSection, SortSection, TimingSection
from edge_sorter.config.track import TrackSection
from edge_sorter.config.video import BlindSection, VideoSection, is_file_source
from edge_sorter.yamlfile import Section, beside, read_yaml

__all__ = [
    "BeltSection",
    "BlindSection",
    "Config",
    "DecisionLineSection",
    "DetectSection",
    "EncoderSection",
    "EvidenceSection",
    "Fraction",
    "FractionPoint",
    "IdentifySection",
    "JournalSection",
    "LaneStatesSection",
    "LimitsSection",
    "LineSection",
    "OutboxSection",
    "PhotoEyeSection",
    "PlcSection",
    "ScannerSection",
    "ServiceSection",
    "ServiceTlsSection",
    "SortSection",
    "SwapSection",
    "TimingSection",
    "TlsSection",
    "TrackSection",
    "VideoSection",
    "is_file_source",
    "load_config",
]


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


def load_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: Lists every mistake with its line.
    """
    folder = path.resolve().parent
    config = beside(read_yaml(path, Config, what="configuration"), folder)
    source = config.video.source
    if source is None or not is_file_source(source):
        return config
    clip = str((folder / Path(source).expanduser()).resolve())
    return config.model_copy(update={"video": config.video.model_copy(update={"source": clip})})
