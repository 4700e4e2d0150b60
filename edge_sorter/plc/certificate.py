"""When a certificate ends, read from its file, so that the line can say so a month before the connection breaks.

Reads the one field it needs from X.509 (RFC 5280: certificate, to-be-signed part, fifth element from the serial number
on is the validity); checks nothing else, that is TLS's business.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from pathlib import Path

_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18


def ends_at(path: Path) -> datetime | None:
    """Return when the first certificate in a PEM file ends, UTC; None where the file holds none that can be read."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        begin = text.index("-----BEGIN CERTIFICATE-----")
        end = text.index("-----END CERTIFICATE-----", begin)
        der = ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----\n")
        return _not_after(der)
    except (OSError, ValueError, IndexError):
        return None


def _not_after(der: bytes) -> datetime:
    _, certificate, _ = _element(der)
    _, signed, _ = _element(certificate)
    tag, _, rest = _element(signed)
    if tag == _VERSION:
        _, _, rest = _element(rest)  # serial number
    for _ in range(2):  # signature algorithm, issuer
        _, _, rest = _element(rest)
    _, validity, _ = _element(rest)
    _, _, after = _element(validity)
    tag, text, _ = _element(after)
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no time where the end of validity should be")
    # Two digits mean 1950 to 2049 (RFC 5280, 4.1.2.5.1).
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Split DER into the first element's tag and content, and what follows it."""
    length, start = data[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if start + length > len(data):
        raise ValueError("an element is cut off")
    return data[0], data[start : start + length], data[start + length :]
