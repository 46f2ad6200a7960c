"""Where a row takes place: DNS, a bad host, a good one, our relay, and the judge.

The network is real, and so is everything between the request and the outcome; only the
limits, which need Redis, and the counts, which need MongoDB, are stand-ins.
"""

import contextlib
import functools
import re
import ssl
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

from mta.config.live import Live
from mta.config.load import parse_config
from mta.config.next_hop import TimeoutsConfig
from mta.config.settings import Settings
from mta.config.zones import Config
from mta.delivery import Delivery, DeliveryState, Outcome
from mta.errors import AttemptFailed
from mta.relay.guard import make_context
from mta.relay.relay import Relay
from mta.relay.request import RelayRequest
from mta.relay.security import Security
from mta.relay.tlsa import Dane
from mta.wiring_relay import build_relay, live_targets
from mta.wiring_tls import live_answers, resolver_of
from mta.worker.outcome import Judge
from tests.dialogue.hostile import certificates
from tests.dialogue.hostile.mx import Mx
from tests.dialogue.hostile.odd_dns import OddDns
from tests.dialogue.hostile.rows import PATIENT, SHORT, Row
from tests.dialogue.hostile.steps import good
from tests.unit.relay.fakes import NOW, Book, FakeLimits, HeldBack, a_request

BAD_HOST, GOOD_HOST = "127.81.0.1", "127.81.0.2"
HOSTS = ("mx1.test", "mx2.test", "relay.test")

CONFIG = """
dns:
  nameservers: ["{dns}"]
  allow_addresses: [127.81.0.0/16]
  timeout: 1s
zones:
  default: {{connections: 5, port: {port}, ignore_ipv6: {ignore_ipv6}, {zone}}}
  bounces: {{connections: 1}}
"""
DELIVERY = Delivery(
    id="m.001",
    message_id="m",
    zone="default",
    recipient="bob@b.test",
    domain="b.test",
    state=DeliveryState.SENDING,
    created_at=NOW,
    due_at=NOW,
    give_up_at=NOW + timedelta(days=5),
    claims=1,
)
LINE = b"x" * 78 + b"\r\n"


class Result(NamedTuple):
    """What came of an attempt; ``grown`` is the most memory that it held."""

    outcome: Outcome
    took_s: float
    grown: int


@dataclass
class World:
    """One row's."""

    row: Row
    bad: Mx
    good: Mx
    dns: OddDns

    def attempt(self) -> Result:
        """One attempt, by a worker that knows nothing yet but of the row's warm-up."""
        with self._relay() as (relay, config):
            for number in range(self.row.warm):
                relay.send(self._request(config, f"w.{number:03}"))
                time.sleep(0.05)  # what comes while it is idle has come
            if self.row.memory is not None:
                tracemalloc.start()
            began = time.monotonic()
            outcome = self._judged(relay, config)
            took_s = time.monotonic() - began
            grown = 0
            if self.row.memory is not None:
                grown = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
        return Result(outcome, took_s, grown)

    def mend(self) -> None:
        """From now on all is well."""
        self.dns.mend()
        self.dns.records.update(records_for(is_alone=True))
        self.bad.script = good
        self.bad.context = self.good.context
        self.row = replace(self.row, warm=0, memory=None, timeouts={}, request={})

    def _judged(self, relay: Relay, config: Config) -> Outcome:
        zone, judge = config.zones["default"], Judge(config)
        try:
            sent = relay.send(self._request(config, "m.001"))
        except AttemptFailed as failure:
            return judge.failed(DELIVERY, zone, failure, NOW, NOW)
        return judge.sent(DELIVERY, sent, NOW, NOW)

    def _request(self, config: Config, number: str) -> RelayRequest:
        lines = max(1, self.row.octets // len(LINE))
        fields: dict[str, Any] = {
            "domain": "b.test",
            "size": lines * len(LINE),
            "open_content": lambda hop: (LINE for _ in range(lines)),
            **({} if number.startswith("w") else self.row.request),
        }
        zone = config.zones["default"]
        return a_request(zone, config=config, delivery_id=number, **fields)

    @contextlib.contextmanager
    def _relay(self) -> Iterator[tuple[Relay, Config]]:
        resolver_of.cache_clear()  # another worker's answers are not ours
        config = self._config()
        live, settings = Live(config), Settings(hostname="mta.test")
        targets = live_targets(settings, live)
        relay = build_relay(
            settings,
            live,
            FakeLimits(),
            security=Security(
                targets=targets,
                dane=Dane(live_answers(settings, live)),
                make_context=_trusting,
            ),
            book=Book(),
            held_back=HeldBack(),
            on_free=lambda keys: None,
            now=lambda: NOW,
        )
        try:
            yield relay, config
        finally:
            relay.close()

    def _config(self) -> Config:
        text = CONFIG.format(
            dns=self.dns.address,
            port=self.bad.port,
            zone=self.row.zone,
            ignore_ipv6="false" if "AAAA" in self.row.name else "true",
        )
        config = parse_config("zones.yaml", text.encode(), {}, dict)
        patience = {**dict.fromkeys(TimeoutsConfig.model_fields, PATIENT)}
        patience |= {"quit": SHORT, **self.row.timeouts}
        # Less than an operator may say: who waits here is a test.
        timeouts = TimeoutsConfig.model_construct(**patience)
        return config.model_copy(update={"timeouts": timeouts})


@functools.cache
def _trusting(minimum: Any, verifies: bool) -> ssl.SSLContext:
    """The product's own, which trusts one more authority."""
    context: ssl.SSLContext = make_context.__wrapped__(minimum, verifies)
    if verifies:
        certificates.authority().configure_trust(context)
    return context


def records_for(*, is_alone: bool) -> dict[str, list[tuple[str, str]]]:
    """What DNS knows where nothing is wrong with it."""
    exchanges = [("MX", "10 mx1.test."), ("MX", "20 mx2.test.")]
    addresses = [("A", BAD_HOST), ("A", GOOD_HOST)]
    return {
        "mx1.test": addresses[:1],
        "mx2.test": addresses[1:],
        "b.test": exchanges[:1] if is_alone else exchanges,
        "relay.test": addresses[:1] if is_alone else addresses,
    }


@contextlib.contextmanager
def world_of(row: Row, *, is_alone: bool) -> Iterator[World]:
    """Set up what a row needs.

    Args:
        is_alone: The bad host is the only one.
    """
    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(OddDns(records_for(is_alone=is_alone)))
        bad, other = _pair(row)
        stack.enter_context(bad)
        stack.enter_context(other)
        if row.names is not None:
            row.names(dns)
        if re.search("tls: (require|verify)|auth:", row.zone):
            other.context = certificates.tls_of(*HOSTS)
        yield World(row, bad, other, dns)


def _pair(row: Row) -> tuple[Mx, Mx]:
    """Two hosts with one port."""
    for _ in range(20):
        bad = Mx(BAD_HOST, 0, row.script)
        with contextlib.suppress(OSError):
            return bad, Mx(GOOD_HOST, bad.port, good)
        with bad:
            pass
    raise AssertionError("no port is free for both")
