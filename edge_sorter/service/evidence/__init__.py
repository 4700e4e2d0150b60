"""What is kept of exceptions: a short clip and a record of all that led to the decision, blurred, for some days.

Contract: `Evidence` looks on; the main loop hands over a picture now and then and never waits. What does not fit, in
memory, on the disk or in an hour, is left out and counted. Pictures are the first thing a full disk loses.
"""

from edge_sorter.service.evidence.keeper import Evidence, open_evidence
from edge_sorter.service.evidence.store import Entry, Store

__all__ = ["Entry", "Evidence", "Store", "open_evidence"]
