from datetime import UTC, datetime

import pytest

from mta.errors import Rejected
from mta.mail.header import HeaderSection
from mta.mail.submit import (
    DEFAULT_RULES,
    HeaderRules,
    extract_envelope,
    parse_date,
    prepare_header,
)


@pytest.fixture
def prepared(an_envelope, noon):
    def build(raw, rules=DEFAULT_RULES, **facts):
        return prepare_header(
            HeaderSection.parse(raw),
            envelope=an_envelope(**facts),
            now=noon,
            hostname="mta.example.test",
            rules=rules,
            message_id_factory=lambda domain: f"<1@{domain}>",
        )

    return build


def test_missing_fields_are_added(prepared, noon):
    """Message-ID and Date, as RFC 6409 §8 lets us."""
    result = prepared(b"Subject: x\r\n")

    assert result.header == (
        b"Message-ID: <1@example.test>\r\n"
        b"Date: Fri, 17 May 2024 12:00:00 +0000\r\nSubject: x\r\n"
    )
    assert result.message_id == "<1@example.test>"
    assert result.date == noon


def test_null_reverse_path_gives_our_domain(prepared):
    """A Message-ID needs a domain; ours will do."""
    assert prepared(b"", reverse_path="").message_id == "<1@mta.example.test>"


def test_fields_that_are_there_stay(prepared):
    """Not one octet of a complete header changes."""
    raw = (
        b"Date: Thu, 16 May 2024 10:00:00 +0200\r\nmessage-id:\r\n <a@b.test>\r\n"
        b"Subject: =?utf-8?q?caf=C3=A9?=\r\n"
    )

    result = prepared(raw)

    assert result.header == raw
    assert result.message_id == "<a@b.test>"
    assert result.subject == "café"
    assert result.date == datetime(2024, 5, 16, 8, 0, tzinfo=UTC)


def test_where_it_came_from_is_said_by_us(prepared):
    """Whatever a client has written there."""
    header = prepared(b"X-Originating-IP: [10.0.0.1]\r\n", origin="192.0.2.7").header

    assert b"X-Originating-IP: [192.0.2.7]\r\n" in header
    assert b"10.0.0.1" not in header


@pytest.mark.parametrize("origin", [None, "127.0.0.1", "::1"])
def test_nothing_is_said_of_this_machine_itself(prepared, origin):
    """An application here may know better."""
    raw = b"X-Originating-IP: [10.0.0.1]\r\n"

    assert raw in prepared(raw, origin=origin).header


def test_where_it_came_from_may_be_kept_to_ourselves(prepared):
    """Some senders' privacy is more than their recipients' curiosity."""
    rules = HeaderRules(x_originating_ip=False)

    assert b"X-Orig" not in prepared(b"", rules=rules, origin="192.0.2.7").header


def test_fields_are_added_as_the_operator_wants(prepared):
    """Their values are known all the same."""
    result = prepared(
        b"Content-Type: text/plain\r\n",
        rules=HeaderRules(add_missing=("mime-version",)),
    )

    assert result.header == b"Content-Type: text/plain\r\nMIME-Version: 1.0\r\n"
    assert result.message_id == "<1@example.test>"


@pytest.mark.parametrize(
    ("raw", "adds_to"), [(b"", True), (b"Cc: a@b.test\r\n", False), (b"To:\r\n", False)]
)
def test_a_message_to_nobody_may_get_its_recipients_named(prepared, raw, adds_to):
    """Each copy its own, when it is sent."""
    assert prepared(raw, rules=HeaderRules(add_missing=("to",))).adds_to is adds_to


def test_private_fields_are_taken_out(prepared):
    """Bcc and what says how to treat a message are not for the recipients."""
    result = prepared(
        b"Date: Thu, 16 May 2024 10:00:00 +0000\r\nBCC: x@y.test,\r\n z@y.test\r\n"
        b"Message-ID: <a@b.test>\r\nbcc : w@y.test\r\nX-Sending-Zone: Bulk\r\n"
        b"x-tenant: Acme\r\n  Inc.\r\nX-Delivery-Priority: Transactional\r\n"
        b"X-TENANT: other\r\n"
    )

    assert b"y.test" not in result.header
    assert sorted({name for name, _ in result.section.fields()}) == [
        "date",
        "message-id",
    ]
    assert result.requested_zone == "bulk"
    assert result.requested_tenant == "Acme  Inc."
    assert result.requested_priority == "Transactional"


@pytest.mark.parametrize(
    "date",
    [
        b"yesterday",
        b"Thu, 01 Jan 1970 00:00:00 +0000",
        b"9" * 5000,
        b"Thu, 99 Foo 99999999999 99:99:99 +9999",
        b"",
    ],
)
def test_date_that_is_none_is_replaced(prepared, noon, date):
    """Date is required (RFC 5322 §3.6); a broken one misleads."""
    result = prepared(b"Date: " + date + b"\r\nMessage-ID: <a@b>\r\n")

    assert result.date == noon
    assert result.section.count("date") == 1


def test_date_without_zone_is_utc():
    """RFC 5322 §3.3: -0000 says nothing about the place."""
    assert parse_date("Thu, 16 May 2024 10:00:00 -0000") == datetime(
        2024, 5, 16, 10, tzinfo=UTC
    )


def test_subject_is_cut_for_display(prepared):
    """The header keeps it whole."""
    result = prepared(b"Subject: " + b"x" * 900 + b"\r\n")

    assert result.subject == "x" * 128
    assert b"x" * 900 in result.header


def test_hundred_hops_pass_and_more_do_not(prepared):
    """RFC 5321 §6.3 wants a limit of at least 100."""
    assert prepared(b"Received: x\r\n" * 100)

    with pytest.raises(Rejected) as refusal:
        prepared(b"Received: x\r\n" * 101)

    assert str(refusal.value.reply).startswith("554 5.4.6")


def test_header_of_twenty_thousand_fields_is_refused(prepared):
    """A count no real message has."""
    with pytest.raises(Rejected):
        prepared(b"X: y\r\n" * 20_000)


def test_envelope_is_read_from_the_header():
    """From, then To, Cc and Bcc, each address once."""
    section = HeaderSection.parse(
        b"From: Ada <Ada@EXAMPLE.test>, x@y.test\r\nSender: s@y.test\r\n"
        b"To: b@c.test, Group: d@e.test, B <b@C.test>;\r\nCc: f@g.test\r\n"
        b"Bcc: d@e.test, h@i.test\r\nTo: j@k.test\r\n"
    )

    assert extract_envelope(section) == (
        "Ada@example.test",
        ("b@c.test", "d@e.test", "j@k.test", "f@g.test", "h@i.test"),
    )


def test_sender_stands_in_for_from():
    """When From holds no address."""
    section = HeaderSection.parse(
        b"From: nobody\r\nSender: s@y.test\r\nTo: a@b.test\r\n"
    )

    assert extract_envelope(section) == ("s@y.test", ("a@b.test",))


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"To: a@b.test\r\n", "5.6.0", id="no sender"),
        pytest.param(b"From: a@b.test\r\n", "5.5.1", id="no recipient"),
        pytest.param(b"From: a@b.test\r\nTo: a@-b-\r\n", "5.1.3", id="bad recipient"),
        pytest.param(b"From: a@-b-\r\nTo: a@b.test\r\n", "5.1.7", id="bad sender"),
        pytest.param(b"From: a@b.test\r\nTo: \xff@b.test\xff\r\n", "5.1.3", id="junk"),
        pytest.param(
            b"From: a@b.test\r\nTo: a@b.test, c@b.test, d@b.test\r\n",
            "5.5.3",
            id="too many",
        ),
    ],
)
def test_envelope_that_cannot_be_read_is_refused(raw, status):
    """No recipient is dropped in silence."""
    with pytest.raises(Rejected) as refusal:
        extract_envelope(HeaderSection.parse(raw), max_recipients=2)

    assert str(refusal.value.reply.status) == status
