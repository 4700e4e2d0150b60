"""What this program can do right now, put together from what it says itself and what the world around it allows.

Pure: the pipeline tells its own state; pauses and a silent PLC lie over it and only ever make it worse. Where one of
them ends, the state below shows again. What the program itself suffers from (no picture, no encoder) is never hidden
behind something no worse.
"""

from __future__ import annotations

from edge_sorter.plc.messages import AppState

_WORSE = {AppState.DEGRADED: 1, AppState.HOLD: 2}
_AT_WORK = (AppState.READY, AppState.RUNNING, AppState.DEGRADED)


class Standing:
    """The state that is published."""

    def __init__(self) -> None:
        self._told = (AppState.STARTING, "start")
        self._over: dict[str, AppState] = {}
        self._after = ""

    @property
    def now(self) -> tuple[AppState, str]:
        """The state and its cause."""
        told, cause = self._told
        if not self.at_work or not self._over:
            return told, cause if told in _WORSE else self._after or cause
        worst = max(self._over.values(), key=_WORSE.__getitem__)
        if _WORSE[worst] <= _WORSE.get(told, 0):
            return self._told
        return worst, next(name for name, state in self._over.items() if state is worst)

    @property
    def at_work(self) -> bool:
        """Whether the program itself is ready to work."""
        return self._told[0] in _AT_WORK

    @property
    def holds(self) -> bool:
        """Whether no decision may go out."""
        return self.now[0] in (AppState.HOLD, AppState.OFFLINE)

    def tell(self, state: AppState, cause: str) -> None:
        """Take what the program says of itself."""
        self._told, self._after = (state, cause), ""

    def lay_over(self, cause: str, state: AppState | None) -> None:
        """Make things DEGRADED or HOLD for a cause, or with None let them be as they were.

        Args:
            cause: What is wrong, a word such as PLC_SILENT; told as the cause of the state.
            state: What it allows, or None when it is over.
        """
        if state is not None:
            self._over[cause] = state
        elif self._over.pop(cause, None) is not None:
            self._after = f"recovered from {cause}"
