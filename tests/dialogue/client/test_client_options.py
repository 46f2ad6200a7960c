"""Options of ZoneMTA, in its own words, and what the next hop sees of them.

From its file through the import, our loader and the whole outbound network to a socket
on loopback; only the limits, which need Redis, are stand-ins.
"""

import contextlib
import dataclasses
import socketserver
import threading
from ipaddress import ip_address

import pytest

from mta.config.live import Live
from mta.config.load import parse_config
from mta.config.settings import Settings
from mta.errors import PermanentFailure, SlotsTaken
from mta.imports.formats import parse_file
from mta.imports.source import grow
from mta.imports.write import write_yaml
from mta.imports.zone_mta import translate
from mta.relay.security import Security
from mta.wiring_relay import build_relay, live_targets
from tests.support.dns import DnsServer
from tests.unit.relay.fakes import NOW, Book, FakeLimits, HeldBack, a_request

NETWORK = {"eth7": (ip_address("127.0.0.7"),)}
# Mail to loopback is not blocked in ZoneMTA unless that is said.
OPEN = "dns.blockLocalAddresses = false"
POOL = "pools.p = ['127.0.0.2', '127.0.0.3']\nzones.default.pool = 'p'"


@dataclasses.dataclass
class Session:
    """What a client was like, and the commands it gave."""

    client: str
    heard: list[str] = dataclasses.field(default_factory=list)

    @property
    def count(self) -> int:
        return self.heard.count("DATA")


class Mx(socketserver.ThreadingTCPServer):
    """Takes everything; offers STARTTLS, though not now."""

    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Talk)
        self.sessions: list[Session] = []

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Talk(socketserver.StreamRequestHandler):
    server: Mx
    disable_nagle_algorithm = True

    def handle(self) -> None:
        session = Session(self.client_address[0])
        self.server.sessions.append(session)
        self._say("220 mx.test")
        while line := self.rfile.readline().decode().strip():
            session.heard.append(line)
            match line.split()[0]:
                case "QUIT":
                    return
                case "EHLO":
                    self._say("250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS")
                case "STARTTLS":
                    self._say("454 4.7.0 not now")
                case "DATA":
                    self._say("354 go")
                    while self.rfile.readline() != b".\r\n":
                        pass
                    self._say("250 2.0.0 taken")
                case _:
                    self._say("250 2.0.0 ok")

    def _say(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):
            self.wfile.write(f"{text}\r\n".encode())


class Dns(DnsServer):
    """One that ends as soon as it is told to."""

    def __enter__(self):
        for server in (self._udp, self._tcp):
            start(server)
        return self


def start(server: socketserver.BaseServer) -> None:
    """Let it serve until its shutdown, for which it looks often."""
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def mx():
    """The MX of every domain under .test."""
    with Mx("127.0.0.1") as server:
        start(server)
        yield server
        server.shutdown()


@pytest.fixture
def dns():
    """Knows the MX by the name mx.host.test."""
    records = {"mx.host.test": [("A", "127.0.0.1")]}
    with Dns({**records, "*.test": [("MX", "10 mx.host.test.")]}) as server:
        yield server


@pytest.fixture
def limits():
    """Counts slots."""
    return FakeLimits()


@pytest.fixture
def send(mx, dns, limits):
    """Send messages as ZoneMTA's options say; return the sessions the MX has seen."""
    with contextlib.ExitStack() as stack:

        def send(*options: str, count: int = 1, domain: str = "b.test"):
            here = (
                f"dns.nameservers = ['{dns.address}']",
                f"zones.default.port={mx.port}",
            )
            config = imported("\n".join([*here, *options]))
            settings, live = Settings(hostname="mta.test"), Live(config)
            relay = build_relay(
                settings,
                live,
                limits,
                security=Security(targets=live_targets(settings, live)),
                book=Book(),
                held_back=HeldBack(),
                on_free=lambda keys: None,
                now=lambda: NOW,
            )
            stack.callback(relay.close)
            for number in range(count):
                request = a_request(
                    config.zones["default"],
                    config=config,
                    delivery_id=f"{number}.001",
                    domain=domain,
                )
                relay.send(request)
            return mx.sessions

        yield send


def imported(text):
    target = translate(grow(parse_file("zonemta.toml", text.encode()), "zonemta.toml"))
    content = write_yaml(target.tree, "").encode()
    return parse_config("zones.yaml", content, {}, lambda: NETWORK)


def test_port_is_where_the_mx_is_dialed(send):
    """All zones of these tests have one; on port 25 nobody listens."""
    (session,) = send(OPEN)

    assert session.count == 1


def test_host_gets_all_mail_of_the_zone(send, dns):
    """DNS is not asked for the domain, and the relay may be anywhere."""
    (session,) = send(
        "dns.blockLocalAddresses = true",
        "zones.default.host = 'mx.host.test'",
        domain="nowhere.invalid",
    )

    assert session.count == 1
    assert {name for name, _ in dns.queries} == {"mx.host.test"}


@pytest.mark.parametrize(
    ("general", "own", "is_sent"),
    [
        ("true", None, False),
        ("false", None, True),
        ("true", "false", True),
        ("false", "true", False),
    ],
)
def test_block_local_addresses_is_the_zones_or_that_of_dns(
    send, mx, general, own, is_sent
):
    """The zone's word goes first; what is blocked is not dialed at all."""
    options = [f"dns.blockLocalAddresses = {general}"]
    if own:
        options.append(f"zones.default.blockLocalAddresses = {own}")

    with contextlib.nullcontext() if is_sent else pytest.raises(PermanentFailure):
        send(*options)

    assert bool(mx.sessions) == is_sent


@pytest.mark.parametrize(("ignores", "is_asked"), [("true", False), ("false", True)])
def test_ignore_tls_leaves_starttls_alone(send, ignores, is_asked):
    """Where it is offered; else it is asked for."""
    (session,) = send(OPEN, f"zones.default.ignoreTLS = {ignores}")

    assert ("STARTTLS" in session.heard) == is_asked


@pytest.mark.parametrize("place", ["dns", "zones.default"])
def test_ignore_ipv6_asks_for_no_such_addresses(send, dns, place):
    """Of the zone, or of all that do not say otherwise."""
    send(OPEN, f"{place}.ignoreIPv6 = true")

    assert ("mx.host.test", "A") in dns.queries
    assert ("mx.host.test", "AAAA") not in dns.queries


@pytest.mark.parametrize("place", ["dns", "zones.default"])
def test_prefer_ipv6_looks_for_such_addresses_first(send, dns, place):
    """In the order in which they are found they are dialed."""
    dns.records["mx.host.test"].append(("AAAA", "::1"))

    send(OPEN, f"{place}.preferIPv6 = true")

    families = [kind for name, kind in dns.queries if name == "mx.host.test"]
    assert families == ["AAAA", "A"]


@pytest.mark.parametrize(
    "pool",
    [
        "pools.p = ['127.0.0.2']\nzones.default.pool = 'p'",
        "zones.default.pool = '127.0.0.2'",
        "zones.default.pool = [{address = '127.0.0.2'}]",
    ],
    ids=["by name", "an address", "a list"],
)
def test_pool_is_where_mail_leaves_from(send, pool):
    """Whether it has a name or stands right there."""
    (session,) = send(OPEN, pool)

    assert session.client == "127.0.0.2"


def test_interface_adds_the_addresses_that_it_has(send):
    """To the pool, if there is one."""
    (session,) = send(OPEN, "zones.default.interface = 'eth7'")

    assert session.client == "127.0.0.7"


@pytest.mark.parametrize(
    ("name", "said"), [("name = 'out.test'", "out.test"), ("", "mta.test")]
)
def test_name_of_an_address_is_said_in_ehlo(send, name, said):
    """DNS has none for this one, so without it the machine's is."""
    entry = ", ".join(filter(None, ["address = '127.0.0.2'", name]))

    (session,) = send(OPEN, f"zones.default.pool = [{{{entry}}}]")

    assert session.heard[0] == f"EHLO {said}"


def test_ratio_is_an_addresses_part_of_the_load(send):
    """One that has all of it leaves nothing to the other."""
    pool = "[{address = '127.0.0.2', ratio = 1}, '127.0.0.3']"

    sessions = send(
        OPEN,
        f"zones.default.pool = {pool}",
        "zones.default.connectionCache.reuseCount = 1",
        count=10,
    )

    assert {session.client for session in sessions} == {"127.0.0.2"}


@pytest.mark.parametrize(
    ("domain", "seen"),
    [("b.test", {"127.0.0.3"}), ("c.test", {"127.0.0.2", "127.0.0.3"})],
)
def test_disabled_addresses_are_not_used_for_the_domain(send, domain, seen):
    """The others of the pool are; for other domains, all."""
    sessions = send(
        OPEN,
        POOL,
        "zones.default.connectionCache.reuseCount = 1",
        "domainConfig.'b.test'.disabledAddresses = ['127.0.0.2']",
        domain=domain,
        count=20,
    )

    assert {session.client for session in sessions} == seen


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (["zones.default.connections = {}"], "zone:default"),
        (
            ["zones.default.connections = 1", "zones.default.processes = {}"],
            "zone:default",
        ),
        (["domainConfig.'b.test'.maxConnections = {}"], "domain:default:b.test"),
        (["domainConfig.defaults.maxConnections = {}"], "domain:default:b.test"),
        (["domainConfig.default.maxConnections = {}"], "domain:default:b.test"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1].partition(" ")[0],
)
def test_so_many_connections_are_open_at_a_time(send, limits, options, key):
    """Another delivery has one; a second one is allowed, or is not."""
    limits.held = {key: {"another"}}
    one, two = ([option.format(n) for option in options] for n in (1, 2))

    with pytest.raises(SlotsTaken):
        send(OPEN, *one)
    (session,) = send(OPEN, *two)

    assert session.count == 1


@pytest.mark.parametrize(
    ("cache", "counts"),
    [
        ("reuseCount = 2", [2, 2, 1]),
        ("reuseCount = 1", [1, 1, 1, 1, 1]),
        ("ttl = 5", [5]),
        ("ttl = 0", [1, 1, 1, 1, 1]),
    ],
)
def test_connection_cache_says_how_often_a_connection_is_used(send, cache, counts):
    """By the number of messages, and by the time for which it waits for the next."""
    sessions = send(OPEN, f"zones.default.connectionCache = {{{cache}}}", count=5)

    assert [session.count for session in sessions] == counts


@pytest.mark.parametrize(
    ("caching", "times"), [("caching = true", 1), ("caching = false", 3)]
)
def test_caching_says_whether_dns_is_asked_again(send, dns, caching, times):
    """For another message to the same domain, over another connection."""
    send(
        OPEN,
        f"dns.{caching}",
        "zones.default.connectionCache.reuseCount = 1",
        count=3,
    )

    assert dns.queries.count(("b.test", "MX")) == times


def test_nameservers_beside_dns_are_asked_before_its_own(send, dns):
    """As in ZoneMTA. In all other tests there are only those of dns."""
    with Dns(dns.records) as other:
        send(OPEN, f"nameservers = ['{other.address}']")

    assert other.queries
    assert not dns.queries
