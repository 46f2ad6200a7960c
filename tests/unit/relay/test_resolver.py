from datetime import timedelta
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from mta.config.zones import HostPort
from mta.errors import PermanentFailure, TransientFailure
from mta.policy.targets import MX
from mta.relay.resolver import MAX_RECORDS, Resolver


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeDns:
    """Answers from records: name and type to texts; raises what is an exception."""

    def __init__(self, clock):
        self.clock = clock
        self.records = {}
        self.names = set()
        self.rcodes = {}
        self.silent = set()
        self.lame = set()
        self.ttl = 300
        self.asked = []

    def add(self, name, kind, *texts):
        self.records[name, kind] = texts
        self.names.add(name)

    def __call__(self, query, server, timeout_s):
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append((name, kind, server.host))
        if server.host in self.silent:
            self.clock.now += timeout_s
            raise dns.exception.Timeout
        response = dns.message.make_response(query)
        if server.host in self.lame:
            root = dns.rrset.from_text(".", 60, "IN", "NS", "a.root.test.")
            response.authority.append(root)
            return response
        rcode = self.rcodes.get(server.host) or self.rcodes.get(name)
        if rcode is not None:
            response.set_rcode(rcode)
        elif name not in self.names:
            response.set_rcode(dns.rcode.NXDOMAIN)
        for wanted in (kind, "CNAME"):
            if texts := self.records.get((name, wanted)):
                response.answer.append(
                    dns.rrset.from_text(name + ".", self.ttl, "IN", wanted, *texts)
                )
        if not response.answer:
            soa = f"{name}. a.test. b.test. 1 2 3 4 30"
            response.authority.append(
                dns.rrset.from_text(name + ".", 60, "IN", "SOA", soa[len(name) + 2 :])
            )
        return dns.message.from_wire(response.to_wire(max_size=65535))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fake(clock):
    return FakeDns(clock)


@pytest.fixture
def resolver(fake, clock):
    """A resolver with two nameservers."""
    return Resolver(
        [HostPort("192.0.2.53", 53), HostPort("192.0.2.54", 5353)],
        timeout=timedelta(seconds=10),
        cache_ttl=timedelta(minutes=10),
        exchange=fake,
        monotonic=clock,
    )


def test_mx_records_are_found(resolver, fake):
    """Hosts come in lower case and without final dot."""
    fake.add("d.test", "MX", "10 MX1.d.test.", "20 mx2.d.test.")

    assert set(resolver.find_mx("D.test")) == {
        MX(10, "mx1.d.test"),
        MX(20, "mx2.d.test"),
    }


def test_of_very_many_hosts_the_best_are_kept(resolver, fake):
    """In whatever order they come (RFC 5321 §5.1)."""
    many = [f"{500 - n} mx{n}.d.test." for n in range(300)]
    fake.add("d.test", "MX", *many)

    found = resolver.find_mx("d.test")

    assert len(found) == MAX_RECORDS
    assert max(record.preference for record in found) == 200 + MAX_RECORDS


def test_lame_nameserver_is_not_taken_at_its_word(resolver, fake):
    """It only says who may know, which is not that there is nothing to know."""
    fake.add("d.test", "MX", "10 mx.d.test.")
    fake.lame = {"192.0.2.53"}

    assert resolver.find_mx("d.test") == (MX(10, "mx.d.test"),)


def test_only_lame_nameservers_are_for_later(resolver, fake):
    """Mail does not bounce for them."""
    fake.lame = {"192.0.2.53", "192.0.2.54"}

    with pytest.raises(TransientFailure, match="only knows whom to ask"):
        resolver.find_mx("d.test")


def test_null_mx_is_a_dot(resolver, fake):
    """So that policy can tell it (RFC 7505)."""
    fake.add("d.test", "MX", "0 .")

    assert resolver.find_mx("d.test") == (MX(0, "."),)


def test_domain_without_mx_has_none(resolver, fake):
    """No data is an answer, and means the implicit MX."""
    fake.add("d.test", "A", "192.0.2.1")

    assert resolver.find_mx("d.test") == ()


def test_domain_that_does_not_exist_is_permanent(resolver):
    """NXDOMAIN: nothing to wait for."""
    with pytest.raises(PermanentFailure, match=r"550 5\.1\.2 DNS Error") as failure:
        resolver.find_mx("nowhere.test")

    assert failure.value.category == "dns"


@pytest.mark.parametrize(
    "domain", ["", "a..b", "a" * 64 + ".test", "x" * 300, "jõgeva.ee", "a b", "a\\.b"]
)
def test_name_that_cannot_exist_is_not_asked_for(resolver, fake, domain):
    """Nonsense does not get to the nameservers."""
    with pytest.raises(PermanentFailure):
        resolver.find_mx(domain)

    assert not fake.asked


def test_servfail_is_for_later_after_all_were_asked(resolver, fake):
    """A broken nameserver says nothing about the domain."""
    fake.rcodes["d.test"] = dns.rcode.SERVFAIL

    with pytest.raises(TransientFailure, match=r"450 4\.4\.3 DNS Error.*SERVFAIL"):
        resolver.find_mx("d.test")

    assert {host for _, _, host in fake.asked} == {"192.0.2.53", "192.0.2.54"}


def test_second_nameserver_is_asked_when_the_first_is_silent(resolver, fake):
    """One that is down costs a moment, not the answer."""
    fake.silent.add("192.0.2.53")
    fake.add("d.test", "MX", "10 mx.d.test.")

    assert resolver.find_mx("d.test") == (MX(10, "mx.d.test"),)


def test_silence_ends_at_the_time_out(resolver, fake, clock):
    """All repetitions together stay within the configured time."""
    fake.silent |= {"192.0.2.53", "192.0.2.54"}
    started = clock.now

    with pytest.raises(TransientFailure, match="timed out"):
        resolver.find_mx("d.test")

    assert clock.now - started <= 10


def test_edns_is_left_out_where_it_is_not_understood(fake, clock):
    """FORMERR to EDNS: ask again without (RFC 6891 §7)."""
    fake.add("d.test", "MX", "10 mx.d.test.")

    def exchange(query, server, timeout_s):
        if query.edns >= 0:
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.FORMERR)
            return response
        return fake(query, server, timeout_s)

    resolver = Resolver(
        [HostPort("192.0.2.53", 53)],
        timeout=timedelta(seconds=10),
        cache_ttl=timedelta(minutes=10),
        exchange=exchange,
        monotonic=clock,
    )

    assert resolver.find_mx("d.test") == (MX(10, "mx.d.test"),)


def test_answers_are_kept_for_their_time(resolver, fake, clock):
    """A TTL is a promise."""
    fake.add("d.test", "MX", "10 mx.d.test.")
    resolver.find_mx("d.test")
    clock.now += 299
    resolver.find_mx("d.test")
    assert len(fake.asked) == 1

    clock.now += 1
    resolver.find_mx("d.test")

    assert len(fake.asked) == 2


def test_long_times_to_live_are_cut(resolver, fake, clock):
    """What is believed for a week cannot be repaired for a week."""
    fake.ttl = 7 * 86400
    fake.add("d.test", "MX", "10 mx.d.test.")
    resolver.find_mx("d.test")
    clock.now += 600
    resolver.find_mx("d.test")

    assert len(fake.asked) == 2


def test_negative_answers_are_kept_as_the_soa_says(resolver, fake, clock):
    """RFC 2308 §5: the lesser of the SOA's TTL and its minimum; here 30 s."""
    for wait in (0, 29, 1):
        clock.now += wait
        with pytest.raises(PermanentFailure):
            resolver.find_mx("nowhere.test")

    assert len(fake.asked) == 2


def test_failures_are_kept_for_a_moment(resolver, fake, clock):
    """A dead zone is not hammered (RFC 9520 §3.2)."""
    fake.rcodes["d.test"] = dns.rcode.SERVFAIL
    for _ in range(3):
        with pytest.raises(TransientFailure):
            resolver.find_mx("d.test")
    asked = len(fake.asked)
    clock.now += 5
    with pytest.raises(TransientFailure):
        resolver.find_mx("d.test")

    assert len(fake.asked) == 2 * asked


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, ["192.0.2.1", "2001:db8::1"], id="IPv4 first"),
        pytest.param({"prefer_ipv6": True}, ["2001:db8::1", "192.0.2.1"], id="IPv6"),
        pytest.param({"ignore_ipv6": True}, ["192.0.2.1"], id="no IPv6"),
    ],
)
def test_addresses_come_by_family(resolver, fake, options, expected):
    """The order is the operator's."""
    fake.add("mx.test", "A", "192.0.2.1")
    fake.add("mx.test", "AAAA", "2001:db8::1")

    found = resolver.find_addresses("mx.test", **options)

    assert found == tuple(map(ip_address, expected))


def test_one_family_is_enough(resolver, fake):
    """A lookup that fails does not hide one that succeeded."""
    fake.add("mx.test", "AAAA", "2001:db8::1")

    assert resolver.find_addresses("mx.test") == (ip_address("2001:db8::1"),)


def test_host_without_addresses_is_permanent(resolver, fake):
    """It exists, and cannot be reached."""
    fake.add("mx.test", "TXT", '"x"')

    with pytest.raises(PermanentFailure, match=r"550 5\.4\.4"):
        resolver.find_addresses("mx.test")


def test_aliases_are_followed_from_answer_to_answer(resolver, fake):
    """A nameserver may leave the rest of the chain to us."""
    fake.add("mx.test", "CNAME", "real.test.")
    fake.add("real.test", "A", "192.0.2.1")

    assert resolver.find_addresses("mx.test", ignore_ipv6=True) == (
        ip_address("192.0.2.1"),
    )


def test_circle_of_aliases_ends(resolver, fake):
    """Bounded, and for later: somebody will notice."""
    fake.add("a.test", "CNAME", "b.test.")
    fake.add("b.test", "CNAME", "a.test.")

    with pytest.raises(TransientFailure, match="aliases"):
        resolver.find_mx("a.test")


def test_flood_of_addresses_is_cut(resolver, fake):
    """A host cannot make us try two hundred addresses."""
    fake.add("mx.test", "A", *(f"192.0.2.{n}" for n in range(200)))

    assert len(resolver.find_addresses("mx.test", ignore_ipv6=True)) == 20


def test_the_names_of_an_address_are_found(fake, resolver):
    """In the tree for its family; an address without a name has none."""
    fake.add("1.2.0.192.in-addr.arpa", "PTR", "Out.a.test.", "*.b.test.")

    assert resolver.find_names(ip_address("192.0.2.1")) == ("Out.a.test",)
    assert resolver.find_names(ip_address("2001:db8::1")) == ()
