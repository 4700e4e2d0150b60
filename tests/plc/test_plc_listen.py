"""The listener against a real mosquitto: what it hands on, what it refuses, and that it misses nothing while away."""

from __future__ import annotations

import subprocess
import time

import pytest
from mosquitto import Mosquitto, wait_until

from edge_sorter.config import PlcSection, TlsSection
from edge_sorter.errors import PlcError
from edge_sorter.plc.listen import Listener, Received, format_line, listen
from edge_sorter.plc.messages import DecisionMessage, HeartbeatMessage, InfoMessage, KpiMessage, StateMessage
from edge_sorter.plc.publisher import PublishResult

pytestmark = pytest.mark.broker


def say(broker, topic, text, *options):
    command = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-q", "1", "-t", topic, "-m", text]
    subprocess.run([*command, *options], check=True)


def collect(listener, *, timeout_s=0.5) -> list[Received]:
    return list(listener.messages(timeout_s))


def test_everything_of_one_sorter_arrives_checked(broker, make_link, make_decision, clock, topics):
    section = PlcSection(port=broker.port)
    with make_link(broker.port, kpi_s=0.01) as link, Listener(section, topics, client_id="gateway") as gateway:
        link.state("RUNNING", cause="test")
        link.info(InfoMessage(boot_id="b", ts="2026-01-01T00:00:00Z", version="0.1.0"))
        link.tick(clock.now_ns())
        assert link.publish(make_decision(5)) is PublishResult.SENT
        time.sleep(0.02)
        link.tick(clock.now_ns())
        received = collect(gateway)
        kinds = {type(item.message) for item in received}
        assert kinds == {StateMessage, InfoMessage, KpiMessage, HeartbeatMessage, DecisionMessage}
        assert not gateway.rejected
        for item in received:
            assert format_line(item.message).isprintable()


def test_what_a_gateway_must_refuse_is_counted_and_nothing_breaks(broker, make_link, make_decision, topics):
    with make_link(broker.port) as link, Listener(PlcSection(port=broker.port), topics, client_id="gateway") as gateway:
        collect(gateway, timeout_s=0.2)
        say(broker, topics.decision, "not json")
        say(broker, topics.decision, "[" * 2000)
        say(broker, topics.decision, "x" * 17000)
        say(broker, topics.decision, '{"schema":"edge_sorter.decision/2"}')
        say(broker, topics.hb, '{"schema":"edge_sorter.hb/1","boot_id":"b","n":NaN,"ts":"","state":"RUNNING"}')
        link.publish(make_decision(1))
        received = collect(gateway)
    (decision,) = [item.message for item in received if isinstance(item.message, DecisionMessage)]
    assert decision.parcel_uid == make_decision(1).parcel_uid
    assert gateway.rejected == {"NOT_JSON": 2, "TOO_DEEP": 1, "TOO_LARGE": 1, "UNKNOWN_MAJOR": 1}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_persistent_listener_gets_what_it_missed_and_a_fresh_one_does_not(
    protocol, broker, make_link, make_decision, topics
):
    section = PlcSection(port=broker.port, protocol=protocol)
    for persistent, expected in ((True, [1, 2]), (False, [2])):
        client_id = f"gateway-{persistent}"
        with Listener(section, topics, client_id=client_id, persistent=persistent, only=("decision",)) as gateway:
            collect(gateway, timeout_s=0.2)
        with make_link(broker.port) as link:
            link.publish(make_decision(1))
            assert link.flush(20)
            with Listener(section, topics, client_id=client_id, persistent=persistent, only=("decision",)) as gateway:
                missed = collect(gateway)
                link.publish(make_decision(2))
                uids = [item.message.parcel_uid for item in missed + collect(gateway)]
                assert uids == [make_decision(number).parcel_uid for number in expected]


def test_listening_goes_on_after_a_broker_restart(broker, make_link, make_decision, clock, topics):
    with make_link(broker.port) as link, Listener(PlcSection(port=broker.port), topics, client_id="gateway") as gateway:
        broker.kill()
        broker.start()
        seen = []

        def both_sides_live() -> None:
            link.tick(clock.now_ns())
            seen.extend(gateway.messages(0.05))

        wait_until(lambda: any(getattr(item.message, "reconnects", 0) for item in seen), meanwhile=both_sides_live)
        link.publish(make_decision(1))
        assert any(isinstance(item.message, DecisionMessage) for item in collect(gateway))


def test_listen_to_all_sorters_of_a_broker(broker, make_link, make_decision):
    seen = []
    with make_link(broker.port) as link:
        link.state("RUNNING", cause="test")
        link.flush(1)
        rejected = listen(
            PlcSection(port=broker.port), "+/+/+/+/+/edge_sorter/v1", seen.append, only=("state",), timeout_s=0.4
        )
    assert not rejected
    assert [(item.retained, item.message.state.value) for item in seen] == [(True, "RUNNING")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA with a server certificate for 127.0.0.1 and a client certificate."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca")
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    for name in ("server", "client"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", *signing)
    return folder


@pytest.fixture
def tls_broker(broker, certificates, tmp_path):
    files = f"cafile {certificates}/ca.pem\ncertfile {certificates}/server.pem\nkeyfile {certificates}/server.key"
    folder = tmp_path / "tls"
    folder.mkdir()
    server = Mosquitto(folder, extra=f"allow_anonymous true\nrequire_certificate true\n{files}").start()
    yield server
    server.stop()


def test_mutual_tls_and_an_alarm_that_the_certificates_end_soon(
    tls_broker, certificates, make_link, make_decision, clock
):
    tls = TlsSection(
        ca_file=certificates / "ca.pem", cert_file=certificates / "client.pem", key_file=certificates / "client.key"
    )
    with make_link(tls_broker.port, tls=tls) as link:
        assert link.version == "5"
        assert link.publish(make_decision(1)) is PublishResult.SENT
        assert link.flush(20)
        link.tick(clock.now_ns())
        (alarm,) = link.alarms
        assert alarm.code == "CERT_EXPIRES"
        assert {about.split()[0] for about in alarm.about} == {"cert_file", "ca_file"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tls": TlsSection()}, "TLS: the broker's certificate is not trusted.*plc.tls.ca_file"),
        ({}, "closed the connection without an answer.*needs plc.tls"),
    ],
)
def test_wrong_tls_settings(settings, message, tls_broker, make_link):
    import gc

    with pytest.raises(PlcError, match=message):
        make_link(tls_broker.port, **settings).start()
    gc.collect()  # paho leaves the socket of a failed handshake to the garbage collector


def test_tls_without_the_client_certificate_that_the_broker_wants(tls_broker, certificates, make_link):
    with pytest.raises(PlcError, match=f"127.0.0.1:{tls_broker.port}"):
        make_link(tls_broker.port, tls=TlsSection(ca_file=certificates / "ca.pem")).start()
