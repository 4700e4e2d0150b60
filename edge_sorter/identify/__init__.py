"""Tracks in, parcels out: what each one is, how large, and which codes it carries, as evidence fused over its life."""

from edge_sorter.identify.codes import CodeReader
from edge_sorter.identify.parcel import Identifier
from edge_sorter.identify.scanned import ScannerReads

__all__ = ["CodeReader", "Identifier", "ScannerReads"]
