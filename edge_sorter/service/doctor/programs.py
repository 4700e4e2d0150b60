"""Asking the system's own programs, which may be absent."""

from __future__ import annotations

import os
import shutil
import subprocess


def answer_of(*command: str, timeout_s: float = 5.0) -> str | None:
    """Return what a program prints, or None: not installed, failed, or silent for too long."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
