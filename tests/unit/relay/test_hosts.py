from ipaddress import ip_address, ip_network

import pytest

from mta.config.zones import DnsConfig, DomainLimits, HostPort, HttpTarget, Zone
from mta.errors import PermanentFailure, TransientFailure
from mta.policy.targets import MX
from mta.relay.hosts import TargetFinder
from mta.reply import make_reply


class FakeNames:
    """Knows some names; what is missing does not exist, "?" cannot be found out."""

    def __init__(self, mx=(), **hosts):
        self.mx = [MX(n, host) for n, host in enumerate(mx)]
        self.hosts = {name.replace("_", "."): found for name, found in hosts.items()}
        self.asked = []

    def find_mx(self, domain):
        return tuple(self.mx)

    def find_addresses(self, host, *, ignore_ipv6=False, prefer_ipv6=False):
        self.asked.append((host, ignore_ipv6, prefer_ipv6))
        found = self.hosts.get(host, ())
        if found == "?":
            raise TransientFailure(make_reply(450, "4.4.3"), category="dns")
        if not found:
            raise PermanentFailure(make_reply(550, "5.4.4"), category="dns")
        return tuple(map(ip_address, found))


def a_finder(names, dns=None, **changes):
    return TargetFinder(names=names, dns=dns or DnsConfig(), shuffle=list, **changes)


def find(finder, domain="d.test", **zone):
    targets = finder.find_targets(Zone(name="default", **zone), domain)
    return [(target.host, str(target.address), target.port) for target in targets]


def test_every_address_of_every_host_comes_in_order():
    """Best host first, all its addresses before the next one's."""
    names = FakeNames(["a.test", "b.test"], a_test=["192.0.2.1", "192.0.2.2"],
                      b_test=["192.0.2.3"])  # fmt: skip

    assert find(a_finder(names)) == [
        ("a.test", "192.0.2.1", 25),
        ("a.test", "192.0.2.2", 25),
        ("b.test", "192.0.2.3", 25),
    ]


def test_hosts_are_looked_up_when_they_are_needed():
    """While the first one answers nobody asks for the second."""
    names = FakeNames(["a.test", "b.test"], a_test=["192.0.2.1"], b_test=["192.0.2.3"])

    next(a_finder(names).find_targets(Zone(name="default"), "d.test"))

    assert [host for host, _, _ in names.asked] == ["a.test"]


def test_domain_without_mx_is_asked_for_addresses():
    """The implicit MX."""
    names = FakeNames(d_test=["192.0.2.1"])

    assert find(a_finder(names)) == [("d.test", "192.0.2.1", 25)]


@pytest.mark.parametrize("missing", [(), "?"])
def test_host_that_is_not_found_is_skipped(missing):
    """One good host is enough."""
    names = FakeNames(["a.test", "b.test"], a_test=missing, b_test=["192.0.2.3"])

    assert find(a_finder(names)) == [("b.test", "192.0.2.3", 25)]


def test_host_that_may_yet_be_found_makes_it_transient():
    """For good only if all are gone for good."""
    names = FakeNames(["a.test", "b.test"], b_test="?")

    with pytest.raises(TransientFailure):
        find(a_finder(names))


def test_no_host_at_all_is_permanent():
    """Nothing to wait for."""
    with pytest.raises(PermanentFailure):
        find(a_finder(FakeNames(["a.test", "b.test"])))


def test_local_addresses_are_left_out():
    """An MX must not lead us into our own site."""
    names = FakeNames(["a.test"], a_test=["127.0.0.1", "192.0.2.1", "10.0.0.1"])

    assert find(a_finder(names)) == [("a.test", "192.0.2.1", 25)]


def test_host_with_only_local_addresses_is_refused():
    """Nothing is dialed, and the sender hears why."""
    names = FakeNames(["a.test"], a_test=["127.0.0.1"])

    with pytest.raises(PermanentFailure, match=r"5\.4\.4 DNS Error") as failure:
        find(a_finder(names))

    assert failure.value.address == "127.0.0.1"


def test_local_addresses_can_be_allowed():
    """By network, or by zone."""
    names = FakeNames(["a.test"], a_test=["127.77.0.1"])
    allowing = DnsConfig(allow_addresses=(ip_network("127.77.0.0/16"),))

    assert find(a_finder(names, allowing))
    assert find(a_finder(names), block_local_addresses=False)


@pytest.mark.parametrize(
    ("domain", "address"),
    [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1")],
)
def test_literal_is_dialed_as_it_is(domain, address):
    """No lookup; the checks apply."""
    assert find(a_finder(FakeNames()), domain) == [(address, address, 25)]


@pytest.mark.parametrize("domain", ["[127.0.0.1]", "[::1]", "[IPv6:::1]", "[x]"])
def test_literal_leads_nowhere_else(domain):
    """A recipient at [127.0.0.1] is not delivered to ourselves."""
    with pytest.raises(PermanentFailure):
        find(a_finder(FakeNames()), domain)


@pytest.mark.parametrize(
    ("domain", "zone", "asked"),
    [
        ({}, {}, (False, True)),
        ({}, {"prefer_ipv6": False, "ignore_ipv6": True}, (True, False)),
        ({"prefer_ipv6": False}, {"prefer_ipv6": True}, (False, False)),
        ({"ignore_ipv6": True}, {"ignore_ipv6": False}, (True, True)),
    ],
)
def test_a_domains_own_word_on_ipv6_goes_before_its_zones(domain, zone, asked):
    """And that before what is said of DNS."""
    names = FakeNames(["a.test"], a_test=["192.0.2.1"])
    dns = DnsConfig(prefer_ipv6=True)

    find(a_finder(names, dns, limits_of=lambda _: DomainLimits(**domain)), **zone)

    assert names.asked == [("a.test", *asked)]


def test_a_web_server_replaces_dns():
    """At its own port, or at that of its scheme."""
    names = FakeNames(["a.test"], web_test=["192.0.2.9"])
    web = HttpTarget(url="https://web.test/in")

    assert find(a_finder(names), http=web) == [("web.test", "192.0.2.9", 443)]
    plain = HttpTarget(url="http://192.0.2.8:8080/")
    assert find(a_finder(names), http=plain) == [("192.0.2.8", "192.0.2.8", 8080)]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "https://inner.test/"])
def test_a_web_server_is_not_within_the_site_unless_that_is_said(url):
    """A mistyped URL must not post mail to an inner door."""
    names = FakeNames(inner_test=["10.0.0.5"])
    web = HttpTarget(url=url)

    with pytest.raises(PermanentFailure):
        find(a_finder(names), http=web)

    assert find(a_finder(names), http=web, block_local_addresses=False)


def test_literal_of_ipv6_is_nowhere_if_ipv6_is_ignored():
    """Never means never."""
    with pytest.raises(PermanentFailure):
        find(a_finder(FakeNames()), "[IPv6:2001:db8::1]", ignore_ipv6=True)


@pytest.mark.parametrize("host", ["10.0.0.5", "relay.test"])
def test_relay_of_the_zone_replaces_dns(host):
    """What the operator names may be anywhere."""
    names = FakeNames(["a.test"], relay_test=["10.0.0.5"])

    assert find(a_finder(names), host=host, port=2525) == [(host, "10.0.0.5", 2525)]


def test_sandbox_replaces_everything():
    """Nothing leaves the machine."""
    names = FakeNames(["a.test"], a_test=["192.0.2.1"])
    finder = a_finder(names, sandbox=HostPort("127.0.0.1", 2599))

    assert find(finder, host="10.0.0.5") == [("127.0.0.1", "127.0.0.1", 2599)]
    assert not names.asked


def test_zone_has_its_own_mind_about_ipv6():
    """Its option goes before the general one, also when it says no."""
    names = FakeNames(["a.test"], a_test=["192.0.2.1"])
    dns = DnsConfig(ignore_ipv6=True, prefer_ipv6=False)

    find(a_finder(names, dns), ignore_ipv6=False, prefer_ipv6=True)
    find(a_finder(names, dns))

    assert names.asked == [("a.test", False, True), ("a.test", True, False)]


def test_twenty_addresses_are_enough():
    """An attempt is not a tour of the network."""
    names = FakeNames(["a.test"], a_test=[f"192.0.2.{n}" for n in range(1, 100)])

    assert len(find(a_finder(names))) == 20


def test_hosts_of_a_domain_are_those_of_its_mx():
    """By them a provider is known; looking them up again costs nothing."""
    names = FakeNames(["a.test", "b.test", "a.test"])

    hosts = a_finder(names).find_hosts(Zone(name="default"), "d.test")

    assert sorted(hosts) == ["a.test", "b.test"]
    assert names.asked == []


def test_domain_without_mx_is_its_own_host():
    """The implicit MX."""
    assert a_finder(FakeNames()).find_hosts(Zone(name="default"), "d.test") == (
        "d.test",
    )


@pytest.mark.parametrize(
    ("domain", "zone", "sandbox"),
    [
        pytest.param("d.test", {"host": "relay.test"}, None, id="relay host"),
        pytest.param("[192.0.2.1]", {}, None, id="literal"),
        pytest.param("d.test", {}, HostPort("127.0.0.1", 2599), id="sandbox"),
    ],
)
def test_hosts_are_not_looked_up_where_dns_is_not_asked(domain, zone, sandbox):
    """Where mail goes by decree, nobody's provider is meant."""
    finder = a_finder(FakeNames(["a.test"]), sandbox=sandbox)

    assert finder.find_hosts(Zone(name="default", **zone), domain) == ()
