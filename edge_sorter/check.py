"""Examines an installation without running it: configuration, calibration, model, sort plan, clip or camera name.

`check_installation` goes on after a mistake, so that one call lists everything that has to be mended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_sorter.belt import load_calibration
from edge_sorter.config import Config, is_file_source, load_config
from edge_sorter.detect.detector import allowed_classes
from edge_sorter.detect.manifest import Manifest, load_manifest
from edge_sorter.errors import ConfigError, EdgeSorterError
from edge_sorter.pipeline import line_of
from edge_sorter.sort import load_plan
from edge_sorter.video.network import redacted


@dataclass
class Findings:
    """What a check found: facts that are fine, and errors by the part they concern."""

    facts: dict[str, str] = field(default_factory=dict)
    errors: list[EdgeSorterError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Exit code of the first error, or 0."""
        return self.errors[0].exit_code if self.errors else 0


def check_installation(path: Path) -> Findings:
    """Check everything a configuration names."""
    findings = Findings()
    try:
        config = load_config(path)
    except ConfigError as error:
        findings.errors.append(error)
        return findings
    findings.facts["configuration"] = str(path)
    manifest = _check_model(config, findings)
    _check_calibration(config, findings)
    _check_encoder(config, findings)
    _check_plan(config, manifest, findings)
    _check_source(config, findings)
    return findings


def _check_model(config: Config, findings: Findings) -> Manifest | None:
    try:
        manifest = load_manifest(config.detect.model)
        allowed_classes(config.detect, manifest)
    except EdgeSorterError as error:
        findings.errors.append(error)
        return None
    findings.facts["model"] = (
        f"{manifest.name} {manifest.version} ({manifest.precision}), unchanged since its manifest; "
        f"classes {', '.join(manifest.classes)}"
        + (f", of which here only {', '.join(config.detect.classes)}" if config.detect.classes else "")
    )
    return manifest


def _check_calibration(config: Config, findings: Findings) -> None:
    if config.belt.calibration is None:
        findings.facts["belt"] = "not calibrated: no millimetres, no size rules"
        return
    try:
        load_calibration(config.belt.calibration)
    except EdgeSorterError as error:
        findings.errors.append(error)
    else:
        speed, encoder = config.belt.speed_mm_s, config.belt.encoder
        motion = f"{speed:g} mm/s" if speed else "speed measured from the tracks"
        if encoder is not None:
            motion = f"encoder ({getattr(encoder.source, 'name', encoder.source)}), {encoder.mm_per_count:g} mm a count"
        findings.facts["belt"] = f"calibrated by {config.belt.calibration.name}, {motion}"


def _check_encoder(config: Config, findings: Findings) -> None:
    try:
        line_of(config)
    except ConfigError as error:
        findings.errors.append(error)


def _check_plan(config: Config, manifest: Manifest | None, findings: Findings) -> None:
    try:
        plan = load_plan(
            config.sort.plan,
            classes=manifest.classes if manifest else None,
            calibrated=config.belt.calibration is not None,
        )
    except EdgeSorterError as error:
        findings.errors.append(error)
    else:
        findings.facts["sort plan"] = f"{plan.name}: {len(plan.rules)} rules, {len(plan.lanes)} lanes"


def _check_source(config: Config, findings: Findings) -> None:
    source = config.video.source
    if source is None:
        findings.facts["video"] = "no video.source: fine for `replay CLIP`, but `run` needs one"
    elif is_file_source(source) and not Path(source).is_file():
        findings.errors.append(ConfigError(f"video.source: clip {source} does not exist"))
    else:
        findings.facts["video"] = redacted(source)
