"""Key `track`: how boxes become identities."""

from __future__ import annotations

from pydantic import Field

from edge_sorter.config.fraction import Fraction
from edge_sorter.yamlfile import Section


class TrackSection(Section):
    """How boxes become identities. All times are seconds, so a changed frame rate changes nothing else."""

    confirm_hits: int = Field(3, ge=1, description="frames with a sure detection before a track is believed")
    lost_s: float = Field(1.0, gt=0, description="a track unseen for longer ends")
    tentative_s: float = Field(0.25, gt=0, description="an unconfirmed track unseen for longer is forgotten")
    min_iou: Fraction = Field(0.2, description="overlap of predicted and measured box that may match")
