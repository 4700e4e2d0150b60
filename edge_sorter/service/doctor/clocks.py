"""The wall clock: who keeps it right, and how far off it is. Without an encoder, positions are told as its times."""

from __future__ import annotations

from edge_sorter.service.doctor.finding import Finding, ok, warn
from edge_sorter.service.doctor.programs import answer_of

PART = "clock"
CLOCK_OFF_MS = 5.0
"""At 2 m/s this is 10 mm; the budget of a position that is told as a time."""
_SYNC_ADVICE = "apt-get install chrony and point it at the plant's time server; times in messages are wrong without"


def clock_sync() -> Finding:
    """Ask chrony, else ptp4l, else systemd, whether the wall clock follows a time server."""
    if (tracking := answer_of("chronyc", "-c", "tracking")) is not None:
        return judge_chrony(tracking)
    if (status := answer_of("pmc", "-u", "-b", "0", "GET TIME_STATUS_NP")) is not None and "RESPONSE" in status:
        return judge_ptp(status)
    if (synchronized := answer_of("timedatectl", "show", "--property=NTPSynchronized", "--value")) is not None:
        if synchronized.strip() == "yes":
            return ok(PART, "synchronised (systemd does not say how well; chrony would)")
        return warn(PART, "not synchronised with any time server", _SYNC_ADVICE)
    return warn(PART, "nothing here says whether it is right: no chrony, no running systemd", _SYNC_ADVICE)


def judge_chrony(tracking: str) -> Finding:
    """Judge one line of `chronyc -c tracking`: reference, its name, stratum, time, offset in seconds, ..., leap."""
    fields = tracking.strip().split(",")
    try:
        source, stratum, offset_ms, leap = fields[1], fields[2], float(fields[4]) * 1000, fields[-1]
    except (IndexError, ValueError):
        return warn(PART, f"chrony says something unknown: {tracking.strip()!r}", "look at `chronyc tracking`")
    if leap == "Not synchronised":
        return warn(PART, "chrony has no time server that answers", "check its sources: `chronyc sources`")
    return _judge(offset_ms, f"from {source or 'its reference'} (stratum {stratum}, chrony)")


def judge_ptp(status: str) -> Finding:
    """Judge what ptp4l answers to `pmc -u -b 0 'GET TIME_STATUS_NP'`: one name and value a line."""
    pairs = (line.split(None, 1) for line in status.splitlines())
    values = {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
    if values.get("gmPresent") != "true":
        return warn(PART, "ptp4l hears no grandmaster", "check its network and domain: `journalctl -u ptp4l`")
    try:
        offset_ms = int(values["master_offset"]) / 1e6
    except (KeyError, ValueError):
        return warn(PART, "ptp4l says something unknown", "look at `pmc -u -b 0 'GET TIME_STATUS_NP'`")
    master = values.get("gmIdentity", "its grandmaster")
    return _judge(offset_ms, f"from {master} (PTP; with hardware timestamps phc2sys must pass it on)")


def _judge(offset_ms: float, source: str) -> Finding:
    fact = f"{offset_ms:+.3f} ms {source}"
    if abs(offset_ms) > CLOCK_OFF_MS:
        return warn(PART, fact, f"more than {CLOCK_OFF_MS:g} ms: positions told as times are off; check the network")
    return ok(PART, fact)
