import re

import pytest

from mta.mail.header import HeaderSection
from mta.mail.trace import format_received


@pytest.fixture
def received(an_envelope):
    def build(recipient="bob@example.test", **facts):
        return format_received(
            an_envelope(**facts),
            by="mta.example.test",
            name="celery-mta",
            delivery_id="1877ab.001",
            recipient=recipient,
        )

    return build


def test_received_says_the_whole_way(received):
    """From, by, with, id, for and when (RFC 5321 §4.4)."""
    field = received(
        helo="client.test", origin="192.0.2.7", origin_host="ptr.test", user="ada"
    )

    assert field == (
        b"Received: from client.test (ptr.test [192.0.2.7])\r\n"
        b" (Authenticated sender: ada)\r\n"
        b" by mta.example.test (celery-mta) with ESMTP id 1877ab.001\r\n"
        b" for <bob@example.test>;\r\n"
        b" Fri, 17 May 2024 12:00:00 +0000\r\n"
    )


def test_received_says_how_it_was_encrypted(received):
    """As far as the session knows: a proxy may have done it."""
    field = received(protocol="ESMTPS", tls="TLSv1.3 TLS_AES_256_GCM_SHA384")

    assert b" (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384);\r\n" in field
    assert b"version" not in received(tls="TLS")


@pytest.mark.parametrize(
    ("facts", "clause"),
    [
        ({}, b"from localhost\r\n"),
        (
            {"origin": "2001:db8::1"},
            b"from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n",
        ),
        (
            {"origin": "192.0.2.7", "origin_host": "[192.0.2.7]", "helo": "h"},
            b"from h ([192.0.2.7])\r\n",
        ),
        (
            {"origin": "192.0.2.7", "origin_host": "ptr.test."},
            b"from ptr.test (ptr.test [192.0.2.7])\r\n",
        ),
        (
            {"origin": "192.0.2.7", "origin_host": "evil)\r\nX: y", "helo": "h"},
            b"from h ([192.0.2.7])\r\n",
        ),
        ({"origin": "junk", "helo": "h"}, b"from h\r\n"),
    ],
)
def test_origin_is_written_by_the_grammar(received, facts, clause):
    """TCP-info holds the literal, and the name only if it is one."""
    assert clause in received(**facts)


@pytest.mark.parametrize(
    "evil",
    [
        "x\r\nBcc: a@b.test",
        "x\nY: z",
        "x) by evil.test (y",
        "x\x00\u2028é",
        "x; Fri, 1 Jan 1999 00:00:00 +0000",
        "y" * 10_000,
    ],
)
def test_client_words_cannot_leave_their_place(received, evil):
    """A hostile HELO, user or protocol writes no field, comment or date."""
    field = received(
        helo=evil, origin="192.0.2.7", origin_host=evil, user=evil, protocol=evil
    )

    section = HeaderSection.parse(field)
    assert [name for name, _ in section.fields()] == ["received"]
    assert max(map(len, field.split(b"\r\n"))) <= 998
    assert field.isascii()
    outside = re.sub(rb"\((?:[^()\\]|\\.)*\)", b"", field)
    assert not re.search(rb"[()\x00]", outside)
    assert outside.count(b" by ") == 1
    assert outside.count(b";") == 1


@pytest.mark.parametrize("recipient", ["a>\r\nX: y@b.test", "bare", "a b@c.test"])
def test_recipient_that_is_no_address_is_left_out(received, recipient):
    """The for clause is optional; a broken one is worse than none."""
    assert b" for " not in received(recipient)


def test_recipient_beyond_ascii_is_written_as_it_is(received):
    """It travels by SMTPUTF8 alone, where fields are UTF-8 (RFC 6532)."""
    assert " for <jõgeva@jõgeva.ee>;".encode() in received("jõgeva@jõgeva.ee")
