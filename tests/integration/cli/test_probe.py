"""``mta probe`` with real servers, a real DNS and a real MongoDB."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import cli
from mta.policy.warmup import Ration
from mta.relay.guard import make_context
from mta.relay.sources import OTHERS
from mta.store.mongo import Mongo
from mta.store.warmup import WarmupBook
from tests.conftest import held_port
from tests.support.dns import DnsServer
from tests.support.next_hops import PASSWORD, Doorman, issue, mailboxes, relay
from tests.support.sink import Sink

FIRST, SECOND = "127.77.0.31", "127.77.0.32"
COLD, WARM = "127.0.0.31", "127.0.0.32"

CONFIG = """
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
zones:
  default: {{port: {port}}}
  pooled: {{pool: two, port: {port}}}
  alone: {{pool: one, port: {port}}}
  careful: {{tls: require, port: {port}}}
  mailboxes: {{host: "{first}", port: {lmtp}, lmtp: true}}
  relayed:
    {{host: relay.test, port: {relay}, auth: {{user: ada, password: {password}}}}}
  mistaken: {{host: relay.test, port: {relay}, auth: {{user: ada, password: wrong}}}}
  stranger:
    {{host: other.test, port: {relay}, auth: {{user: ada, password: {password}}}}}
pools:
  two:
    - {{address: {cold}, ratio: 0.999999, warmup: {{started: {today}, plan: tiny}}}}
    - {warm}
  one: [{{address: {cold}, warmup: {{started: {today}, plan: tiny}}}}]
warmup:
  tiny: {{daily: [1, 1], hourly: 100%}}
"""

RECORDS = {
    "mx1.host.test": [("A", FIRST)],
    "mx2.host.test": [("A", SECOND)],
    "relay.test": [("A", FIRST)],
    "other.test": [("A", FIRST)],
    "b.test": [("MX", "10 mx1.host.test.")],
    "two.test": [("MX", "10 mx1.host.test."), ("MX", "20 mx2.host.test.")],
    "null.test": [("MX", "0 .")],
}


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with DnsServer(RECORDS) as server:
        yield server


@pytest.fixture(scope="module")
def sinks() -> Iterator[tuple[Sink, Sink]]:
    """Two MX at one port, each with an address of its own."""
    with (
        held_port(FIRST) as port,
        Sink(FIRST, port) as first,
        Sink(SECOND, port) as second,
    ):
        yield first, second


@pytest.fixture
def sink(sinks: tuple[Sink, Sink]) -> Iterator[Sink]:
    """The first MX; takes everyone unless told."""
    first, second = sinks
    yield first
    for one in (first, second):
        one.refuse = lambda _, __: None
        assert not one.arrived  # whatever the test was about


@pytest.fixture(scope="module")
def doorman() -> Doorman:
    return Doorman()


@pytest.fixture(scope="module")
def hops(tmp_path_factory, doorman: Doorman) -> Iterator[dict[str, object]]:
    """The ports of a relay and of mailboxes, and the file of the relay's authority."""
    context, authority = issue(tmp_path_factory.mktemp("tls"), "relay.test")
    with (
        held_port(FIRST) as port,
        held_port(FIRST) as lmtp,
        relay(FIRST, port, context, doorman),
        mailboxes(FIRST, lmtp),
    ):
        yield {"relay": port, "lmtp": lmtp, "authority": authority}


@pytest.fixture
def mta(
    of_this_test,
    dns: DnsServer,
    sink: Sink,
    hops: dict[str, object],
    monkeypatch,
    tmp_path,
) -> Iterator[Callable[..., Result]]:
    """Runs ``mta probe ...`` where these servers are all there is."""
    monkeypatch.setenv("MTA_HOSTNAME", "us.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(hops["authority"]))
    config = CONFIG.format(
        dns=dns.address,
        port=sink.port,
        relay=hops["relay"],
        lmtp=hops["lmtp"],
        first=FIRST,
        password=PASSWORD,
        cold=COLD,
        warm=WARM,
        today=datetime.now(UTC).date(),
    )
    (tmp_path / "zones.yaml").write_text(config)
    make_context.cache_clear()
    yield lambda *arguments: CliRunner().invoke(
        cli, ("probe", *arguments), catch_exceptions=False
    )
    make_context.cache_clear()


@pytest.fixture
def probed(mta) -> Callable[..., list[dict[str, object]]]:
    """Runs ``mta probe --json ...``; the hosts it tells of."""

    def run(*arguments: str) -> list[dict[str, object]]:
        found = json.loads(mta(*arguments, "--json").stdout)["hosts"]
        assert PASSWORD not in json.dumps(found)
        return found

    return run


def test_a_destination_that_would_take_mail_is_told_step_by_step(mta, sink):
    """Host, security, what was said, and what came of it."""
    result = mta("bob@b.test")

    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0].startswith(f"mx1.host.test [{FIRST}]:{sink.port}, named after 0.")
    assert lines[1] == "security  in clear; policy of default"
    assert lines[-1].startswith("would be taken, after 0.")
    assert lines[-1].endswith("s: 250 2.1.5 OK")
    said = [line.partition(" C ")[2] for line in lines if " C " in line]
    assert said[-4:] == [
        "MAIL FROM:<>",
        "RCPT TO:<bob@b.test>",
        "RSET",
        "QUIT",
    ]


def test_a_domain_is_asked_for_its_postmaster(probed):
    """RFC 5321 §4.5.1: there must be one."""
    (host,) = probed("b.test", "--from", "ada@a.test")

    said = "\n".join(host["talk"])
    assert "RCPT TO:<postmaster@b.test>" in said
    assert "MAIL FROM:<ada@a.test>" in said


def test_a_refused_recipient_fails(mta, sink):
    """Exit status 1, with the server's own words."""
    sink.refuse = lambda address, _: "550 5.1.1 nobody of that name"

    result = mta("eve@b.test")

    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1].strip()
    assert last.startswith("would not be taken now, after 0.")
    assert last.endswith("s: 550 5.1.1 nobody of that name")


@pytest.mark.parametrize("domain", ["null.test", "nowhere.invalid"])
def test_where_no_host_is_nothing_is_tried(mta, domain):
    """DNS has the last word."""
    result = mta(domain)

    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith("no host after 0.")


def test_in_json_there_is_all_that_programs_may_want(probed, sink):
    """One entry for each host that was tried."""
    (host,) = probed("bob@b.test", "--zone", "pooled")

    assert {key: value for key, value in host.items() if not key.endswith("Ms")} == {
        "host": "mx1.host.test",
        "address": FIRST,
        "port": sink.port,
        "good": True,
        "reply": "250 2.1.5 OK",
        "source": COLD,
        "provider": "",
        "policy": "default",
        "tls": "",
        "cipher": "",
        "verified": "no",
        "talk": host["talk"],
    }
    assert 0 <= host["foundAfterMs"] < host["tookMs"] + 5_000


def test_no_host_is_one_entry_in_json(probed):
    """With what DNS has said as the reply."""
    (host,) = probed("null.test")

    assert (host["host"], host["good"], host["talk"]) == (None, False, [])


@pytest.mark.parametrize(
    ("count", "hosts"), [("1", ["mx1"]), ("2", ["mx1", "mx2"]), ("9", ["mx1", "mx2"])]
)
def test_so_many_hosts_are_tried_as_are_wanted(probed, count, hosts):
    """Best first, each once, whatever the one before has said."""
    found = probed("bob@two.test", "--hosts", count)

    assert [host["host"].partition(".")[0] for host in found] == hosts


def test_one_host_that_would_take_it_is_enough(mta, sink):
    """Mail would get there."""
    sink.refuse = lambda address, _: "451 4.7.1 later"

    assert mta("bob@two.test").exit_code == 1
    assert mta("bob@two.test", "--hosts", "2").exit_code == 0


def test_a_host_without_the_tls_that_is_wanted_fails(mta, probed):
    """Nothing more is said to it, and the policy is told."""
    (host,) = probed("bob@b.test", "--zone", "careful")

    assert (host["good"], host["policy"], host["verified"]) == (
        False,
        "zones.careful.tls",
        "",
    )
    assert "STARTTLS is not offered" in host["reply"]
    assert "MAIL" not in "".join(host["talk"])
    assert "no session; policy of zones.careful.tls" in (
        mta("bob@b.test", "--zone", "careful").stdout
    )


def test_a_relay_is_logged_in_to(probed, mta, doorman):
    """Over TLS, with a certificate of an authority that the system knows."""
    doorman.asked.clear()

    (host,) = probed("bob@b.test", "--zone", "relayed")

    assert doorman.asked == [("ada", PASSWORD)]
    assert host["good"], host
    assert host["policy"] == "zones.relayed.auth"
    assert (host["tls"], host["verified"]) == ("TLSv1.3", "name")
    shown = mta("bob@b.test", "--zone", "relayed").stdout
    assert "certificate checked by name; policy of zones.relayed.auth" in shown
    assert PASSWORD not in shown


def test_a_wrong_password_fails(probed):
    """The relay's refusal is told, and not what was refused."""
    (host,) = probed("bob@b.test", "--zone", "mistaken")

    assert not host["good"]
    assert host["reply"].startswith("454 4.7.0 Relay: login by ")


def test_nobody_but_the_relay_hears_the_password(probed, doorman):
    """A certificate for another name is none."""
    doorman.asked.clear()

    (host,) = probed("bob@b.test", "--zone", "stranger")

    assert not host["good"]
    assert doorman.asked == []
    assert "AUTH" not in "".join(line for line in host["talk"] if " C " in line)


def test_mailboxes_are_talked_to_by_lmtp(probed):
    """As the zone has it."""
    (host,) = probed("bob@b.test", "--zone", "mailboxes")

    assert host["good"], host
    assert any(line.endswith(" C LHLO us.test") for line in host["talk"])


def test_nothing_is_counted_and_nothing_is_learned(mta, db):
    """As often as anybody likes: the ration of an address stays what it was."""
    for _ in range(3):
        mta("bob@b.test", "--zone", "pooled")
    mta("bob@b.test", "--zone", "mistaken")

    kept = {name: db[name].count_documents({}) for name in db.list_collection_names()}
    assert {name: count for name, count in kept.items() if count} == {}


@pytest.fixture
def used_up(db: Mongo) -> None:
    """The address that warms up has had its ration."""
    ration = Ration(step=1, steps=2, per_day=1, per_hour=1, held=0)
    WarmupBook(db).reserve(COLD, OTHERS, ration, datetime.now(UTC))


@pytest.mark.usefixtures("used_up")
def test_an_address_that_has_had_its_ration_is_passed_over(mta, probed):
    """As an attempt would: the next one is dialed from, and the reason told."""
    (host,) = probed("bob@b.test", "--zone", "pooled")

    assert host["source"] == WARM
    shown = mta("bob@b.test", "--zone", "pooled").stdout
    assert f"not {COLD}: its ration is used up" in shown


@pytest.mark.usefixtures("used_up")
def test_mail_that_would_have_to_wait_is_not_tried(probed):
    """Nobody is dialed, and what it would wait for is told."""
    (host,) = probed("bob@b.test", "--zone", "alone")

    assert (host["good"], host["talk"]) == (False, [])
    assert f"warmup:{COLD}" in host["reply"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("b.test", "--zone", "polled"), "did you mean 'pooled'?"),
        (("bob@b@b.test",), "is no domain and no address"),
        (("no domain",), "is no domain and no address"),
        (("b.test", "--from", "ada"), "is no domain and no address"),
        (("b.test", "--hosts", "0"), "0 is not in the range"),
    ],
    ids=["zone", "address", "domain", "reverse path", "no host at all"],
)
def test_what_cannot_be_asked_is_refused(mta, arguments, text):
    """Exit status 2, before anybody is talked to."""
    result = mta(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_nothing_leaves_the_sandbox_of_the_system_that_runs_here(
    probed, sink, tmp_path
):
    """Whatever domain is tried: the sandbox's MX answers."""
    state = tmp_path / "var"
    state.mkdir()
    document = {"sandbox": f"{sink.host}:{sink.port}"}
    (state / "ready.json").write_text(json.dumps(document))

    [host] = probed("--config", "zones.yaml", "anybody@nowhere.example")

    assert (host["address"], host["port"], host["good"]) == (sink.host, sink.port, True)
