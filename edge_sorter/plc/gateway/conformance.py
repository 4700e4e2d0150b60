"""Tells the author of a gateway whether it keeps the contract: speaks as the sorter, rightly and wrongly, and listens.

Contract: `examine` needs nothing of the gateway but its MQTT side. Every finding names the rule and what was seen. What
cannot be seen from here (that a retained decision is refused after a reconnect, that the PLC's diverter moved) is not
claimed. `examination` has the rules, `played_sorter` the sorter that is played.
"""

from __future__ import annotations

from edge_sorter.clock import Clock
from edge_sorter.errors import PlcError
from edge_sorter.plc.gateway.examination import CHECKS, Finding, heartbeat, well_formed
from edge_sorter.plc.gateway.played_sorter import PlayedSorter
from edge_sorter.plc.gateway.settings import GatewayConfig
from edge_sorter.plc.messages import AppState


def examine(config: GatewayConfig, *, lane: str, clock: Clock) -> list[Finding]:
    """Examine the gateway that listens to this line.

    Args:
        config: Line and broker of the gateway under examination.
        lane: A lane that it knows.
        clock: The present.

    Raises:
        PlcError: The broker cannot be reached, or a real sorter speaks on these topics.
    """
    sorter = PlayedSorter(config, clock)
    sorter.session.start()
    try:
        sorter.beating = False
        sorter.wait(1.0)
        if sorter.foreign_beats:
            raise PlcError(
                f"a sorter is running on {sorter.topics.prefix}; stop it first, and never do this with parcels"
            )
        sorter.beating = True
        sorter.say(AppState.RUNNING)
        findings = [heartbeat(sorter)]
        if findings[0].verdict == "fail" and not sorter.heartbeats:
            return findings
        for check in CHECKS:
            findings.append(check(sorter, lane))
        findings.append(well_formed(sorter))
        return findings
    finally:
        sorter.beating = False
        if sorter.session.connection is not None:
            sorter.say(AppState.OFFLINE)
        sorter.session.close(0.5)
