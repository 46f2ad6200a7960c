"""When hosts are asked for TLSA records, and at which names."""

import pytest

from mta.errors import TransientFailure
from mta.policy.dane import Tlsa
from mta.policy.targets import MX
from mta.relay.resolver import Answer, Finding
from mta.relay.tlsa import Dane
from mta.reply import make_reply

RECORD = Tlsa(3, 1, 1, bytes(32))
ODD = Tlsa(0, 0, 0, b"")


class Answers:
    """A DNS of its own; what it does not know is not there, securely."""

    can_validate = True

    def __init__(self, **records):
        self.records = records
        self.asked = []

    def say(self, name, kind, *records, secure=True, alias=None):
        finding = Finding.RECORDS if records else Finding.NO_DATA
        self.records[name, kind] = Answer(
            finding, records, name=alias or name, is_secure=secure
        )

    def find_answer(self, name, kind):
        self.asked.append((name, kind))
        answer = self.records.get((name, kind))
        if answer is None:
            return Answer(Finding.NO_DATA, name=name, is_secure=True)
        if answer.finding is Finding.FAILED:
            reply = make_reply(450, "4.4.3", "SERVFAIL")
            raise TransientFailure(reply, category="dns")
        return answer


@pytest.fixture
def names():
    """d.test has a host that publishes a record, all of it signed."""
    answers = Answers()
    answers.say("d.test", "MX", MX(10, "mx.d.test"))
    answers.say("mx.d.test", "A", "192.0.2.1")
    answers.say("_25._tcp.mx.d.test", "TLSA", RECORD)
    return answers


def look(names, domain="d.test", host="mx.d.test"):
    return Dane(names).look(domain, host, 25)[0]


def test_a_host_that_is_signed_is_asked(names):
    """RFC 7672 §2.2.1."""
    found = look(names)

    assert found.records == (RECORD,)
    assert found.names == ("mx.d.test", "d.test")


def test_mx_records_that_are_not_signed_name_nobody_for_sure(names):
    """Whoever forges them names a host of his own: not even asked."""
    names.say("d.test", "MX", MX(10, "mx.d.test"), secure=False)

    assert look(names) is None
    assert names.asked == [("d.test", "MX")]


def test_a_host_that_is_not_signed_is_not_asked(names):
    """§2.2.2: many of their nameservers do not even answer such questions."""
    names.say("mx.d.test", "A", "192.0.2.1", secure=False)
    names.say("mx.d.test", "CNAME", secure=False)

    assert look(names) is None
    assert ("_25._tcp.mx.d.test", "TLSA") not in names.asked


def test_records_that_are_not_signed_do_not_count(names):
    """They could be anybody's."""
    names.say("_25._tcp.mx.d.test", "TLSA", RECORD, secure=False)

    assert look(names) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [("d.test", "MX"), ("mx.d.test", "A"), ("_25._tcp.mx.d.test", "TLSA")],
)
def test_what_could_not_be_found_out_is_not_none(names, name, kind):
    """§2.1.2: whoever is in the way would only have to be that."""
    names.records[name, kind] = Answer(Finding.FAILED)

    with pytest.raises(TransientFailure) as failure:
        look(names)

    assert failure.value.is_next_host_worth_trying
    assert failure.value.host == "mx.d.test"


def test_records_that_nobody_can_use_are_told_from_none(names):
    """They demand TLS all the same."""
    names.say("_25._tcp.mx.d.test", "TLSA", ODD)

    assert look(names).records == ()


def test_a_domain_without_mx_is_its_own_host():
    """The answer that there is none is signed as well."""
    names = Answers()
    names.say("d.test", "MX")
    names.say("d.test", "AAAA", "2001:db8::1")
    names.say("_25._tcp.d.test", "TLSA", RECORD)

    assert look(names, host="d.test").names == ("d.test",)


def test_a_host_of_another_answer_is_for_later(names):
    """The records have changed between two questions, or somebody has changed them."""
    with pytest.raises(TransientFailure, match="have changed"):
        look(names, host="evil.test")


def test_a_host_that_the_operator_named_needs_no_mx(names):
    """§2.2.2: a relay."""
    assert look(names, domain=None).names == ("mx.d.test",)
    assert ("d.test", "MX") not in names.asked


def test_what_an_alias_leads_to_is_asked_first(names):
    """§2.2.2: then the alias itself."""
    names.say("mx.d.test", "A", "192.0.2.1", alias="real.test")
    names.say("_25._tcp.real.test", "TLSA", RECORD)

    assert look(names).names == ("real.test", "mx.d.test", "d.test")

    names.say("_25._tcp.real.test", "TLSA")

    assert look(names).names == ("mx.d.test", "d.test")


def test_an_alias_that_is_signed_is_asked_where_it_leads_out_of_that(names):
    """To a hoster who does not sign."""
    names.say("mx.d.test", "A", "192.0.2.1", alias="x.hoster.test", secure=False)
    names.say("mx.d.test", "CNAME", "x.hoster.test")

    assert look(names).names == ("mx.d.test", "d.test")


def test_why_nothing_counts_is_said(names):
    """In the words of explanations."""
    names.say("d.test", "MX", MX(10, "mx.d.test"), secure=False)

    assert "not validated" in Dane(names).look("d.test", "mx.d.test", 25)[1]


def test_a_nameserver_that_never_validates_is_worth_a_line(names, caplog):
    """Once: mail flows, and nobody would notice."""
    dane = Dane(names)
    names.say("d.test", "MX", MX(10, "mx.d.test"), secure=False)
    for _ in range(200):
        dane.look("d.test", "mx.d.test", 25)

    assert [r.message for r in caplog.records if "dane" in r.message] == [
        "dane is of no use: none of 50 answers was validated; do the nameservers "
        "validate (DNSSEC)?"
    ]
