"""Every error edge_sorter raises on purpose, with the exit code a shell or systemd sees.

The tree::

    EdgeSorterError                 1   anything of ours
    ├── ConfigError                78   configuration, sort plan or calibration is wrong (EX_CONFIG)
    ├── ModelError                 70   model or manifest missing, changed, or not what the plan needs
    │   └── EngineError            71   an inference engine cannot be loaded or fails while running
    ├── DatasetError               65   images or labels cannot be used, or a result is already there (EX_DATAERR)
    ├── VideoError                 66   a clip is missing, empty, truncated or no video (EX_NOINPUT)
    │   └── CameraError            69   a live camera never answered (EX_UNAVAILABLE)
    ├── PlcError                   76   the broker refused us or cannot be reached (EX_PROTOCOL)
    │   └── MessageError           76   an inbound message breaks the rules: counted, never fatal
    └── JournalError               74   a journal cannot be read or written (EX_IOERR)

A message says what is wrong, where (file, line, key) and what to do. Codes follow BSD ``sysexits.h`` where one fits.
"""

from __future__ import annotations


class EdgeSorterError(Exception):
    """Base of all errors raised on purpose; the CLI prints its message without a traceback."""

    exit_code = 1


class ConfigError(EdgeSorterError):
    """Configuration, sort plan or calibration file is wrong. Carries all problems found, not only the first."""

    exit_code = 78

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((message, *(f"  - {problem}" for problem in problems))))
        self.problems = problems


class ModelError(EdgeSorterError):
    """A model file or its manifest is missing, was changed, or lacks what the sort plan needs."""

    exit_code = 70


class EngineError(ModelError):
    """An inference engine cannot be loaded on this machine or failed while running."""

    exit_code = 71


class DatasetError(EdgeSorterError):
    """Images or labels cannot be used, or an output is already there. Carries the problems found."""

    exit_code = 65

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((message, *(f"  - {problem}" for problem in problems))))
        self.problems = problems


class VideoError(EdgeSorterError):
    """A video file is missing, empty, truncated or not a video."""

    exit_code = 66


class CameraError(VideoError):
    """A live camera never answered, or stayed silent past its start-up limit."""

    exit_code = 69


class PlcError(EdgeSorterError):
    """The MQTT broker refused the connection or could not be reached at start-up."""

    exit_code = 76


class MessageError(PlcError):
    """An inbound message breaks the rules of the wire. It is counted by its `code` and dropped.

    Attributes:
        code: Short and countable, such as "TOO_LARGE" or "UNKNOWN_MAJOR".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JournalError(EdgeSorterError):
    """A journal or audit file cannot be read or written."""

    exit_code = 74
