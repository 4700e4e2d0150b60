"""The page: where it listens, who gets in, and until when its certificate holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from edge_sorter.clock import SystemClock
from edge_sorter.config import Config
from edge_sorter.errors import ConfigError
from edge_sorter.service.access import Access
from edge_sorter.service.doctor.broker import file_until, judge
from edge_sorter.service.doctor.finding import Finding, fail, ok, warn


def page(config: Config, *, now: datetime | None = None) -> Iterator[Finding]:
    """Yield what there is to say about `service.http`."""
    part, section = "page", config.service
    if section.http is None:
        yield ok(part, "service.http is not set: no page, no metrics, no health")
        return
    try:
        access = Access.of(section)
    except ConfigError as error:
        yield fail(part, error)
        return
    keys = [name for name, there in (("a token", access.token), ("a certificate", access.certified)) if there]
    changes = f"changes need {' or '.join(keys)}" if keys else "nobody can change anything (no token)"
    look = "everybody on this machine may look" if access.local else "nobody may look without either"
    fact = f"{'https' if access.encrypted else 'http'}://{section.http}/; {look}, {changes}"
    if not access.local and not access.encrypted:
        yield warn(part, fact, "the token crosses the network readable: set service.tls")
    else:
        yield ok(part, fact)
    if section.token_file is not None and section.token_file.stat().st_mode & 0o007:
        yield warn("page's token", f"{section.token_file} is open to everybody here", f"chmod o= {section.token_file}")
    if section.tls is not None and (until := file_until(section.tls.cert_file)) is not None:
        clock = SystemClock()
        yield judge("page's certificate", until, now=now or clock.wall(clock.now_ns()))
