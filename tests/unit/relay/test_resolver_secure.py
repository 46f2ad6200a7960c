"""Answers that were validated: who is asked to say so, and who is believed."""

from datetime import timedelta

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from mta.config.zones import HostPort
from mta.errors import TransientFailure
from mta.policy.dane import Tlsa
from mta.relay.resolver import Finding, Resolver

HERE, THERE = HostPort("127.0.0.1", 53), HostPort("192.0.2.53", 53)
SECONDS = timedelta(seconds=10)


class FakeDns:
    """Answers from records; ``insecure`` names are not validated, ``forged`` fail."""

    def __init__(self):
        self.records = {}
        self.insecure = set()
        self.forged = set()
        self.silent = set()
        self.queries = []

    def __call__(self, query, server, timeout_s):
        self.queries.append((query, server))
        if server in self.silent:
            raise dns.exception.Timeout
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        response = dns.message.make_response(query)
        if name in self.forged:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        is_asked = query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO
        if is_asked and name not in self.insecure:
            response.flags |= dns.flags.AD
        for wanted in (kind, "CNAME"):
            if texts := self.records.get((name, wanted)):
                rrset = dns.rrset.from_text(f"{name}.", 60, "IN", wanted, *texts)
                response.answer.append(rrset)
                break
        return dns.message.from_wire(response.to_wire(want_shuffle=False))


@pytest.fixture
def world():
    return FakeDns()


def a_resolver(world, *servers, trust_ad="loopback"):
    return Resolver(
        servers or (HERE,),
        timeout=SECONDS,
        cache_ttl=SECONDS,
        trust_ad=trust_ad,
        exchange=world,
    )


@pytest.mark.parametrize(
    ("server", "trust_ad", "is_secure"),
    [
        (HERE, "loopback", True),
        (THERE, "loopback", False),
        (THERE, True, True),
        (HERE, False, False),
    ],
)
def test_the_ad_bit_counts_from_who_is_trusted(world, server, trust_ad, is_secure):
    """And nobody else is asked for it (RFC 6840 §5.7)."""
    world.records["d.test", "MX"] = ["10 mx.d.test."]
    resolver = a_resolver(world, server, trust_ad=trust_ad)

    assert resolver.find_answer("d.test", "MX").is_secure is is_secure
    assert resolver.can_validate is is_secure
    [(query, _)] = world.queries
    assert bool(query.flags & dns.flags.AD) is is_secure
    assert bool(query.ednsflags & dns.flags.DO) is is_secure
    assert query.flags & dns.flags.RD


def test_it_is_the_word_of_who_has_answered(world):
    """The one that is trusted was silent."""
    world.records["d.test", "MX"] = ["10 mx.d.test."]
    world.silent = {HERE}

    assert not a_resolver(world, HERE, THERE).find_answer("d.test", "MX").is_secure


def test_that_there_is_nothing_can_be_secure_too(world):
    """A domain without MX records is its own host, for sure."""
    answer = a_resolver(world).find_answer("d.test", "MX")

    assert (answer.finding, answer.is_secure) == (Finding.NO_DATA, True)


def test_an_alias_is_as_secure_as_all_of_it(world):
    """Each answer on the way counts."""
    world.records["a.test", "CNAME"] = ["b.test."]
    world.records["b.test", "A"] = ["192.0.2.1"]
    answer = a_resolver(world).find_answer("a.test", "A")

    assert (answer.name, answer.is_secure) == ("b.test", True)

    world.insecure = {"b.test"}
    answer = a_resolver(world).find_answer("a.test", "A")

    assert (answer.name, answer.is_secure) == ("b.test", False)
    assert a_resolver(world).find_answer("a.test", "CNAME").is_secure


def test_what_was_forged_is_not_found_out(world):
    """A nameserver that validates says SERVFAIL."""
    world.forged = {"d.test"}

    with pytest.raises(TransientFailure, match=r"450 4\.4\.3 .*SERVFAIL"):
        a_resolver(world).find_answer("d.test", "TLSA")


def test_tlsa_records_are_read(world):
    """At names that are no hosts'."""
    texts = [f"3 1 1 {'ab' * 32}", "2 0 0 00ff"]
    world.records["_25._tcp.mx.d.test", "TLSA"] = texts
    answer = a_resolver(world).find_answer("_25._tcp.mx.d.test", "TLSA")

    assert answer.records == (
        Tlsa(3, 1, 1, bytes.fromhex("ab" * 32)),
        Tlsa(2, 0, 0, b"\0\xff"),
    )


def test_texts_are_joined(world):
    """A record of several strings is one (RFC 8461 §3.1)."""
    world.records["_mta-sts.d.test", "TXT"] = ['"v=STSv1; " "id=1;"', '"other"']

    assert a_resolver(world).find_texts("_mta-sts.d.test") == (
        "v=STSv1; id=1;",
        "other",
    )
    assert a_resolver(world).find_texts("_mta-sts.e.test") == ()


@pytest.mark.parametrize(
    ("server", "trust_ad", "lines"),
    [(THERE, "loopback", 1), (HERE, "loopback", 0), (THERE, False, 0)],
)
def test_that_nobody_can_validate_is_said(world, caplog, server, trust_ad, lines):
    """Unless that is what the operator wants."""
    with caplog.at_level("INFO"):
        a_resolver(world, server, trust_ad=trust_ad)

    assert sum("no dane" in r.message for r in caplog.records) == lines
