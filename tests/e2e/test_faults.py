"""What is lost when things die: nothing."""

from smtplib import SMTP

import pytest
import redis

from mta.policy.fairness import HIGH_WATER

MANY = 1000
CONNECTIONS = 10  # of zone default, see conftest.py
MIB = 1024 * 1024


def send_many(stack, prefix):
    """MANY messages by SMTP; returns their recipients."""
    recipients = [f"{prefix}{n}@d{n % 20}.test" for n in range(MANY)]
    with stack.smtp() as smtp:
        for recipient in recipients:
            send(smtp, recipient)
    return set(recipients)


def send(smtp: SMTP, recipient: str) -> None:
    content = f"From: ada@a.test\r\nTo: {recipient}\r\nSubject: hi\r\n\r\nHi\r\n"
    smtp.sendmail("ada@a.test", [recipient], content)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(stack, sink):
    """kill -9 in the middle: leases run out, and every message arrives."""
    recipients = send_many(stack, "kill")
    assert sink.wait_for_any(20, 30)

    stack.kill("worker@default")

    assert sink.wait_for(recipients, 120), sink.missing(recipients)
    # Only what was between the final dot and its record may come twice.
    assert sum(sink.arrived[to] - 1 for to in recipients) <= CONNECTIONS


@pytest.mark.slow
def test_a_flushed_redis_loses_nothing(stack, sink):
    """FLUSHALL in the middle: the scheduler rings again."""
    recipients = send_many(stack, "flush")
    assert sink.wait_for_any(20, 30)

    with redis.Redis.from_url(stack.ready["redis"]) as client:
        client.flushall()

    assert sink.wait_for(recipients, 120), sink.missing(recipients)
    assert {sink.arrived[recipient] for recipient in recipients} == {1}


@pytest.mark.slow
def test_a_killed_redis_refuses_no_mail(stack, sink):
    """A broker that is away is repaired later; acceptance goes on."""
    stack.kill("redis")

    recipients = send_many(stack, "broker")

    assert sink.wait_for(recipients, 120), sink.missing(recipients)
    assert {sink.arrived[recipient] for recipient in recipients} == {1}


@pytest.mark.slow
def test_more_recipients_than_the_broker_holds_arrive_once_each(stack, sink):
    """The scheduler releases the rest as there is room."""
    recipients = [f"r{n}@d{n % 20}.test" for n in range(HIGH_WATER + 1000)]
    mail = {"from": "ada@a.test", "to": recipients, "subject": "all", "text": "Hi"}

    stack.post("/send", mail)

    assert sink.wait_for(recipients, 280), len(sink.missing(recipients))
    assert {sink.arrived[recipient] for recipient in recipients} == {1}


@pytest.mark.slow
def test_a_large_message_passes_through_without_being_held(stack, sink):
    """100 MiB in and out: no process of ours grows by 32 MiB."""
    line = b"x" * 76 + b"\r\n"
    content = b"From: a@a.test\r\nTo: big@b.test\r\n\r\n" + line * (100 * MIB // 78)
    before = stack.peak_memory()

    with stack.smtp() as smtp:
        smtp.sendmail("a@a.test", ["big@b.test"], content)

    assert sink.wait_for(["big@b.test"], 120)
    after = stack.peak_memory()
    assert sink.contents["big@b.test"][0].endswith(content)
    grown = {name: (after[name] - before[name]) // MIB for name in after}
    assert {name: size for name, size in grown.items() if size >= 32} == {}
