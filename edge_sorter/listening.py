"""What a PLC gateway would see of one or all sorters on a broker, for `edge-sorter listen`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from edge_sorter.config import PlcSection
from edge_sorter.plc.listen import Listener, Received
from edge_sorter.plc.messages import DecisionMessage


def listen_to(
    section: PlcSection,
    roots: tuple[str, ...],
    show: Callable[[Received], None],
    *,
    names: tuple[str, ...],
    count: int,
    stopped: Callable[[], bool],
) -> None:
    """Hand what a PLC gateway would see to `show`, until stopped or until `count` decisions came (0: never).

    Raises:
        PlcError: The broker cannot be reached.
    """
    seen = 0
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(Listener(section, root, client_id=f"edge-sorter-listen-{os.getpid()}-{n}", only=names))
            for n, root in enumerate(roots)
        ]
        while not stopped():
            for listener in listeners:
                for received in listener.messages(timeout_s=0.05):
                    show(received)
                    seen += isinstance(received.message, DecisionMessage)
                    if stopped() or (count and seen >= count):
                        return
