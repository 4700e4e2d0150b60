"""A machine of its own for tests: real systemd, booted on a throw-away copy of this system, without network.

systemd-nspawn lays a layer of memory over the root file system, so whatever a test installs is gone afterwards and the
system it runs on is never touched. Needs root and Debian's systemd-container.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT = """
mount --make-rprivate /
mount --bind / "$1"
shift
exec systemd-nspawn --quiet --directory "$ROOT" --volatile=overlay --register=no --keep-unit --link-journal=no \
  --private-network --console=pipe "$@" --boot systemd.unit=basic.target
"""


def missing() -> str | None:
    """Return why no machine can be made here, or None."""
    if os.geteuid() != 0:
        return "needs root for systemd-nspawn"
    if shutil.which("systemd-nspawn") is None:
        return "systemd-nspawn is not installed (apt-get install systemd-container)"
    return None


class Machine:
    """Boots; runs commands; ends. `shared` is the same folder inside and outside."""

    def __init__(self, folder: Path, *, read_only: tuple[Path, ...] = ()) -> None:
        (root := folder / "root").mkdir()
        self.shared = folder / "shared"
        self.shared.mkdir()
        self._log = (folder / "boot.log").open("w+b")
        binds = [f"--bind={self.shared}", *(f"--bind-ro={path}" for path in read_only)]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", BOOT, "boot", str(root), "--machine=edge-sorter-test", *binds],
            env={"PATH": PATH, "ROOT": str(root), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._leader = ""

    def boot(self, *, timeout_s: float = 60) -> str | None:
        """Wait until systemd answers; return why it does not, or None."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            self._leader = (children.read_text().split() or [""])[0] if children.exists() else ""
            if self._leader and self.run("systemctl is-active basic.target", check=False).returncode == 0:
                return None
            time.sleep(0.1)
        self._log.seek(0)
        return f"systemd does not boot here: {self._log.read().decode(errors='replace')[-500:]}"

    def run(self, command: str, *, check: bool = True, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside."""
        done = subprocess.run(
            ["nsenter", "-t", self._leader, "-a", "--", "/bin/bash", "-c", command],
            env={"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self.journal()}"
        return done

    def journal(self, *options: str) -> str:
        """The newest lines of its journal."""
        return self.run(f"journalctl --no-pager -o short-monotonic {' '.join(options) or '-n 60'}", check=False).stdout

    def until(self, command: str, *, timeout_s: float = 60) -> None:
        """Wait until a command succeeds."""
        until = time.monotonic() + timeout_s
        while self.run(command, check=False).returncode:
            assert time.monotonic() < until, f"not within {timeout_s} s: {command}\n{self.journal()}"
            time.sleep(0.2)

    def close(self) -> None:
        """Pull the plug."""
        if self._process.poll() is None:
            if self._leader:
                os.kill(int(self._leader), signal.SIGKILL)
            self._process.terminate()
            self._process.wait(30)
        self._log.close()
