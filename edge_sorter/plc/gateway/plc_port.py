"""The PLC at the end of a Modbus TCP cable: reads its block, writes slots and health, and says when it is gone.

Contract: every call returns within the timeout; a failed one returns None or False and the port reconnects by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from edge_sorter.clock import stopwatch_ns
from edge_sorter.errors import PlcError
from edge_sorter.plc.gateway import registers
from edge_sorter.plc.gateway.settings import ModbusSection

log = logging.getLogger(__name__)

RECONNECT_S = 0.5


class PlcPort:
    """One Modbus TCP connection.

    Attributes:
        connected: Whether the last request was answered.
        reconnects: How often it came back.
    """

    def __init__(self, section: ModbusSection) -> None:
        """Prepare; nothing is opened before the first request.

        Raises:
            PlcError: pymodbus is not installed.
        """
        try:
            from pymodbus.client import ModbusTcpClient
            from pymodbus.exceptions import ModbusException
        except ImportError:
            raise PlcError("the Modbus gateway needs pymodbus: pip install 'edge-sorter[gateway]'") from None
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # we say it ourselves, once
        self.connected = False
        self.reconnects = -1
        self._section = section
        self._error: type[Exception] = ModbusException
        self._client = ModbusTcpClient(
            section.host, port=section.port, timeout=section.timeout_ms / 1e3, retries=0, reconnect_delay=0
        )
        self._retry_ns = 0

    def read_block(self) -> registers.PlcBlock | None:
        """Return what the PLC says now, or None when it does not answer."""
        words = self._read(registers.PLC_BLOCK, registers.PLC_WORDS)
        return None if words is None else registers.read_block(words)

    def read_turns(self) -> list[int] | None:
        """Return the turn of every slot, so that a restarted gateway goes on from there."""
        words = self._read(registers.DECISIONS, registers.SLOTS * registers.SLOT_WORDS)
        return None if words is None else words[registers.SLOT_WORDS - 1 :: registers.SLOT_WORDS]

    def write_slot(self, slot: int, content: registers.Slot, turn: int) -> bool:
        """Write a decision, its turn last."""
        return self._write(registers.slot_address(slot), content.words()) and self._write(
            registers.turn_address(slot), [turn]
        )

    def write_health(self, heartbeat: int, state: int, use: bool) -> bool:
        """Tell the PLC that the gateway lives, what the sorter says, and whether decisions may be used."""
        return self._write(registers.HEALTH, [heartbeat & 0xFFFF, state, int(use)])

    def close(self) -> None:
        """Disconnect."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _read(self, address: int, count: int) -> list[int] | None:
        if not self._ready():
            return None
        try:
            answer = self._client.read_holding_registers(
                self._section.base + address, count=count, device_id=self._section.unit
            )
        except (self._error, OSError) as error:
            self._lost(str(error))
            return None
        if answer.isError() or len(answer.registers) != count:
            self._lost(f"it answers {answer}")
            return None
        self._came_back()
        return list(answer.registers)

    def _write(self, address: int, words: Sequence[int]) -> bool:
        if not self._ready():
            return False
        try:
            answer = self._client.write_registers(
                self._section.base + address, list(words), device_id=self._section.unit
            )
        except (self._error, OSError) as error:
            self._lost(str(error))
            return False
        if answer.isError():
            self._lost(f"it answers {answer}")
            return False
        return True

    def _ready(self) -> bool:
        if self._client.connected:
            return True
        if stopwatch_ns() < self._retry_ns:
            return False
        self._retry_ns = stopwatch_ns() + round(RECONNECT_S * 1e9)
        try:
            up: bool = self._client.connect()  # type: ignore[no-untyped-call]
        except (self._error, OSError) as error:
            self._lost(str(error))
            return False
        if not up:
            self._lost("it does not answer")
        return up

    def _came_back(self) -> None:
        if not self.connected:
            self.connected = True
            self.reconnects += 1
            log.info("PLC %s:%s answers", self._section.host, self._section.port)

    def _lost(self, why: str) -> None:
        if self.connected or self.reconnects < 0:
            log.warning("PLC %s:%s: %s", self._section.host, self._section.port, why.splitlines()[0][:200])
            self.reconnects = max(self.reconnects, 0)
        self.connected = False
        self._client.close()  # type: ignore[no-untyped-call]
