"""A final dot without an answer: shown, listed, and dealt with by the zone's policy."""

import os
import select
import signal
import time
from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from tests.support.dns import DnsServer
from tests.support.fast_sink import FastSink
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

MX_HOST = "127.77.0.6"
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{lease: 5s, in_doubt_wait: 1s}}
interfaces: {{feeder: {{port: 0, processes: 1}}}}
zones:
  default: {{connections: 10, port: {port}}}
  once: {{port: {port}, in_doubt: assume_delivered, recipient_domains: [once.test]}}
  hold: {{port: {port}, in_doubt: hold, recipient_domains: [hold.test]}}
"""


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastSink]:
    with FastSink(tmp_path_factory.mktemp("sink"), MX_HOST) as server:
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, sink: FastSink) -> Iterator[Stack]:
    records = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
    with DnsServer(records) as dns:
        config = CONFIG.format(dns=dns.address, port=sink.port)
        with Stack(tmp_path_factory.mktemp("doubt"), config) as stack:
            yield stack


def send(system, recipient):
    mail = {"from": "ada@a.test", "to": [recipient], "subject": "hi", "text": "Hi"}
    return system.post("/send", mail)["id"]


def wait_for_state(system, message_id, state):
    deadline = time.monotonic() + 30
    while True:
        (delivery,) = system.deliveries(message_id)
        if delivery["state"] == state:
            return delivery
        assert time.monotonic() < deadline, delivery
        time.sleep(0.05)


def arrived(sink, recipient):
    return [arrival for arrival in sink.arrivals() if arrival.recipient == recipient]


def test_mail_in_doubt_is_tried_again_and_says_so(system, sink):
    """It had been taken: the second copy is the price of not losing mail."""
    message_id = send(system, "dropkeep-retry@b.test")

    (delivery,) = system.wait_until_finished(message_id)

    states = [entry["state"] for entry in delivery["timeline"]]
    assert states == ["in_doubt", "delivered"]
    first, second = delivery["timeline"]
    assert (first["isDoubtful"], second["isRepeat"]) == (True, True)
    assert len(arrived(sink, "dropkeep-retry@b.test")) == 2
    listed = system.get("/v1/in-doubt?limit=100")["deliveries"]
    assert delivery["id"] in {entry["id"] for entry in listed}


def test_mail_in_doubt_may_be_taken_for_delivered(system, sink):
    """Where a second copy would be worse than none."""
    message_id = send(system, "droplose-once@once.test")

    (delivery,) = system.wait_until_finished(message_id)

    assert delivery["state"] == "delivered"
    assert [entry["isDoubtful"] for entry in delivery["timeline"]] == [True]
    assert arrived(sink, "droplose-once@once.test") == []


def test_mail_in_doubt_may_wait_for_a_person(system, sink):
    """Who looks at it and says: again."""
    message_id = send(system, "droplose-hold@hold.test")
    held = wait_for_state(system, message_id, "in_doubt")

    system.post(f"/v1/deliveries/{held['id']}/retry", {})

    (delivery,) = system.wait_until_finished(message_id)
    assert delivery["state"] == "delivered"
    assert len(arrived(sink, "droplose-hold@hold.test")) == 1


def test_a_stopped_worker_leaves_no_doubt_and_no_lease(system, sink):
    """SIGTERM in the midst of slow answers: heard out, or given back, never dropped."""
    recipients = {f"slow2-{n}@d{n % 7}.test" for n in range(60)}
    ids = [send(system, recipient) for recipient in sorted(recipients)]
    with MongoClient(system.ready["mongo"]) as client:
        rows = client.get_default_database().deliveries
        deadline = time.monotonic() + 30
        while rows.count_documents({"state": "sending", "dot_at": {"$exists": 1}}) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (worker,) = system.pids("worker@default")
        descriptor = os.pidfd_open(worker)

        os.kill(worker, signal.SIGTERM)

        assert select.select([descriptor], [], [], 60)[0]
        os.close(descriptor)
        left = list(rows.find({"message": {"$in": ids}, "owner": {"$exists": 1}}))
        ours = [row for row in left if row["state"] in ("sending", "in_doubt")]
        # Its successor may have claimed some already: those are leases of its own.
        assert [row for row in ours if row["owner"].split("/")[1] == str(worker)] == []
    for message_id in ids:
        (delivery,) = system.wait_until_finished(message_id)
        assert delivery["state"] == "delivered"
        assert delivery["doubts"] == 0
    assert {len(arrived(sink, recipient)) for recipient in recipients} == {1}
