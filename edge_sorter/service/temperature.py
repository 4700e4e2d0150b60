"""How hot the machine is, from the kernel's thermal zones (Jetson and most others have them)."""

from __future__ import annotations

from pathlib import Path

THERMAL = Path("/sys/class/thermal")


def temperatures_c(folder: Path = THERMAL) -> dict[str, float]:
    """Return degrees Celsius by zone; empty where the kernel tells none. Zones that are switched off are left out."""
    zones: dict[str, float] = {}
    for zone in sorted(folder.glob("thermal_zone*")):
        try:
            name = (zone / "type").read_text(encoding="ascii").strip()
            celsius = int((zone / "temp").read_text(encoding="ascii")) / 1000
        except (OSError, ValueError):
            continue
        if -50 < celsius < 200:
            zones[name] = max(celsius, zones.get(name, -50.0))
    return zones
