"""From a picture to boxes: the one call the pipeline makes, whatever model and engine do the work.

Contract: `open_detector` returns a warm `Detector` that has proven itself on this machine, or says why not;
`Detector.detect` returns every box with at least `low_confidence`, in pixels of the full picture, best first, with its
centre inside the mask.
"""

from edge_sorter.detect.detector import Detector
from edge_sorter.detect.opening import open_detector

__all__ = ["Detector", "open_detector"]
