"""What other people's files may not do: escape their folder, fill the disk or memory, or hold numbers that are none.

Contract: every function here returns something safe to use or raises DatasetError with file, place and what to do.
"""

from __future__ import annotations

import math
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from edge_sorter.errors import DatasetError

MAX_PIXELS = 100_000_000
"""A picture larger than this is no camera's; decoding it takes more than 300 MB."""
MAX_TEXT_BYTES = 512_000_000
MAX_ZIP_BYTES = 64_000_000_000
MAX_ZIP_FILES = 1_000_000
MAX_ZIP_RATIO = 200
"""Pictures hardly shrink and labels shrink by 5 to 20; a thousandfold is a bomb."""
RATIO_FREE_BYTES = 10_000_000
SHOWN_PROBLEMS = 20


class Problems:
    """Collects what is wrong with a source, so that one run names many faults instead of the first."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._shown: list[str] = []

    def add(self, problem: str) -> None:
        """Take one problem down."""
        self._count += 1
        if len(self._shown) < SHOWN_PROBLEMS:
            self._shown.append(problem)

    def raise_any(self) -> None:
        """Raise DatasetError if there was any problem."""
        if self._count:
            more = self._count - len(self._shown)
            rest = (f"and {more} more",) if more else ()
            plural = "s" if self._count > 1 else ""
            raise DatasetError(
                f"{self._what}: {self._count} problem{plural}, nothing was written", problems=(*self._shown, *rest)
            )


def extra(module: str) -> DatasetError:
    """Return the error for a package that is not installed."""
    return DatasetError(f"`edge-sorter dataset` needs the package {module}: pip install 'edge-sorter[dataset]'")


def require(*modules: str) -> None:
    """Say at once which package is missing; later it would look like a fault of every picture.

    Raises:
        DatasetError: One of them cannot be imported.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError:
            raise extra(module.partition(".")[0].replace("PIL", "pillow")) from None


def number(value: Any, where: str) -> float:
    """Return a finite number.

    Raises:
        DatasetError: It is none, or NaN or infinite.
    """
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise DatasetError(f"{where}: expected a number, found {value!r}") from None
    if not math.isfinite(result) or abs(result) > 1e6:
        raise DatasetError(f"{where}: {value!r} is no usable coordinate")
    return result


def inside(root: Path, name: str, where: str) -> PurePosixPath:
    """Return a file name from a label file as a path that stays in `root`.

    Raises:
        DatasetError: It is absolute, climbs with `..`, or holds control characters.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or drive or ".." in path.parts or not name.strip() or not name.isprintable():
        raise DatasetError(f"{where}: file name {name!r} leads outside {root}; give paths relative to the data set")
    return path


def read_text(path: Path) -> str:
    """Read a label file of sane size as UTF-8."""
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise DatasetError(f"{path} is larger than {MAX_TEXT_BYTES // 1_000_000} MB; export it in parts")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None


def read_xml(path: Path) -> Any:
    """Read an XML file whose document type and entities are refused.

    Raises:
        DatasetError: No XML, or one that defines entities (a few lines of those can stand for gigabytes).
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError:
        raise extra("defusedxml") from None
    try:
        return fromstring(read_text(path), forbid_dtd=True)
    except ParseError as error:
        raise DatasetError(f"{path} is not valid XML: {error}") from None
    except DefusedXmlException as error:
        raise DatasetError(f"{path} defines a document type or entities, which is refused: {error}") from None
    except ValueError as error:  # an encoding declaration other than the one it has
        raise DatasetError(f"{path} is not readable XML: {error}") from None


@contextmanager
def opened(source: Path, *, scratch: Path) -> Iterator[Path]:
    """Yield a folder or file as it is, a zip archive as the folder it was unpacked to; that folder is removed after.

    Raises:
        DatasetError: Not there, no archive, an archive that escapes or explodes, or no room for it.
    """
    if not source.exists():
        raise DatasetError(f"{source} does not exist")
    if source.suffix.lower() != ".zip":
        yield source
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unzip-", dir=scratch) as folder:
        _unzip(source, Path(folder))
        yield Path(folder)


def _unzip(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            _refuse_odd(archive, entries, free_bytes=shutil.disk_usage(folder).free)
            for entry in entries:
                target = folder / inside(folder, entry.filename, str(archive))
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(entry) as source, target.open("wb") as sink:
                    _copy(source, sink, entry, archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DatasetError(f"{archive} is no readable zip archive: {error}") from None
    except OSError as error:
        raise DatasetError(f"{archive} cannot be unpacked: {error.strerror or error}") from None


def _refuse_odd(archive: Path, entries: list[zipfile.ZipInfo], *, free_bytes: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ZIP_FILES:
        raise DatasetError(f"{archive} holds {len(entries)} files; at most {MAX_ZIP_FILES} are read")
    if total > min(MAX_ZIP_BYTES, free_bytes):
        raise DatasetError(f"{archive} unpacks to {total / 1e9:.1f} GB, {free_bytes / 1e9:.1f} GB are free")
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DatasetError(f"{archive}: {entry.filename} is a link, which is refused")
        if entry.file_size > RATIO_FREE_BYTES and entry.file_size > MAX_ZIP_RATIO * max(1, entry.compress_size):
            raise DatasetError(f"{archive}: {entry.filename} grows {MAX_ZIP_RATIO}-fold, a zip bomb; it is refused")


def _copy(source: Any, sink: Any, entry: zipfile.ZipInfo, archive: Path) -> None:
    left = entry.file_size
    while chunk := source.read(1 << 20):
        left -= len(chunk)
        if left < 0:  # the directory of an archive may lie about sizes
            raise DatasetError(f"{archive}: {entry.filename} is larger than the archive says, a zip bomb")
        sink.write(chunk)
