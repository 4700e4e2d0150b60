"""Getting in at the broker: password and certificates from their files, and plain words for when it does not work."""

from __future__ import annotations

import socket
import ssl

from paho.mqtt.client import Client

from edge_sorter.config import PlcSection
from edge_sorter.errors import PlcError

BAD_LOGIN = (0x86, 0x87, 4, 5)
"""Reason codes of MQTT 5 and return codes of 3.1.1 for a wrong user or password, or no right."""


def advice(problem: str, code: int | None, *, had_a_clear_end: bool, key: str = "plc") -> str:
    """Return what a person can do about a connection that did not come up.

    Args:
        problem: What happened, in words.
        code: MQTT reason code, where the broker gave one.
        had_a_clear_end: Whether the broker, or the way to it, said why.
        key: Where the broker's settings stand in the configuration file.
    """
    if code in BAD_LOGIN:
        return f"check {key}.username and the file in {key}.password_file, and the broker's access list"
    if "unknown host" in problem:
        return f"correct {key}.host, or give an address instead of a name"
    if "refused" in problem:
        return f"start the broker there, or correct {key}.host and {key}.port"
    if "TLS" in problem:
        return f"check {key}.tls.ca_file, cert_file and key_file, the name in the broker's certificate, and {key}.port"
    if not had_a_clear_end:
        return f"is it an MQTT port? A TLS port needs {key}.tls, a plain one must not have it"
    return "check that host and port are reachable from here and that a broker answers there"


def password(section: PlcSection, key: str = "plc") -> str | None:
    """Return the password from its file, or None where none is configured.

    Raises:
        PlcError: The file cannot be read.
    """
    if section.password_file is None:
        return None
    try:
        return section.password_file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PlcError(f"{key}.password_file {section.password_file} cannot be read: {reason}") from None


def use_tls(client: Client, section: PlcSection, key: str = "plc") -> None:
    """Make a client speak TLS with the configured certificates, where TLS is configured.

    Raises:
        PlcError: A file is missing or holds no certificate or key.
    """
    if section.tls is None:
        return
    files: dict[str, str | None] = {}
    for name in ("ca_file", "cert_file", "key_file"):
        path = getattr(section.tls, name)
        if path is not None and not path.is_file():
            raise PlcError(f"{key}.tls.{name} {path} does not exist")
        files[name] = None if path is None else str(path)
    try:
        client.tls_set(ca_certs=files["ca_file"], certfile=files["cert_file"], keyfile=files["key_file"])
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise PlcError(f"{key}.tls: the certificate files cannot be used: {error}") from None


def explain(error: BaseException | None) -> str:
    """Say in a few words why a connection could not be made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the broker's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return "unknown host"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"cannot connect: {error}"
