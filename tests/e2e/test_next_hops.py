"""Next hops that want more than SMTP in clear, and what is kept of talks with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import held_port
from tests.e2e.test_reload import wait_until
from tests.support.dns import DnsServer
from tests.support.next_hops import PASSWORD, Doorman, issue, mailboxes, relay
from tests.support.sink import Sink
from tests.support.stack import Stack

HOST = "127.77.0.7"

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{defer_times: [1h]}}
interfaces:
  feeder: {{port: 0, processes: 1}}
zones:
  default: {{connections: 2, port: {mx}}}
  mailboxes: {{connections: 2, host: "{host}", port: {lmtp}, lmtp: true}}
  relayed:
    connections: 2
    host: relay.test
    port: {relay}
    auth: {{user: ada, password: {password}}}
  mistaken:
    connections: 2
    host: mistaken.test
    port: {relay}
    auth: {{user: ada, password: wrong}}
  stranger:
    connections: 2
    host: stranger.test
    port: {relay}
    auth: {{user: eve, password: {password}}}
"""


@pytest.fixture(scope="module")
def doorman() -> Doorman:
    return Doorman()


@pytest.fixture(scope="module")
def hops(doorman: Doorman, tls: tuple[Any, Path]) -> Iterator[dict[str, Sink]]:
    """An MX, mailboxes behind LMTP, and a relay behind TLS and a login."""
    with (
        held_port(HOST) as port,
        held_port(HOST) as lmtp_port,
        held_port(HOST) as relay_port,
        Sink(HOST, port) as mx,
        mailboxes(HOST, lmtp_port) as boxes,
        relay(HOST, relay_port, tls[0], doorman) as gate,
    ):
        yield {"mx": mx, "lmtp": boxes, "relay": gate}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The relay's TLS; its authority is one that only our system is told of."""
    folder = tmp_path_factory.mktemp("tls")
    return issue(folder, "relay.test", "mistaken.test")


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    hops: dict[str, Sink],
    tls: tuple[Any, Path],
) -> Iterator[Stack]:
    named = ("mx.host.test", "relay.test", "mistaken.test", "stranger.test")
    records = {name: [("A", HOST)] for name in named}
    records["*.test"] = [("MX", "10 mx.host.test.")]
    with DnsServer(records) as dns, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(tls[1]))
        config = CONFIG.format(
            dns=dns.address,
            host=HOST,
            password=PASSWORD,
            **{name: hop.port for name, hop in hops.items()},
        )
        with Stack(tmp_path_factory.mktemp("stack"), config) as running:
            yield running


def send(stack: Stack, to: str, zone: str) -> str:
    mail = {"from": "ada@a.test", "to": [to], "text": "Hi", "zone": zone}
    message_id: str = stack.post("/send", mail)["id"]
    return message_id


def tried(stack: Stack, message_id: str) -> dict[str, Any]:
    """A message's one delivery once it was tried."""
    wait_until(lambda: stack.deliveries(message_id)[0]["attempts"])
    [delivery] = stack.deliveries(message_id)
    return delivery


def talks(stack: Stack, message_id: str) -> list[dict[str, Any]]:
    """What was kept of it; that comes just after the outcome."""
    path = f"/v1/deliveries/{message_id}.001/transcripts"
    wait_until(lambda: stack.get(path)["transcripts"])
    found: list[dict[str, Any]] = stack.get(path)["transcripts"]
    return found


def test_what_was_said_to_a_refused_delivery_can_be_asked_for(stack, hops):
    """By the API and on its page, without a word of the content."""
    hops["mx"].refuse = lambda address, _: "550 5.1.1 <b>nobody</b> of that name"
    message_id = send(stack, "eve@b.test", "default")
    [delivery] = stack.wait_until_finished(message_id)

    [kept] = talks(stack, message_id)

    assert delivery["state"] == "bounced"
    assert (kept["attempt"], kept["why"]) == (1, "failed (smtp)")
    assert kept["host"] == "mx.host.test"
    assert "C RCPT TO:<eve@b.test>" in kept["text"]
    assert "S 550 5.1.1 <b>nobody</b> of that name" in kept["text"]
    assert "Hi" not in kept["text"]


def test_mailboxes_get_mail_by_lmtp(stack, hops):
    """The one reply that there is for one recipient settles it (RFC 2033 §4.2)."""
    message_id = send(stack, "box@inside.test", "mailboxes")
    [delivery] = stack.wait_until_finished(message_id)

    assert delivery["state"] == "delivered"
    assert hops["lmtp"].arrived == {"box@inside.test": 1}
    [kept] = talks(stack, message_id)
    assert kept["why"] == "first contact"
    assert "C LHLO " in kept["text"]


def test_a_relay_that_wants_a_login_gets_it_and_the_mail(stack, hops, doorman):
    """Over TLS, with a certificate that is checked; the password is kept nowhere."""
    message_id = send(stack, "bob@b.test", "relayed")
    [delivery] = stack.wait_until_finished(message_id)

    assert delivery["state"] == "delivered"
    assert hops["relay"].arrived == {"bob@b.test": 1}
    assert ("ada", PASSWORD) in doorman.asked
    [kept] = talks(stack, message_id)
    assert "***" in kept["text"]
    assert PASSWORD not in kept["text"] + stack.log_file.read_text()


def test_a_wrong_password_makes_mail_wait(stack, doorman):
    """It is ours to mend: nothing bounces, whatever code the relay has for it."""
    message_id = send(stack, "bob@b.test", "mistaken")

    delivery = tried(stack, message_id)

    assert delivery["state"] == "deferred"
    [attempt] = (entry for entry in delivery["timeline"] if entry["attempt"])
    assert (attempt["category"], attempt["code"]) == ("auth", 454)
    assert ("ada", "wrong") in doorman.asked


def test_a_relay_with_a_certificate_for_another_name_hears_no_password(stack, doorman):
    """Mail waits, and whoever answers there learns nothing."""
    message_id = send(stack, "bob@b.test", "stranger")

    delivery = tried(stack, message_id)

    assert delivery["state"] == "deferred"
    [attempt] = (entry for entry in delivery["timeline"] if entry["attempt"])
    assert attempt["category"] == "policy"
    assert "eve" not in [user for user, _ in doorman.asked]
