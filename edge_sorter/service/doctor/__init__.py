"""`edge-sorter doctor`: does this installation work on this machine, and if not, what to do.

Contract: every part is examined whatever the others say; nothing is changed, published or thrown out; a failure has the
exit code that `run` would end with.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from edge_sorter.check import check_installation
from edge_sorter.config import Config, load_config
from edge_sorter.errors import ConfigError
from edge_sorter.service.doctor.broker import broker
from edge_sorter.service.doctor.camera import CameraExam
from edge_sorter.service.doctor.finding import Finding, Verdict, fail, ok, warn
from edge_sorter.service.doctor.gpu import gpu
from edge_sorter.service.doctor.machine import machine
from edge_sorter.service.doctor.model import model
from edge_sorter.service.doctor.page import page

__all__ = ["Finding", "Verdict", "examine", "exit_code"]


def examine(path: Path, *, doing: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """Yield findings as they come: configuration, machine, broker, camera, model.

    Args:
        path: The configuration.
        doing: Told what is looked at next.
    """
    doing("configuration")
    yield from configuration(path)
    try:
        config = load_config(path)
    except ConfigError:
        return
    doing("machine")
    yield from machine(config)
    doing("broker")
    yield from broker(config)
    yield from page(config)
    yield from running_line(config)
    doing("camera")
    exam = CameraExam(config)
    yield from exam.findings
    doing("model")
    yield from gpu()
    yield from model(config, exam.pictures, fps=exam.fps)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the exit code of the first failure, or 0."""
    return next((finding.exit_code for finding in findings if finding.verdict is Verdict.FAIL), 0)


def configuration(path: Path) -> Iterator[Finding]:
    """Yield what `check` says."""
    findings = check_installation(path)
    for part, fact in findings.facts.items():
        yield ok(part, fact)
    for error in findings.errors:
        yield fail("configuration", error)


def running_line(config: Config) -> Iterator[Finding]:
    """Ask a line that runs with this configuration how it is, where it can be asked."""
    http = config.service.http
    if http is None or config.service.tls is not None:
        return
    try:
        with urllib.request.urlopen(f"http://{http}/readyz", timeout=2) as answer:
            json.load(answer)
            yield ok("running line", f"ready (http://{http}/)")
    except urllib.error.HTTPError as error:
        with error:
            missing = json.loads(error.read()).get("missing", [])
        yield warn("running line", "; ".join(missing) or str(error), f"look at http://{http}/ and the journal")
    except (OSError, ValueError):
        return
