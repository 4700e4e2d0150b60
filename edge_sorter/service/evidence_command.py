"""`edge-sorter evidence`: what a line has kept of its exceptions, listed, shown, and packed to be handed on."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_sorter.service.evidence import Store

app = typer.Typer(
    no_args_is_help=True, help="Clips and records of exceptions: no read, unsure, late, mis-sorted, marked."
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration of the line")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else")]
Name = Annotated[str, typer.Argument(metavar="ID", help="As `list` names it; its beginning, or a parcel, is enough")]


@app.command("list")
def list_(
    config: ConfigOption,
    why: Annotated[str | None, typer.Option(help="Only no_read, low_conf, late, missort or mark")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is kept, newest first."""
    entries = [entry for entry in _store(config).entries() if why in (None, entry.why)]
    if as_json:
        _print(
            [{"id": entry.id, "at": entry.at.isoformat(), "why": entry.why, "clip": entry.clip} for entry in entries]
        )
        return
    for entry in entries:
        typer.echo(f"{entry.at:%Y-%m-%d %H:%M:%S} UTC  {entry.why:9}{'' if entry.clip else '(no clip) '}{entry.id}")
    typer.echo(f"{len(entries)} kept, {sum(entry.size for entry in entries) / 1e6:.1f} MB", err=True)


@app.command()
def show(name: Name, config: ConfigOption) -> None:
    """Print one record, and where its files lie."""
    store = _store(config)
    found = _find(store, name)
    _print(store.record(found))
    for kind in (".mp4", ".jpg"):
        path = store.file(found, kind)
        if path is not None:
            typer.echo(str(path), err=True)


@app.command()
def export(
    config: ConfigOption,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.zip", help="Archive to write; replaced if it is there")],
    name: Annotated[str | None, typer.Argument(metavar="[ID]", help="Only this one; default: everything kept")] = None,
) -> None:
    """Pack records and clips into one archive. Codes stay hashed: the salt is not in it."""
    store = _store(config)
    names = [entry.id for entry in store.entries()] if name is None else [_find(store, name)]
    partial = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w") as archive:
            for found in names:
                for path in filter(None, (store.file(found, kind) for kind in (".json", ".mp4", ".jpg"))):
                    archive.write(path, path.name)
        partial.replace(out)
    except OSError as error:
        raise _wrong(f"--out {out}: {error}; name a file that can be written") from None
    finally:
        partial.unlink(missing_ok=True)
    typer.echo(f"{len(names)} packed into {out}", err=True)


def _store(config: Path) -> Store:
    from edge_sorter.config import load_config
    from edge_sorter.service.evidence import Store
    from edge_sorter.service.evidence.keeper import folder_of

    folder = folder_of(load_config(config).evidence)
    if folder is None:
        raise _wrong(f"{config} keeps no evidence: set evidence.path")
    if not folder.is_dir():
        raise _wrong(f"evidence folder {folder} does not exist: the line has not run with it yet")
    return Store(folder)


def _find(store: Store, name: str) -> str:
    entries = store.entries()
    found = [entry.id for entry in entries if entry.id.startswith(name)] or [
        entry.id for entry in entries if entry.parcel.rpartition("-")[0] == name or entry.parcel == name
    ]
    if not found:
        raise _wrong(f"no evidence {name!r}; `edge-sorter evidence list` names what there is")
    return found[0]


def _wrong(message: str) -> Exception:
    from edge_sorter.errors import ConfigError

    return ConfigError(message)


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
