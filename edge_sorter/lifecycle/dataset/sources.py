"""Read everything one import names, archives unpacked, and keep the temporary files until it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.grouping import compiled
from edge_sorter.lifecycle.dataset.importing import Source
from edge_sorter.lifecycle.dataset.reading import read, recorded
from edge_sorter.lifecycle.dataset.untrusted import opened, require


@contextmanager
def read_sources(
    paths: Sequence[Path],
    *,
    form: str,
    names: tuple[str, ...],
    name_pattern: str,
    clip: Path | None,
    choice: recorded.Choice,
    scratch: Path,
    about: tuple[str, str],
    on_frame: Callable[[int, int], None],
) -> Iterator[list[Source]]:
    """Yield what was read; unpacked archives and frames live until the end of the block.

    Args:
        paths: Folders, archives, label files, journals.
        form: Format of all of them, or "auto".
        names: Class names for YOLO folders without any.
        name_pattern: Regular expression over file names, or "".
        clip: Video of a journal or CVAT export.
        choice: Which parcels of journals.
        scratch: Folder for temporary files; the data set's own disk.
        about: Licence and origin.
        on_frame: Told frames decoded and the last one needed.

    Raises:
        DatasetError: A package is missing, or a source cannot be read.
    """
    require("PIL.Image")
    pattern = compiled(name_pattern)
    with ExitStack() as stack:
        found: list[Source] = []
        for path in paths:
            folder = stack.enter_context(opened(path, scratch=scratch))
            frames = Path(stack.enter_context(_frames_folder(scratch)))
            if _is_journal(folder):
                if clip is None:
                    raise DatasetError(f"{path} is a journal: name the video it was made of with --clip")
                reading = recorded.read(folder, clip, choice, scratch=frames, on_frame=on_frame)
            else:
                reading = read(folder, form=form, names=names, pattern=pattern, clip=clip, scratch=frames)
            found.append(Source(_unused(path.resolve().stem, found), reading, *about))
        yield found


@contextmanager
def _frames_folder(scratch: Path) -> Iterator[str]:
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".frames-", dir=scratch) as folder:
        yield folder


def _is_journal(path: Path) -> bool:
    return path.suffix == ".jsonl" or (path.is_dir() and (path / "journal.jsonl").is_file())


def _unused(name: str, found: list[Source]) -> str:
    taken = {source.name for source in found}
    numbered = (f"{name}-{index}" for index in range(2, len(found) + 2))
    return name if name not in taken else next(candidate for candidate in numbered if candidate not in taken)
