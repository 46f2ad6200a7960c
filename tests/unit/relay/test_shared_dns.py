"""Answers of nameservers that processes share."""

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from mta.config.zones import HostPort
from mta.relay.shared_dns import SharedExchange

SERVER = HostPort("192.0.2.53", 53)


class Kept(dict):
    """What was kept, with its time; as long as the test wants."""

    left_s = 30.0

    def get(self, name):
        return (self[name][0], self.left_s) if name in self else None

    def put(self, name, answer, ttl_s):
        self[name] = (answer, ttl_s)


class Nameserver:
    """Answers with its records and counts what it is asked."""

    def __init__(self, *records, rcode=dns.rcode.NOERROR, authority=()):
        self.asked = 0
        self.records, self.rcode, self.authority = records, rcode, authority

    def __call__(self, query, server, timeout_s):
        self.asked += 1
        response = dns.message.make_response(query)
        response.set_rcode(self.rcode)
        response.answer.extend(self.records)
        response.authority.extend(self.authority)
        return dns.message.from_wire(response.to_wire())


A = dns.rrset.from_text("a.test.", 60, "IN", "A", "192.0.2.1")
SOA = dns.rrset.from_text("test.", 900, "IN", "SOA", "ns.test. x.test. 1 2 3 4 120")


def ask(shared, kind="A", server=SERVER, **options):
    return shared(dns.message.make_query("a.test", kind, **options), server, 1.0)


def texts(response):
    return [rrset.to_text() for rrset in response.answer]


def test_what_one_has_asked_another_need_not():
    """He gets the same, as the answer to his own question."""
    kept, nameserver = Kept(), Nameserver(A)
    first = ask(SharedExchange(nameserver, kept, 600))

    query = dns.message.make_query("a.test", "A")
    second = SharedExchange(nameserver, kept, 600)(query, SERVER, 1.0)

    assert nameserver.asked == 1
    assert query.is_response(second)
    assert [r.items for r in second.answer] == [r.items for r in first.answer]


def test_an_answer_is_kept_for_its_own_time_and_no_longer():
    kept = Kept()

    ask(SharedExchange(Nameserver(A), kept, 600))
    assert [ttl for _, ttl in kept.values()] == [60]

    ask(SharedExchange(Nameserver(A), kept, 10))
    kept.clear()
    ask(SharedExchange(Nameserver(A), kept, 10))
    assert [ttl for _, ttl in kept.values()] == [10]


def test_what_is_left_of_its_time_is_told():
    """So that the next cache does not begin anew."""
    kept = Kept()
    shared = SharedExchange(Nameserver(A), kept, 600)
    ask(shared)

    kept.left_s = 7.5

    assert [rrset.ttl for rrset in ask(shared).answer] == [7]


def test_that_there_is_nothing_is_shared_for_as_long_as_its_zone_says():
    """RFC 2308 §5."""
    kept = Kept()
    nobody = Nameserver(rcode=dns.rcode.NXDOMAIN, authority=[SOA])

    ask(SharedExchange(nobody, kept, 600))

    assert [ttl for _, ttl in kept.values()] == [120]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_failures_are_nobody_elses(rcode):
    kept = Kept()

    ask(SharedExchange(Nameserver(rcode=rcode), kept, 600))

    assert not kept


def test_each_nameserver_and_each_way_to_ask_has_its_own_answer():
    """One may validate, and another not."""
    kept, nameserver = Kept(), Nameserver(A)
    shared = SharedExchange(nameserver, kept, 600)

    ask(shared)
    ask(shared, server=HostPort("192.0.2.54", 53))
    ask(shared, want_dnssec=True)
    ask(shared, kind="AAAA")

    assert nameserver.asked == 4


@pytest.mark.parametrize(
    ("server", "flags"),
    [(HostPort("127.0.0.1", 53), 0), (HostPort("::1", 53), 0), (SERVER, dns.flags.AD)],
)
def test_what_is_of_this_machine_or_believed_without_a_look_is_not_shared(
    server, flags
):
    """Another machine has another resolver, and nobody between is trusted."""
    kept, nameserver = Kept(), Nameserver(A)
    query = dns.message.make_query("a.test", "A", flags=dns.flags.RD | flags)

    SharedExchange(nameserver, kept, 600)(query, server, 1.0)

    assert not kept


def test_what_cannot_be_read_is_asked_for():
    """Whoever wrote it."""
    kept, nameserver = Kept(), Nameserver(A)
    shared = SharedExchange(nameserver, kept, 600)
    ask(shared)
    for name in kept:
        kept[name] = (b"garbage", 60)

    assert texts(ask(shared)) == texts(
        nameserver(dns.message.make_query("a.test", "A"), 0, 0)
    )
