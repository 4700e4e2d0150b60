"""The broker: does it let us in, over which version, and until when do the certificates hold."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from edge_sorter.clock import Clock, SystemClock, stopwatch_ns
from edge_sorter.config import Config, PlcSection, TlsSection
from edge_sorter.errors import PlcError
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.session import Session
from edge_sorter.service.doctor.finding import Finding, fail, ok, warn
from edge_sorter.service.doctor.programs import answer_of

WARN_DAYS = 30


def broker(config: Config, *, clock: Clock | None = None) -> Iterator[Finding]:
    """Connect as a guest of another name, so that a running line is not thrown out; then read the certificates."""
    section, clock = config.plc, clock or SystemClock()
    session = Session(section, Identity(f"edge-sorter-doctor-{os.getpid()}"))
    began_ns = stopwatch_ns()
    try:
        session.start()
    except PlcError as error:
        yield fail("broker", error)
        return
    finally:
        spent_ms = (stopwatch_ns() - began_ns) / 1e6
        version = session.version
        session.close(0.5)
    tls = "TLS" if section.tls else "no TLS"
    yield ok("broker", f"{section.host}:{section.port}, MQTT {version}, {tls}, connected within {spent_ms:.0f} ms")
    if section.tls is not None:
        yield from certificates(section, section.tls, now=clock.wall(clock.now_ns()))
    elif not section.host.startswith(("127.", "localhost", "::1")):
        advice = "whoever is in this network can send decisions: use plc.tls and a broker that asks who is there"
        yield warn("broker", f"{section.host} is another machine, and nothing is encrypted", advice)


def certificates(section: PlcSection, tls: TlsSection, *, now: datetime) -> Iterator[Finding]:
    """Say how long each certificate still holds."""
    if (until := _broker_until(section, tls)) is not None:
        yield judge("broker's certificate", until, now=now)
    for part, path in (("our certificate", tls.cert_file), ("authority", tls.ca_file)):
        if path is None:
            continue
        if (until := file_until(path)) is None:
            yield warn(part, f"{path}: its end cannot be read here", "apt-get install openssl")
        else:
            yield judge(part, until, now=now)
    if tls.key_file is not None and tls.key_file.stat().st_mode & 0o007:
        yield warn("our key", f"{tls.key_file} can be read by everybody", f"chmod o= {tls.key_file}")


def judge(part: str, until: datetime, *, now: datetime) -> Finding:
    """Judge the end of a certificate."""
    days = (until - now).days
    fact = f"holds until {until:%Y-%m-%d}"
    if days < 0:
        return fail(part, f"ended on {until:%Y-%m-%d}", "renew it; nothing connects with it")
    if days < WARN_DAYS:
        return warn(part, f"{fact}, {days} more days", "renew it before the line stops")
    return ok(part, fact)


def file_until(path: Path) -> datetime | None:
    """Return the end of a certificate file, or None where it cannot be read."""
    said = answer_of("openssl", "x509", "-enddate", "-noout", "-in", str(path))
    if said is None or "=" not in said:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(said.split("=", 1)[1].strip()), timezone.utc)


def _broker_until(section: PlcSection, tls: TlsSection) -> datetime | None:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    try:
        with (
            socket.create_connection((section.host, section.port), section.connect_timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=section.host) as wrapped,
        ):
            shown = wrapped.getpeercert() or {}
    except OSError:
        return None
    ends = shown.get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), timezone.utc) if isinstance(ends, str) else None
