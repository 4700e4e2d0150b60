"""`edge-sorter schemas`: the contract with the PLC side as files, for people who build the other end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_sorter.errors import ConfigError


def schemas(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the files; made where it is missing")],
) -> None:
    """Write the message contract: JSON Schemas, an AsyncAPI 3 document, and a page to read.

    They come from the very types this program checks messages with.
    """
    from edge_sorter.plc.asyncapi import write_contract

    try:
        paths = write_contract(out)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}; name a folder that can be written") from None
    for path in paths:
        typer.echo(str(path))
