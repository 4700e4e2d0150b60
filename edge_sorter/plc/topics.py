"""The MQTT topic tree of one sorter, so that no topic name is spelled in two places.

`Topics` is a frozen value: five plant levels, the product and the major version open every name, and a replay lives
under a root of its own, where no gateway of a running line listens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_sorter.config import LineSection

PRODUCT = "edge_sorter/v1"
REPLAY_ROOT = "replay"
_LEVEL = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic of one sorter. Names below "in" are reserved: the delivery protocol will subscribe to them.

    Attributes:
        line: The plant levels.
        replay: Whether recorded video drives this run; puts everything under "replay/".
    """

    line: LineSection
    replay: bool = False

    @property
    def prefix(self) -> str:
        """The common start of all topics, without a trailing slash."""
        line = self.line
        levels = (line.enterprise, line.site, line.area, line.line, line.cell, PRODUCT)
        return "/".join((REPLAY_ROOT, *levels) if self.replay else levels)

    # Out: written by this program.

    @property
    def state(self) -> str:
        """Birth, death and health; QoS 1, retained, also the last will."""
        return f"{self.prefix}/state"

    @property
    def hb(self) -> str:
        """Heartbeat; QoS 0."""
        return f"{self.prefix}/hb"

    @property
    def decision(self) -> str:
        """Sort decisions; QoS 1, never retained."""
        return f"{self.prefix}/decision"

    @property
    def parcel(self) -> str:
        """Full record of a parcel that left; for analytics."""
        return f"{self.prefix}/parcel"

    def alarm(self, code: str) -> str:
        """One alarm, such as CAM_LOST; QoS 1, retained."""
        return f"{self.prefix}/alarm/{_level(code)}"

    @property
    def alarm_all(self) -> str:
        """Filter for every alarm."""
        return f"{self.prefix}/alarm/+"

    @property
    def kpi(self) -> str:
        """Counters and percentiles; QoS 0, retained."""
        return f"{self.prefix}/kpi"

    @property
    def info(self) -> str:
        """Versions and hashes of what runs; QoS 1, retained."""
        return f"{self.prefix}/info"

    @property
    def plan_status(self) -> str:
        """Whether the newest sort plan was taken; QoS 1, retained."""
        return f"{self.prefix}/plan/status"

    @property
    def route_ask(self) -> str:
        """Question to the host about the parcel with a code; answered on `wcs_route`."""
        return f"{self.prefix}/route/ask"

    # In: written by the PLC gateway, the scanner or the host.

    @property
    def plc_hb(self) -> str:
        """Heartbeat of the gateway."""
        return f"{self.prefix}/plc/hb"

    @property
    def plc_item(self) -> str:
        """Photo-eye triggers."""
        return f"{self.prefix}/plc/item"

    @property
    def plc_enc(self) -> str:
        """Encoder counts."""
        return f"{self.prefix}/plc/enc"

    @property
    def plc_ack(self) -> str:
        """The PLC took, or refused, a decision."""
        return f"{self.prefix}/plc/ack"

    @property
    def plc_confirm(self) -> str:
        """Where a parcel really went."""
        return f"{self.prefix}/plc/confirm"

    def plc_lane_state(self, lane: str) -> str:
        """Whether a lane is open, full or disabled; retained."""
        return f"{self.prefix}/plc/lane/{_level(lane)}/state"

    @property
    def plc_line_state(self) -> str:
        """PackML state of the line; retained."""
        return f"{self.prefix}/plc/line/state"

    @property
    def scan_read(self) -> str:
        """Reads of an external scanner."""
        return f"{self.prefix}/scan/read"

    @property
    def wcs_plan(self) -> str:
        """Sort plan document from the host; retained."""
        return f"{self.prefix}/wcs/plan"

    @property
    def wcs_route(self) -> str:
        """What the host knows of one parcel."""
        return f"{self.prefix}/wcs/route"

    @property
    def cmd(self) -> str:
        """Commands such as pause and reload, with a response topic."""
        return f"{self.prefix}/cmd"


def _level(text: str) -> str:
    if not _LEVEL.match(text):
        raise ValueError(f"{text!r} cannot be one topic level: use 1 to 32 of A-Z a-z 0-9 _ -")
    return text
