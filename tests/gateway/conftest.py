"""A real broker, a real Modbus server with a PLC's program behind it, and the gateway between them."""

from __future__ import annotations

import threading

import mosquitto as real
import pytest

pytest.importorskip("pymodbus", reason="pymodbus is not installed: the Modbus gateway was not run")

from hand_sorter import LINE, Sorter
from modbus_plc import ModbusPlc

from edge_sorter.clock import SystemClock
from edge_sorter.config import PlcSection
from edge_sorter.plc.gateway.modbus import ModbusGateway
from edge_sorter.plc.gateway.settings import GatewayConfig, ModbusSection


@pytest.fixture
def broker(tmp_path):
    one = real.Mosquitto(tmp_path, persistence=True).start()
    yield one
    one.stop()


@pytest.fixture
def plc():
    one = ModbusPlc(real.free_port()).start()
    yield one
    one.stop()


@pytest.fixture
def sorter(broker):
    one = Sorter(broker)
    yield one
    one.close()


@pytest.fixture
def echo_ms():
    return 1000


@pytest.fixture
def gateway_config(broker, plc, echo_ms):
    return GatewayConfig(
        line=LINE,
        mqtt=PlcSection(host=broker.host, port=broker.port),
        modbus=ModbusSection(port=plc.port, cycle_ms=5, timeout_ms=1000),
        lanes={"L01": 1, "L02": 2, "HOSP": 99},
        echo_ms=echo_ms,
    )


@pytest.fixture
def running(gateway_config, plc):
    """The gateway, with nobody to listen to yet."""
    one = ModbusGateway(gateway_config, clock=SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop.is_set,))
    thread.start()
    yield one
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert not plc.in_use  # it leaves the PLC on its default


@pytest.fixture
def gateway(running, sorter, plc):
    one = running
    real.wait_until(lambda: one.usable and plc.in_use, timeout_s=20, what="the gateway is in use")
    return one
