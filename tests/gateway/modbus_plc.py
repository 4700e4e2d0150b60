"""A PLC behind a real Modbus TCP server: a belt that runs, a program with a cycle, a ring of slots it obeys.

It is written as a PLC programmer would from docs/plc.md, and shares no code with the gateway but the addresses.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

WORDS = 400


@dataclass
class ModbusPlc:
    """One PLC; `fired` is what its diverters did, as (seq, lane, encoder count)."""

    port: int
    speed_counts_s: float = 2000.0
    start_count: int = 0
    running: bool = True
    answers: bool = True
    refuse: int = 1
    fired: list[tuple[int, int, int]] = field(default_factory=list)
    full: int = 0
    packml: int = 6
    remember_s: float = 10.0

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    def start(self) -> ModbusPlc:
        """Switch on; all memory is empty, as after a power cut."""
        self.memory = [0] * WORDS
        self._turns = [0] * 8
        self._acted: dict[int, float] = {}
        self._confirmed = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(10)
        self._thread.join(10)

    @property
    def count(self) -> int:
        return (self.start_count + int((time.monotonic() - self._began) * self.speed_counts_s)) % 2**32

    @property
    def in_use(self) -> bool:
        return self.memory[182] == 1

    def confirm(self, seq: int, lane: int, result: int = 1) -> None:
        """Say where a parcel went, in the next place of the ring."""
        place, turn = self._confirmed % 8, self._confirmed // 8 + 1
        self._confirmed += 1
        at = 320 + 4 * place
        self.memory[at : at + 3] = [seq & 0xFFFF, lane, result]
        self.memory[at + 3] = turn

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        device = SimDevice(
            0, simdata=[SimData(0, values=[0] * WORDS, datatype=DataType.REGISTERS)], action=self._accessed
        )
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await self._server.listen()
        self._ready.set()
        await self._server.serving

    async def _accessed(self, function, start, address, count, registers, values):
        if values is not None:
            self.memory[address : address + len(values)] = [int(value) for value in values]
        if self.running:
            self._cycle()
        registers[address - start : address - start + count] = self.memory[address : address + count]

    def _cycle(self) -> None:
        """One cycle of the PLC's program."""
        memory = self.memory
        memory[289] = (memory[289] + 1) % 0x10000
        memory[290] = self.packml
        memory[291], memory[292] = divmod(self.count, 0x10000)
        for word in range(4):
            memory[293 + word] = (self.full >> (16 * word)) & 0xFFFF
        for slot in range(8):
            words = memory[100 + 10 * slot : 110 + 10 * slot]
            if words[9] == self._turns[slot]:
                continue
            self._turns[slot] = words[9]
            seq = (words[0] << 16) | words[1]
            known = time.monotonic() - self._acted.get(seq, -1e9) < self.remember_s
            result = 2 if known else self.refuse if self.in_use else 6
            if result == 1:
                self._acted[seq] = time.monotonic()
                self.fired.append((seq, words[3], self.count))
            if self.answers:
                memory[300 + 2 * slot : 302 + 2 * slot] = [seq & 0xFFFF, result]
