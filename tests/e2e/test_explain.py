"""What is explained is what happens: foretold for 2,000 deliveries, and then done."""

import itertools
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import held_port
from tests.support.dns import DnsServer
from tests.support.sink import Sink
from tests.support.stack import Stack

MX_HOST = "127.77.0.6"
MESSAGES, RECIPIENTS = 250, 8
TIRED, COLD = "127.0.0.24", "127.0.0.23"

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{defer_times: [1h]}}
interfaces:
  feeder: {{port: 0, processes: 1, allow_routing_headers: true}}
  inside: {{port: 0, processes: 1}}
zones:
  default: {{connections: 20, pool: five, port: {port}, throttling: 500/s}}
  news:
    connections: 10
    pool: five
    pool_hash: from
    port: {port}
    sender_domains: [news.test, "*.news.test"]
  shop: {{connections: 5, pool: mixed, port: {port}, from_domains: [shop.test]}}
  far:
    connections: 5
    host: {host}
    port: {port}
    recipient_domains: [far.test, "*.far.test"]
    limits: [together]
  lab: {{connections: 5, port: {port}, origin_addresses: [192.0.2.0/24]}}
  vip: {{connections: 5, pool: mixed, port: {port}, routing_headers: {{X-Class: vip}}}}
pools:
  five: [127.0.0.21, {{address: 127.0.0.22, ratio: 40%, max_connections: 4}},
    {{address: 127.0.0.23, warmup: {{started: {today}, plan: tiny}}}},
    127.0.0.24, {{address: 127.0.0.25, rate: 1000/s, limits: [together]}}]
  mixed: [127.0.0.26, 127.0.0.27, {{address: 127.0.0.28, ratio: 0}}]
warmup:
  tiny: {{daily: [1, 1], hourly: 100%}}
limits:
  together: {{max_connections: 30, rate: 2000/s}}
domains:
  default: {{max_connections: 8}}
  a.test: {{rate: 1000/s, limits: [together]}}
  b.test: {{max_connections: 3, disabled_addresses: [127.0.0.21, 127.0.0.26]}}
providers:
  big: {{mx: ["*.big.test"], max_connections: 9}}
  google: {{profile: google}}
"""

REVERSE_PATHS = ("ada@news.test", "bob@eu.news.test", "eve@else.test", "o@else.test")
AUTHORS = ("", "Shop <info@shop.test>", "someone@else.test")
DOMAINS = (
    "a.test",
    "b.test",
    "c.test",
    "d.test",
    "far.test",
    "x.far.test",
    "bücher.test",
)
HEADERS = ({}, {}, {"X-Class": "VIP"}, {"X-Sending-Zone": "lab"})
ORIGINS = ("", "", "192.0.2.7", "2001:db8::7")


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with held_port(MX_HOST) as port, Sink(MX_HOST, port) as sink:
        yield sink


@pytest.fixture(scope="module")
def stack(tmp_path_factory, sink) -> Iterator[Stack]:
    records = {
        "mx.plain.test": [("A", MX_HOST)],
        "mx1.big.test": [("A", MX_HOST)],
        "mx2.big.test": [("A", MX_HOST)],
        "c.test": [("MX", "10 mx1.big.test."), ("MX", "10 mx2.big.test.")],
        "d.test": [("MX", "10 mx1.big.test."), ("MX", "20 mx.plain.test.")],
        "*.test": [("MX", "10 mx.plain.test.")],
    }
    with DnsServer(records) as server:
        config = CONFIG.format(
            dns=server.address,
            host=MX_HOST,
            port=sink.port,
            today=datetime.now(UTC).date(),
        )
        with Stack(tmp_path_factory.mktemp("stack"), config) as running:
            yield running


def hold_back(stack: Stack) -> None:
    """What is held back: an address rests, some mail is slowed, a ration is used up."""
    common = {"duration": "2h", "reason": "as they asked"}
    rest = {"action": "rest", "site": "big", "source": TIRED}
    slow = {"action": "slow", "site": "a.test", "maxConnections": 4}
    for measure in (rest, slow):
        stack.post("/v1/measures", {**common, **measure})
    for name in ("a", "c"):
        to = [f"warm{n}@{name}.test" for n in range(40)]
        sent = stack.post("/send", {"from": "x@else.test", "to": to, "text": "x"})
        stack.wait_until_finished(sent["id"])
    used = {one["provider"]: one["sentToday"] for one in warming(stack)}
    assert used == {"others": 1, "big": 1}


def warming(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.get("/v1/warmup")["addresses"]
    return found


def submit(stack: Stack, number: int) -> tuple[str, dict[str, Any] | None]:
    """Submit one of many mails, all of another kind, for in an hour.

    Returns:
        Its id, and the same as it may be supposed; None if that cannot be said.
    """
    draw = random.Random(number)
    reverse_path, author = draw.choice(REVERSE_PATHS), draw.choice(AUTHORS)
    fields, origin = draw.choice(HEADERS), draw.choice(ORIGINS)
    zone = draw.choice((None, None, None, "shop"))
    to = [f"r{number}.{at}@{draw.choice(DOMAINS)}" for at in range(RECIPIENTS)]
    headers = {**fields, **({"From": author} if author else {})}
    supposed = {"from": reverse_path, "to": to, "headers": headers}
    if number % 5 == 0:
        interface = draw.choice(("feeder", "inside"))
        text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        message_id = submit_by_smtp(stack, interface, reverse_path, to, text)
        return message_id, {**supposed, "interface": interface, "origin": "127.0.0.1"}
    mail = {"from": author or reverse_path, "to": to, "text": "Hi", "headers": fields}
    mail |= {"envelope": {"from": reverse_path, "to": to}, "deliver_after": 3600}
    mail |= {"zone": zone} if zone else {}
    named = {"X_Originating_IP": origin} if origin else {}
    answer = stack.post("/send", mail, **named)
    return answer["id"], {
        **supposed,
        **({"zone": zone} if zone else {}),
        **({"origin": origin} if origin else {}),
    }


def submit_by_smtp(
    stack: Stack, interface: str, reverse_path: str, to: list[str], header: str
) -> str:
    with stack.smtp(interface) as client:
        client.ehlo()
        utf8 = ["SMTPUTF8"]
        assert client.mail(reverse_path, ["HOLDFOR=3600", *utf8])[0] == 250
        for recipient in to:
            client.command_encoding = "utf-8"
            assert client.rcpt(recipient)[0] == 250
        code, answer = client.data(f"{header}\r\nHi\r\n".encode())
    assert code == 250, answer
    found = re.search(r"queued as (\w+)", answer.decode())
    assert found is not None, answer
    return found[1]


@pytest.mark.slow
def test_2000_deliveries_go_as_they_were_explained(stack, sink):
    """Zone, rule, provider, address, what was passed over, limits: all as foretold."""
    hold_back(stack)
    sink.clear()
    sink.refuse = lambda address, _: (
        "550 5.1.1 unknown" if address.startswith("r7") else None
    )
    with ThreadPoolExecutor(4) as threads:
        sent = list(threads.map(lambda n: submit(stack, n), range(MESSAGES)))
        foretold = list(
            threads.map(lambda one: stack.get(f"/v1/messages/{one[0]}/explain"), sent)
        )
        for message_id, _ in sent:
            stack.post(f"/v1/messages/{message_id}/retry", {})
        done = [stack.wait_until_finished(message_id, 180.0) for message_id, _ in sent]
        supposed = list(
            threads.map(lambda one: stack.post("/v1/explain", one[1]), sent)
        )

    pairs = list(
        zip(
            itertools.chain.from_iterable(f["deliveries"] for f in foretold),
            itertools.chain.from_iterable(done),
            itertools.chain.from_iterable(s["deliveries"] for s in supposed),
            strict=True,
        )
    )
    assert len(pairs) == MESSAGES * RECIPIENTS
    for before, after, without in pairs:
        check(before, after, without, sink)
    seen = variety(after for _, after, _ in pairs)
    assert seen["zone"] == {"default", "news", "shop", "far", "lab", "vip"}
    assert {"rests: as they asked", "its ration is used up"} < seen["cause"]
    assert seen["state"] == {"delivered", "bounced"}
    assert seen["provider"] == {"", "big"}


def check(
    before: dict[str, Any], after: dict[str, Any], without: dict[str, Any], sink: Sink
) -> None:
    """Compare one delivery with what was said of it."""
    route, journey = before["route"], before["journey"]
    [attempt] = (entry for entry in after["timeline"] if entry["attempt"])
    assert (after["zone"], after["rule"]) == (route["zone"], route["rule"]), before
    assert without["route"] == route
    reasons = journey["reasons"]
    assert {**attempt["reasons"], "tls": reasons["tls"]} == reasons
    policies = {one["host"]: one["policy"] for one in journey["tls"]["hosts"]}
    assert attempt["reasons"]["tls"]["policy"] == policies[attempt["host"]]
    limits = {(one["key"], one["what"], one["allowed"]) for one in journey["limits"]}
    assert limits == set(flat(attempt["reasons"]["limits"]))
    assert all(one["origin"] for one in journey["limits"])
    places = [(one["host"], one["address"]) for one in journey["targets"]]
    assert (attempt["host"], attempt["address"]) in places
    if journey["source"]:
        assert attempt["source"] == journey["source"]["address"]
    if after["state"] == "delivered":
        assert sink.peer_of[after["recipient"]] == attempt["source"]


def flat(limits: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for limit in limits:
        if limit["connections"] is not None:
            yield limit["key"], "connections", str(limit["connections"])
        if limit["rate"]:
            yield limit["key"], "rate", limit["rate"]


def variety(deliveries: Iterator[dict[str, Any]]) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = {}
    for delivery in deliveries:
        seen.setdefault("zone", set()).add(delivery["zone"])
        seen.setdefault("state", set()).add(delivery["state"])
        for entry in delivery["timeline"]:
            if entry["reasons"]:
                passed = entry["reasons"]["passedOver"]
                seen.setdefault("cause", set()).update(one["cause"] for one in passed)
                seen.setdefault("provider", set()).add(entry["reasons"]["provider"])
    return seen
