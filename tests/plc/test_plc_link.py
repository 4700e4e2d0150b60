"""The link against a real mosquitto, with mosquitto_sub as the witness."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from mosquitto import INSTALLED, Mosquitto, Outsider, wait_until

from edge_sorter.errors import PlcError
from edge_sorter.plc.messages import InfoMessage
from edge_sorter.plc.publisher import PublishResult

pytestmark = pytest.mark.broker


def ticking(link, clock):
    return lambda: link.tick(clock.now_ns())


def parcels(outsider, topics):
    """Numbers of the parcels whose decisions were seen, in order."""
    return [int(json.loads(payload)["parcel_uid"][-7:]) for payload in outsider.on(topics.decision)]


def seqs(outsider, topics):
    """Numbers of the messages that were seen, counted from the first of this run."""
    numbers = [json.loads(payload)["seq"] for payload in outsider.on(topics.decision)]
    return [number - numbers[0] + 1 for number in numbers]


def states(outsider, topics):
    return [json.loads(payload) for payload in outsider.on(topics.state)]


def test_outsider_sees_every_decision_once_in_order(broker, outsider, make_link, make_decision, topics):
    with make_link(broker.port, patience_s=2.0) as link:
        assert link.version == "5"
        results = [link.publish(make_decision(seq)) for seq in range(1, 201)]
        assert set(results) == {PublishResult.SENT}
        assert link.flush(20)
        assert link.acked == 200
        assert len(link.ack_ns) == 200
        assert all(0 < ns < 5e9 for ns in link.ack_ns)
    wait_until(lambda: len(parcels(outsider, topics)) >= 200, what="200 decisions")
    time.sleep(0.2)
    assert parcels(outsider, topics) == list(range(1, 201))
    assert {(retained, qos) for topic, retained, qos, _ in outsider.lines if topic == topics.decision} == {(False, 1)}


def test_the_same_decision_is_sent_once_and_a_revision_again(broker, outsider, make_link, make_decision, topics):
    with make_link(broker.port) as link:
        decision = make_decision(1)
        assert link.publish(decision) is PublishResult.SENT
        assert link.publish(decision) is PublishResult.DUPLICATE
        assert link.publish(make_decision(2, parcel_uid=decision.parcel_uid, rev=1)) is PublishResult.SENT
        assert link.flush(20)
    wait_until(lambda: seqs(outsider, topics) == [1, 2])


def test_a_late_decision_is_never_sent(broker, outsider, make_link, make_decision, topics):
    with make_link(broker.port) as link:
        assert link.publish(make_decision(1, left_s=-0.001)) is PublishResult.LATE
        assert link.publish(make_decision(2)) is PublishResult.SENT
        assert link.flush(20)
        assert link.counts == {PublishResult.LATE: 1, PublishResult.SENT: 1}
    wait_until(lambda: states(outsider, topics)[-1:] and states(outsider, topics)[-1]["state"] == "OFFLINE")
    assert parcels(outsider, topics) == [2]
    assert seqs(outsider, topics) == [1]  # what was not sent leaves no gap: a gap means that a message was lost


def test_states_from_birth_to_goodbye_are_retained(broker, outsider, make_link, topics):
    with make_link(broker.port) as link:
        link.state("RUNNING", cause="first frame")
        link.state("RUNNING", cause="first frame")
        link.state("DEGRADED", cause="CAM_DARK")
        assert link.flush(20)
        late_comer = Outsider(broker, topics.state, client_id="late-comer")
        wait_until(lambda: late_comer.lines, what="the retained state")
        late_comer.close()
        _, retained, _, payload = late_comer.lines[0]
        assert retained
        assert json.loads(payload)["state"] == "DEGRADED"
        began = time.monotonic()
        link.close()
        assert time.monotonic() - began < 3.0
    wait_until(lambda: len(states(outsider, topics)) >= 5)
    assert [(state["state"], state["cause"]) for state in states(outsider, topics)] == [
        ("STARTING", "start"),
        ("RUNNING", "first frame"),
        ("DEGRADED", "CAM_DARK"),
        ("HOLD", "stopping"),
        ("OFFLINE", "stopped"),
    ]


def test_heartbeat_beats_only_while_the_main_loop_ticks(broker, outsider, make_link, clock, topics):
    with make_link(broker.port, heartbeat_hz=20) as link:
        wait_until(lambda: len(outsider.on(topics.hb)) >= 10, meanwhile=ticking(link, clock))
        time.sleep(0.1)
        beats = len(outsider.on(topics.hb))
        time.sleep(0.5)  # the main loop hangs
        assert len(outsider.on(topics.hb)) == beats
        for _ in range(3):
            link.tick(clock.now_ns())
        time.sleep(0.2)
        assert len(outsider.on(topics.hb)) - beats <= 2  # no burst that would hide the pause
    numbers = [json.loads(payload)["n"] for payload in outsider.on(topics.hb)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_heartbeat_rate_follows_the_configuration(broker, outsider, make_link, topics):
    with make_link(broker.port, heartbeat_hz=10) as link:
        for at_ms in range(0, 2000, 7):
            link.tick(at_ms * 1_000_000)
        link.flush(1)
        wait_until(lambda: len(outsider.on(topics.hb)) >= 19)
        time.sleep(0.1)
    assert 19 <= len(outsider.on(topics.hb)) <= 21


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_broker_restart_reconnects_and_nothing_stale_arrives(
    how, broker, outsider, make_link, make_decision, clock, topics
):
    with make_link(broker.port) as link:
        link.info(InfoMessage(boot_id="b", ts="2026-01-01T00:00:00Z", version="0.1.0"))
        link.state("RUNNING", cause="first frame")
        sent = [seq for seq in range(1, 31) if link.publish(make_decision(seq)) is PublishResult.SENT]
        assert link.flush(20)
        wait_until(lambda: len(parcels(outsider, topics)) == 30)

        getattr(broker, how)()
        wait_until(lambda: not link.connected, meanwhile=ticking(link, clock))
        offline = [link.publish(make_decision(seq, left_s=60)) for seq in range(31, 61)]
        assert set(offline) == {PublishResult.DROPPED_OFFLINE}
        time.sleep(0.5)
        broker.start()
        wait_until(lambda: link.connected, meanwhile=ticking(link, clock))
        wait_until(lambda: states(outsider, topics)[-1]["reconnects"] == 1, meanwhile=ticking(link, clock))
        sent += [seq for seq in range(61, 71) if link.publish(make_decision(seq)) is PublishResult.SENT]
        assert link.flush(20)
        wait_until(lambda: 70 in parcels(outsider, topics), meanwhile=ticking(link, clock))
        time.sleep(0.3)

        assert link.reconnects == 1
        assert sent == [*range(1, 31), *range(61, 71)]
        # The outsider may miss what came before it was back; it must not see anything old or twice.
        seen = parcels(outsider, topics)
        assert seen == sorted(set(seen))
        assert set(seen) <= set(sent)
        told = states(outsider, topics)[-1]
        assert (told["state"], told["cause"]) == ("RUNNING", "broker reconnect")
        assert len(outsider.on(topics.info)) >= 2


def test_decisions_in_flight_at_the_crash_are_not_sent_again(broker, outsider, make_link, make_decision, clock, topics):
    with make_link(broker.port) as link:
        wait_until(lambda: states(outsider, topics))
        broker.freeze()  # it takes bytes, but acknowledges nothing
        for seq in range(1, 11):
            assert link.publish(make_decision(seq, left_s=60)) is PublishResult.SENT
        broker.kill()
        broker.start()
        wait_until(lambda: link.reconnects == 1 and link.connected, meanwhile=ticking(link, clock))
        assert link.publish(make_decision(11)) is PublishResult.SENT
        assert link.flush(20)
        # Straight from the broker to a fresh witness as well: the first one may have been away.
        wait_until(lambda: states(outsider, topics)[-1]["reconnects"] == 1)
        link.publish(make_decision(12))
        assert link.flush(20)
        wait_until(lambda: 12 in parcels(outsider, topics), meanwhile=ticking(link, clock))
        assert not set(parcels(outsider, topics)) & set(range(1, 11))
        assert link.unacked_lost == 10
        assert link.acked == 2


def test_a_frozen_broker_is_noticed_before_keepalive(broker, outsider, make_link, make_decision, clock, topics):
    with make_link(broker.port, keepalive_s=60) as link:
        broker.freeze()
        assert link.publish(make_decision(1)) is PublishResult.SENT
        wait_until(lambda: not link.connected, timeout_s=15, what="stall noticed", meanwhile=ticking(link, clock))
        assert link.publish(make_decision(2)) is PublishResult.DROPPED_OFFLINE
        broker.thaw()
        wait_until(lambda: link.connected, meanwhile=ticking(link, clock))
        assert link.publish(make_decision(3)) is PublishResult.SENT
        wait_until(lambda: 3 in parcels(outsider, topics), meanwhile=ticking(link, clock))
        assert 2 not in parcels(outsider, topics)


def test_more_than_the_window_is_dropped_not_queued(broker, make_link, make_decision):
    wanted = [PublishResult.SENT] * 64 + [PublishResult.DROPPED_STALLED] * 8
    # A machine that needs a second for all of them finds the frozen broker dead in between, as it should: try again.
    for attempt in range(3):
        with make_link(broker.port) as link:
            assert link.flush(20)
            broker.freeze()
            results = [link.publish(make_decision(seq)) for seq in range(1, 73)]
            broker.thaw()
        if results == wanted:
            return
        assert PublishResult.DROPPED_OFFLINE in results, attempt
    assert results == wanted


PUBLISHER = """
import sys, time
from edge_sorter.clock import SystemClock
from edge_sorter.config import LineSection, PlcSection
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
clock = SystemClock()
link = MqttLink(PlcSection(port=int(sys.argv[1])), topics=Topics(LineSection()), clock=clock, boot_id="CHILD")
link.start()
link.state("RUNNING", cause="test")
while True:
    link.tick(clock.now_ns())
    time.sleep(0.02)
"""


def test_a_killed_program_leaves_its_last_will(broker, outsider, topics):
    child = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(broker.port)])
    try:
        wait_until(lambda: len(outsider.on(topics.hb)) > 2, timeout_s=60)
        killed = time.monotonic()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(5)
    wait_until(lambda: states(outsider, topics)[-1]["state"] == "OFFLINE")
    assert time.monotonic() - killed < 5.0, "by the closed socket; the keepalive would take 7.5 s"
    assert states(outsider, topics)[-1]["cause"] == "connection lost"
    assert states(outsider, topics)[-1]["boot_id"] == "CHILD"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_protocol_can_be_forced(protocol, broker, outsider, make_link, make_decision, topics):
    with make_link(broker.port, protocol=protocol) as link:
        assert link.version == protocol
        assert link.publish(make_decision(1)) is PublishResult.SENT
        assert link.flush(20)
    wait_until(lambda: parcels(outsider, topics) == [1])


@pytest.mark.parametrize("second_id", [None, "somebody-else"])
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_second_program_for_one_sorter_ends_with_an_error(second_id, protocol, broker, make_link, clock):
    first = make_link(broker.port, protocol=protocol)
    second = make_link(broker.port, protocol=protocol, client_id=second_id, boot_id="01JD5Z9999")
    links = [first, second]
    for link in links:
        link.start()
    until = time.monotonic() + 10
    words = iter(range(10_000))
    with pytest.raises(PlcError, match="another program"):
        while time.monotonic() < until:
            for link in links:
                link.tick(clock.now_ns())
                link.state("RUNNING", cause=f"{next(words)}")
            time.sleep(0.05)


def test_the_last_word_of_another_does_not_stay_over_our_state(broker, outsider, make_link, clock, topics):
    with make_link(broker.port) as link:
        link.state("RUNNING", cause="test")
        with make_link(broker.port, client_id="other", boot_id="01JD5Z9999"):
            pass
        wait_until(
            lambda: (
                len(states(outsider, topics)) >= 6
                and (states(outsider, topics)[-1]["boot_id"], states(outsider, topics)[-1]["state"])
                == ("01JD5Z8Q3M", "RUNNING")
            ),
            timeout_s=20,
            meanwhile=ticking(link, clock),
        )


def test_the_state_a_predecessor_left_is_no_rival(broker, make_link, clock):
    for number in range(5):
        with make_link(broker.port, boot_id=f"01JD5Z000{number}") as link:
            link.state("RUNNING", cause="test")
            link.flush(1)
            link.tick(clock.now_ns())


def test_password_file_and_wrong_password(tmp_path, make_link, make_decision):
    if not INSTALLED:
        pytest.skip("mosquitto is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "sorter", "right"], check=True)
    right, wrong = tmp_path / "right.txt", tmp_path / "wrong.txt"
    right.write_text("right\n")
    wrong.write_text("wrong\n")
    server = Mosquitto(tmp_path, extra=f"allow_anonymous false\npassword_file {passwords}").start()
    try:
        with make_link(server.port, username="sorter", password_file=right) as link:
            assert link.publish(make_decision(1)) is PublishResult.SENT
            assert link.flush(20)
        for settings in ({"username": "sorter", "password_file": wrong}, {}):
            began = time.monotonic()
            with pytest.raises(PlcError, match=rf"127.0.0.1:{server.port}.*not authori[sz]ed.*plc.password_file"):
                make_link(server.port, **settings).start()
            assert time.monotonic() - began < 4.5, "refused, not timed out"
    finally:
        server.stop()


def test_no_right_to_publish_is_counted(tmp_path, make_link, make_decision, caplog):
    if not INSTALLED:
        pytest.skip("mosquitto is not installed")
    rights = tmp_path / "rights"
    rights.write_text("topic read #\n")
    server = Mosquitto(tmp_path, extra=f"allow_anonymous true\nacl_file {rights}").start()
    try:
        with make_link(server.port) as link:
            link.publish(make_decision(1))
            assert link.flush(20)
            assert (link.acked, link.refused) == (0, 2)
        assert "does not let us publish below site/hub/sort/line01/vis01" in caplog.text
    finally:
        server.stop()
