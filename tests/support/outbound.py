"""The whole outbound network over loopback: its DNS, its web, its hosts are ours."""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trustme

from mta.config.live import Live
from mta.config.load import parse_config
from mta.config.settings import Settings
from mta.relay.guard import make_context
from mta.relay.mta_sts import StsPolicies
from mta.relay.relay import Relay
from mta.relay.request import Sent
from mta.relay.security import Security
from mta.relay.tls_tally import TlsTally
from mta.relay.tlsa import Dane
from mta.relay.web import Web
from mta.store.mongo import Mongo
from mta.store.sts_policies import StsStore
from mta.store.tls_results import TlsResults
from mta.wiring_relay import build_relay, live_targets
from mta.wiring_tls import live_answers
from tests.conftest import held_port
from tests.support.tls_mx import TlsMx
from tests.unit.relay.fakes import Book, FakeLimits, HeldBack, a_request

CONFIG = """
dns:
  {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16], cache_ttl: 0s{dns_more}}}
zones: {{default: {{port: {port}, connections: 10, connection_cache: {{ttl: 0s}}}}}}
tls_report: {{from: tls@us.test}}
{more}
"""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def trust(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of the authority that clients trust."""
    path = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def serve(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def mx_port() -> Iterator[int]:
    """Where hosts listen, each at an address of its own."""
    with held_port("127.77.1.1") as port:
        yield port


@pytest.fixture
def an_mx(mx_port: int) -> Iterator[Callable[..., TlsMx]]:
    """Start a host; its arguments are the last part of its address and a context."""
    with contextlib.ExitStack() as stack:

        def start(last: int, context: ssl.SSLContext | None, *extensions: str) -> TlsMx:
            host = f"127.77.1.{last}"
            return stack.enter_context(TlsMx(host, mx_port, context, *extensions))

        yield start


class Time:
    """The clock; may be set."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        now = datetime.now(UTC) + self.ahead
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


@pytest.fixture
def time() -> Time:
    return Time()


class Network:
    """Sends mail from one process after the other, each new to the world.

    Attributes:
        web_port: Where web servers are asked.
    """

    def __init__(self, db: Mongo, trust: Path, mx_port: int, time: Time) -> None:
        self.db = db
        self.dns = ""
        self.dns_more = ""
        self.web_port = 443
        self.more = ""
        self._trust = str(trust)
        self._mx_port = mx_port
        self._time = time
        self._relays: list[Relay] = []

    def config(self):
        text = CONFIG.format(
            dns=self.dns, dns_more=self.dns_more, port=self._mx_port, more=self.more
        )
        return parse_config("zones.yaml", text.encode(), {})

    def process(self) -> Relay:
        settings, live = Settings(hostname="mta.test"), Live(self.config())
        targets, names = live_targets(settings, live), live_answers(settings, live)
        make = partial(make_context, authorities=self._trust)
        web = Web(
            find_addresses=targets.find_web_addresses,
            port=self.web_port,
            timeout=timedelta(seconds=1),
            make_context=lambda: make("1.2", True),
        )
        tally = TlsTally(
            store=TlsResults(self.db),
            names=names,
            now=self._time,
            start_thread=lambda run: None,
        )
        store = StsStore(self.db)
        relay = build_relay(
            settings,
            live,
            FakeLimits(),
            security=Security(
                targets=targets,
                sts=StsPolicies(names=names, web=web, store=store, now=self._time),
                dane=Dane(names),
                tally=tally,
                make_context=make,
            ),
            book=Book(),
            held_back=HeldBack(),
            on_free=lambda keys: None,
            now=self._time,
        )
        self._relays.append(relay)
        return relay

    def send(self, relay: Relay | None = None, **changes: object) -> Sent:
        """Send a message to the domain."""
        config = self.config()
        fields = {"domain": "d.test", "recipient": "bob@d.test", **changes}
        request = a_request(config.zones["default"], config=config, **fields)
        return (relay or self.process()).send(request)

    def close(self) -> None:
        """End all processes; each writes what it has counted."""
        for relay in self._relays:
            relay.close()
        self._relays.clear()

    def results(self) -> list[tuple[str, str]]:
        """Policy types with what came of TLS under them, as counted so far."""
        self.close()
        found = []
        for document in self.db.tls_results.find({"policy": {"$exists": True}}):
            kind = document["policy"]["type"]
            found += [(kind, "success")] * (document["ok"] > 0)
            details = document.get("details", {}).values()
            found += [(kind, detail["result"]) for detail in details]
        return sorted(found)


@pytest.fixture
def network(db: Mongo, trust: Path, mx_port: int, time: Time) -> Iterator[Network]:
    running = Network(db, trust, mx_port, time)
    yield running
    running.close()
