"""The machine: is its clock right, is there room on disk and in memory, is it cool, does it run at full power."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_sorter.config import Config
from edge_sorter.plc.outbox import outbox_path
from edge_sorter.service.doctor.clocks import clock_sync
from edge_sorter.service.doctor.finding import Finding, ok, warn
from edge_sorter.service.doctor.programs import answer_of
from edge_sorter.service.evidence.keeper import folder_of
from edge_sorter.service.temperature import temperatures_c

HOT_C, TOO_HOT_C = 80.0, 95.0
LEAST_FREE_SHARE = 0.05
LEAST_FREE_BYTES = 2_000_000_000
LEAST_MEMORY_BYTES = 500_000_000


def machine(config: Config) -> Iterator[Finding]:
    """Yield what there is to say about this machine."""
    yield clock_sync()
    yield from disk(config)
    yield records(config)
    yield memory()
    yield heat()
    yield from power()


def disk(config: Config) -> Iterator[Finding]:
    """Look at the disks that grow while running."""
    folders = {"disk": Path.cwd() if config.journal.path is None else config.journal.path.parent}
    if (evidence := folder_of(config.evidence)) is not None and _disk_of(evidence) != _disk_of(folders["disk"]):
        folders["disk of evidence"] = evidence
    for part, folder in folders.items():
        place = _there(folder)
        usage = shutil.disk_usage(place)
        fact = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free at {place}"
        wanted = max(LEAST_FREE_BYTES, LEAST_FREE_SHARE * usage.total)
        if config.journal.path is not None:
            wanted = max(wanted, 2.1e6 * config.journal.max_mb)
            fact += f"; the journal takes up to {2 * config.journal.max_mb / 1000:.1f} GB"
        if usage.free < wanted:
            yield warn(part, fact, f"less than {wanted / 1e9:.1f} GB: make room, or lower journal.max_mb")
        else:
            yield ok(part, fact)


def _there(folder: Path) -> Path:
    """Return the folder, or what exists of the way to it."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _disk_of(folder: Path) -> int:
    return _there(folder).stat().st_dev


def records(config: Config) -> Finding:
    """Say where parcel records wait while the broker is away."""
    part, path = "records", outbox_path(config.plc.outbox)
    if path is None:
        return warn(
            part,
            "kept in memory: those not yet forwarded are lost when the program ends",
            "set plc.outbox.path; the service has a folder for them by itself ($STATE_DIRECTORY)",
        )
    return ok(part, f"kept in {path}, up to {config.plc.outbox.max_mb:g} MB")


def memory(path: Path = Path("/proc/meminfo")) -> Finding:
    """Look at the memory that is left."""
    part = "memory"
    try:
        lines = dict(line.split(":", 1) for line in path.read_text(encoding="ascii").splitlines())
        free, total = (1024 * int(lines[key].split()[0]) for key in ("MemAvailable", "MemTotal"))
    except (OSError, ValueError, KeyError, IndexError):
        return warn(part, "the kernel does not tell", "look at `free -h`")
    fact = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB available"
    return ok(part, fact) if free > LEAST_MEMORY_BYTES else warn(part, fact, "a line needs 0.5 GB; what uses the rest?")


def heat() -> Finding:
    """Look at the hottest thermal zone."""
    part, zones = "temperature", temperatures_c()
    if not zones:
        return ok(part, "this machine has no sensor that the kernel shows")
    zone, hottest_c = max(zones.items(), key=lambda item: item[1])
    fact = f"{hottest_c:.0f} °C ({zone})"
    if hottest_c < HOT_C:
        return ok(part, fact)
    advice = "it slows down" if hottest_c >= TOO_HOT_C else "close to slowing down"
    return warn(part, fact, f"{advice}: clean fan and filter, give it air, or lower its power mode")


def power(root: Path = Path("/")) -> Iterator[Finding]:
    """Look at what may keep the processor below its speed: Jetson's power mode, a PC's governor."""
    part = "power"
    if (root / "etc/nv_tegra_release").exists():
        said = answer_of("nvpmodel", "-q")
        mode = next((line.split(":", 1)[1].strip() for line in (said or "").splitlines() if "Power Mode" in line), None)
        if mode is None:
            yield warn(part, "nvpmodel does not say the power mode", "run the doctor as root once")
        elif "MAXN" in mode.upper():
            yield ok(part, f"power mode {mode}")
        else:
            yield warn(part, f"power mode {mode}", "`nvpmodel -m 0` gives all the speed, if power and cooling allow")
        return
    governor = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    if governor.exists() and (name := governor.read_text(encoding="ascii").strip()) == "powersave":
        driver = governor.with_name("scaling_driver")
        if not driver.exists() or "pstate" not in driver.read_text(encoding="ascii"):  # there it means "balanced"
            yield warn(part, f"CPU governor {name}", "`cpupower frequency-set -g performance` for steady latency")
