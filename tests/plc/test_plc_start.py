"""Starting a link: which MQTT version, and one clear message for everything that can be wrong. No mosquitto needed."""

from __future__ import annotations

import gc
import re
import socket
import threading
import time

import pytest
from mosquitto import free_port, wait_until

from edge_sorter.config import PlcSection, TlsSection
from edge_sorter.errors import PlcError
from edge_sorter.plc.broker import EmbeddedBroker
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.listen import Listener
from edge_sorter.plc.messages import DecisionMessage
from edge_sorter.plc.publisher import PublishResult


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedBroker() as broker:
        yield broker


class Port:
    """A TCP port that accepts and then does one thing: stay silent, hang up, or answer with fixed bytes."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._kept.append(connection)
            if self._answer is not None:
                connection.recv(1000)
                connection.sendall(self._answer)
                connection.close()

    def close(self) -> None:
        # shutdown() wakes accept(); close() alone leaves it waiting.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(2)
        for connection in self._kept:
            connection.close()


@pytest.fixture
def open_port():
    ports = []

    def make(answer: bytes | None) -> int:
        ports.append(Port(answer))
        return ports[-1].port

    yield make
    for port in ports:
        port.close()


def test_the_embedded_broker_gets_mqtt_311(embedded, make_link, make_decision):
    with make_link(embedded.port) as link:
        assert link.version == "3.1.1"
        assert link.publish(make_decision(1)) is PublishResult.SENT
        assert link.flush(20)
        assert link.acked == 1


def test_a_listener_sees_what_the_link_says(embedded, make_link, make_decision, topics):
    section = PlcSection(port=embedded.port)
    with Listener(section, topics, client_id="listener") as listener, make_link(embedded.port) as link:
        time.sleep(0.2)
        link.publish(make_decision(7))
        received = [item.message for item in listener.messages(timeout_s=0.5)]
    decisions = [message for message in received if isinstance(message, DecisionMessage)]
    assert [message.parcel_uid[-1] for message in decisions] == ["7"]
    assert not listener.rejected


def test_embedded_broker_restart_is_survived(make_link, make_decision, clock):
    port = free_port()
    broker = EmbeddedBroker(port)
    broker.start()
    link = make_link(port)
    link.start()
    began = time.monotonic()
    broker.close()
    assert time.monotonic() - began < 3.0
    assert not broker.alive
    wait_until(lambda: not link.connected, meanwhile=lambda: link.tick(clock.now_ns()))
    assert link.publish(make_decision(1)) is PublishResult.DROPPED_OFFLINE
    with EmbeddedBroker(port):
        wait_until(lambda: link.connected, meanwhile=lambda: link.tick(clock.now_ns()))
        assert link.publish(make_decision(2)) is PublishResult.SENT
        link.close()


def test_embedded_broker_says_that_its_port_is_taken(embedded):
    with pytest.raises(PlcError, match=rf"127\.0\.0\.1:{embedded.port}: Address already in use; stop what runs there"):
        EmbeddedBroker(embedded.port).start()


def test_embedded_broker_can_be_closed_twice_and_without_start():
    EmbeddedBroker().close()
    broker = EmbeddedBroker()
    broker.start()
    broker.close()
    broker.close()


def fails(link: MqttLink, message: str, *, within_s: float = 2.0) -> None:
    began = time.monotonic()
    with pytest.raises(PlcError, match=message):
        link.start()
    assert time.monotonic() - began < within_s
    assert not link.connected
    link.close()


def test_refused_connection(make_link):
    port = free_port()
    fails(make_link(port), rf"MQTT broker 127\.0\.0\.1:{port}: connection refused; start the broker there")


def test_unknown_host(make_link):
    fails(make_link(1883, host="no-such-host.invalid"), "unknown host; correct plc.host", within_s=6)


def test_port_that_never_answers(make_link, open_port):
    link = make_link(open_port(None), connect_timeout_s=0.5)
    fails(link, r"no answer within 0\.5 s; check that host and port", within_s=1.5)


def test_port_that_hangs_up(make_link, open_port):
    fails(make_link(open_port(b"")), "closed the connection without an answer; is it an MQTT port")


def test_port_that_is_a_web_server(make_link, open_port):
    fails(make_link(open_port(b"HTTP/1.1 400 Bad Request\r\n\r\n")), "is it an MQTT port|check that host and port")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (2, "identifier"),
        (3, "unavailable"),
        (4, "user name or password.*plc.username"),
        (5, "not authori.*plc.username"),
    ],
)
def test_refusal_codes_of_mqtt_311(code, message, make_link, open_port):
    port = open_port(bytes([0x20, 2, 0, code]))
    fails(make_link(port, protocol="3.1.1"), message)


def test_a_broker_that_hangs_up_on_version_5_gets_311(make_link, embedded):
    """Old brokers do not answer what they do not know; they close."""
    front = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve() -> None:
        for number in range(2):
            client, _ = front.accept()
            if number == 0:
                client.recv(1000)
                client.close()
                continue
            with client, socket.create_connection(("127.0.0.1", embedded.port)) as server:
                for connection in (client, server):
                    connection.settimeout(0.02)
                while not stopped.is_set():
                    for source, sink in ((client, server), (server, client)):
                        try:
                            sink.sendall(source.recv(1000))
                        except TimeoutError:
                            continue
                        except OSError:
                            return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with make_link(front.getsockname()[1]) as link:
            assert link.version == "3.1.1"
    finally:
        stopped.set()
        thread.join(5)
        front.close()


@pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
def test_missing_tls_file(name, make_link, tmp_path):
    link = make_link(8883, tls=TlsSection(**{name: tmp_path / "gone.pem"}))
    fails(link, rf"plc\.tls\.{name} .*gone\.pem does not exist")


def test_tls_file_that_is_none(make_link, tmp_path):
    (tmp_path / "ca.pem").write_text("this is no certificate")
    fails(
        make_link(8883, tls=TlsSection(ca_file=tmp_path / "ca.pem")), r"plc\.tls: the certificate files cannot be used"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_towards_a_plain_port(make_link, open_port):
    port = open_port(b"\x20\x02\x00\x01")
    before = set(threading.enumerate())
    fails(make_link(port, tls=TlsSection()), "TLS handshake failed.*check plc.tls.ca_file")
    # paho leaves the socket of a failed handshake to the garbage collector, which Python warns about; it is garbage
    # only when paho's thread, which holds the error, has ended.
    wait_until(lambda: set(threading.enumerate()) <= before, what="paho's thread ends")
    gc.collect()


def test_missing_password_file(make_link, tmp_path):
    path = tmp_path / "password"
    fails(
        make_link(1883, username="sorter", password_file=path), f"{re.escape(str(path))} cannot be read: No such file"
    )


def test_close_is_quick_while_connecting(make_link, open_port):
    link = make_link(open_port(None), connect_timeout_s=0.2)
    with pytest.raises(PlcError):
        link.start()
    began = time.monotonic()
    link.close()
    assert time.monotonic() - began < 3.0
