"""Shares and places of a picture, as configuration files write them: 0 to 1."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
FractionPoint = tuple[Fraction, Fraction]
