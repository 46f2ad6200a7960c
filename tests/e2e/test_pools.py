"""Ten addresses of ours, as those see them who receive."""

import time
from collections.abc import Iterable

import pytest

from tests.support.stack import Stack

COLD, BLAMED, ZERO, RATED = "127.0.0.3", "127.0.0.4", "127.0.0.11", "127.0.0.2"
POOL = {f"127.0.0.{number}" for number in range(2, 12)}
BLACKLISTED = "554 5.7.1 Client host blocked using bl.test"


def send(stack: Stack, recipients: Iterable[str], **terms: int) -> str:
    """Send each recipient a message's copy; returns the message's id."""
    mail = {"from": "ada@sender.test", "to": list(recipients), "text": "Hi", **terms}
    answer = stack.post("/send", mail)
    message_id: str = answer["id"]
    return message_id


def addresses(name: str, count: int) -> list[str]:
    return [f"{name}{number}@pooled.test" for number in range(count)]


def blacklist(stack: Stack) -> dict[str, str]:
    """The addresses that rest, and for whom."""
    return {one["address"]: one["domain"] for one in stack.get("/blacklist")["list"]}


@pytest.mark.slow
def test_shares_and_caps_are_kept_to_the_message(stack, sink):
    """One that warms up has its ration and no more, one of ratio 0 nothing."""
    recipients = addresses("share", 400)

    send(stack, recipients)

    assert sink.wait_for(recipients, 60.0), sink.missing(recipients)
    assert set(sink.peers) == POOL - {ZERO}
    assert sink.peers[COLD] == 5
    # 30 % of 400, plus what the cold one left: five standard deviations either way.
    assert 75 < sink.peers[RATED] < 185
    [cold] = stack.get("/v1/warmup")["addresses"]
    assert (cold["address"], cold["sentToday"], cold["step"]) == (COLD, 5, 1)


@pytest.mark.slow
def test_a_blacklisted_address_rests_while_the_others_carry_on(stack, sink):
    """The message that met it arrives from another; cleared, it is used again."""
    sink.refuse_peer = lambda peer: BLACKLISTED if peer == BLAMED else None
    recipients = addresses("first", 200)  # some of them from each address

    message_id = send(stack, recipients)

    assert sink.wait_for(recipients, 60.0), sink.missing(recipients)
    assert sink.peers[BLAMED] == 0
    assert blacklist(stack) == {BLAMED: "mx.host.test"}
    blamed = [
        entry
        for delivery in stack.wait_until_finished(message_id)
        for entry in delivery["timeline"]
        if "blocked using" in entry["text"]
    ]
    assert blamed
    assert {entry["source"] for entry in blamed} == {BLAMED}

    sink.refuse_peer = lambda _: None
    sink.clear()
    again = addresses("second", 60)
    send(stack, again)

    assert sink.wait_for(again, 60.0)
    assert sink.peers[BLAMED] == 0

    [measure] = stack.get("/v1/measures")["measures"]
    stack.post(f"/v1/measures/{measure['id']}/clear", {})
    sink.clear()
    last = addresses("third", 200)
    send(stack, last)

    assert sink.wait_for(last, 60.0)
    assert sink.peers[BLAMED] > 0
    assert blacklist(stack) == {}


@pytest.mark.slow
def test_suspended_mail_waits_without_an_attempt_until_it_is_let_go(stack, sink):
    """By hand; it goes out seconds after the measure is cleared, not at its end."""
    wanted = {"action": "suspend", "site": "pooled.test", "duration": "2h"}
    measure = stack.post("/v1/measures", {**wanted, "reason": "they asked for it"})
    recipients = addresses("wait", 3)

    # By then every worker knows of it.
    message_id = send(stack, recipients, deliver_after=4)

    deadline = time.monotonic() + 60.0
    while any(d["dueAt"] < measure["until"] for d in stack.deliveries(message_id)):
        assert time.monotonic() < deadline, stack.deliveries(message_id)
        time.sleep(0.1)
    found = stack.deliveries(message_id)
    assert {(d["state"], d["attempts"]) for d in found} == {("queued", 0)}

    stack.post(f"/v1/measures/{measure['id']}/clear", {})

    assert sink.wait_for(recipients, 60.0)
