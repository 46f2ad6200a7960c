"""Signatures: what they cover, how they are written, and that they hold."""

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mta.config.dkim import DkimConfig
from mta.config.signing_key import parse_signing_key
from mta.mail.dkim_sign import (
    MAX_INSTANCES,
    SignedHeader,
    Signer,
    SigningTerms,
    identity_of,
    relax_field,
)
from tests.support.signing import records_of, send_out, take_in, verdicts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

# RFC 8463 appendix A: a message, two keys, and what they make of it.
RFC_8463_ED25519 = b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RFC_8463_RSA = b"""-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
RFC_8463_MESSAGE = b"""\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.

"""
RFC_8463_FIELDS = {
    RFC_8463_ED25519: b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
""",
    RFC_8463_RSA: b"""\
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
""",
}

RSA = Signer("a.test", "r1", parse_signing_key(RFC_8463_RSA))
ED25519 = Signer("a.test", "e1", parse_signing_key(RFC_8463_ED25519))
RECORDS = records_of([RSA, ED25519])
_DEFAULT = DkimConfig()
TERMS = SigningTerms(
    fields=_DEFAULT.signed_fields, oversigned=frozenset(_DEFAULT.oversign)
)


def sign(header, terms=TERMS, signer=ED25519, author=""):
    """The one field for a header section, as text."""
    signed = SignedHeader(header, terms)
    return signed.sign(signer, "aGFzaA==", now=NOON, author=author).decode("ascii")


def tags(field):
    """The tags of a signature field, folds undone."""
    value = field.partition(":")[2].replace("\r\n", "")
    pairs = (tag.partition("=") for tag in value.split(";"))
    return {name.strip(): "".join(text.split()) for name, _, text in pairs}


@pytest.mark.parametrize("key", RFC_8463_FIELDS, ids=["ed25519", "rsa"])
def test_the_examples_of_rfc_8463_come_out_to_the_octet(key):
    """Its appendix A: both algorithms sign the same octets deterministically."""
    header, _, body_hash = take_in(RFC_8463_MESSAGE)
    field = RFC_8463_FIELDS[key].replace(b"\n", b"\r\n")
    unsigned, _, value = field.partition(b" b=")
    names = ("from", "to", "subject", "date", "message-id")
    terms = SigningTerms(fields=names, oversigned={"from", "subject", "date"})

    covered = SignedHeader(header, terms).covered
    data = covered + relax_field(unsigned + b" b=").removesuffix(b"\r\n")
    signature = parse_signing_key(key).sign(data)

    assert b"bh=" + body_hash.encode() in field
    assert b64encode(signature) == b"".join(value.split())


@pytest.mark.parametrize(
    ("field", "relaxed"),
    [
        (b"A: X\r\n", b"a:X\r\n"),
        (b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
        (b"C:\r\n \r\n\r\n", b"c:\r\n"),
        (b"Subject: a:b\r\n", b"subject:a:b\r\n"),
        ("X:\xa0ü \r\n".encode(), "x:\xa0ü\r\n".encode()),
        (b"D: no line end", b"d:no line end\r\n"),
    ],
)
def test_relaxed_fields(field, relaxed):
    """The first two are the RFC's own example (RFC 6376 §3.4.5)."""
    assert relax_field(field) == relaxed


def test_a_field_is_signed_as_often_as_it_is_there_and_once_more():
    """From the bottom up; the one time more is what nobody can add (§8.15)."""
    header = b"From: a\r\nTo: one\r\nX: y\r\nTo: two\r\nKeywords: z\r\n"
    terms = SigningTerms(fields=("from", "to", "cc", "keywords"), oversigned={"to"})

    signed = SignedHeader(header, terms)

    assert signed.names == ["from", "to", "to", "to", "keywords"]
    assert signed.covered == b"from:a\r\nto:two\r\nto:one\r\nkeywords:z\r\n"


def test_what_is_oversigned_is_listed_even_if_it_is_not_there():
    field = sign(b"From: a\r\n")

    names = tags(field)["h"].split(":")
    assert names.count("from") == 2
    assert names.count("subject") == names.count("list-unsubscribe") == 1
    assert "references" not in names


def test_a_name_that_is_there_very_often_is_not_listed_for_ever():
    """The lowest ones are covered: the list must stay one that can be read."""
    header = b"From: a\r\n" + b"".join(b"Cc: %d\r\n" % n for n in range(100))

    signed = SignedHeader(header, SigningTerms(fields=("from", "cc")))

    assert signed.names.count("cc") == MAX_INSTANCES
    assert signed.covered.startswith(b"from:a\r\ncc:99\r\ncc:98\r\n")


def test_the_tags_say_how_and_when():
    terms = SigningTerms(fields=("from",), expire_in=timedelta(days=7))

    found = tags(sign(b"From: a\r\n", terms, author="ada@news.a.test"))

    signed_at = int(NOON.timestamp())
    expected = {
        "v": "1",
        "a": "ed25519-sha256",
        "c": "relaxed/relaxed",
        "d": "a.test",
        "s": "e1",
        "t": str(signed_at),
        "x": str(signed_at + 7 * 86_400),
        "i": "ada@news.a.test",
        "h": "from",
        "bh": "aGFzaA==",
    }
    assert {name: found[name] for name in expected} == expected
    assert list(found) == [*expected, "b"]


def test_the_time_can_be_left_out():
    terms = SigningTerms(fields=("from",), has_timestamp=False)

    assert tags(sign(b"From: a\r\n", terms)).keys().isdisjoint({"t", "x", "i"})


@pytest.mark.parametrize(
    ("author", "identity"),
    [
        ("ada@a.test", "ada@a.test"),
        ("ada+x@news.a.test", "ada+x@news.a.test"),
        ("ada@nota.test", "@a.test"),
        ("ada@b.test", "@a.test"),
        ('"a; b=c"@a.test', "@a.test"),
        ("a=b@a.test", "@a.test"),
        ("büro@a.test", "@a.test"),
        ("büro@bücher.a.test", "@xn--bcher-kva.a.test"),
        ("ada@a;b=c.a.test", "@a.test"),
        ("ada@..a.test", "@a.test"),
    ],
)
def test_an_author_is_named_where_that_can_be(author, identity):
    """Within the signing domain, in characters that no tag is made of (§3.5)."""
    assert identity_of(author, "a.test") == identity


@pytest.mark.parametrize("signer", [RSA, ED25519], ids=["rsa", "ed25519"])
def test_no_line_is_long(signer):
    """Fields are folded for relays that would fold them otherwise (RFC 5322 §2.1.1)."""
    long = Signer(".".join(["label" * 10] * 4), "selector" * 7, signer.key)
    header = b"From: a\r\n" + b"Reply-To: b\r\n" * 40

    lines = sign(header, signer=long).split("\r\n")

    words = max(len(f" d={long.domain};"), 78)
    assert lines[-1] == ""
    assert max(map(len, lines)) <= words
    assert all(line.startswith((" ", "DKIM-Signature: v=1;")) for line in lines[:-1])
    assert [line for line in lines[:-1] if not line.strip()] == []


def test_a_second_from_below_ours_breaks_the_signature():
    """Some readers would show it (§8.15)."""
    sent = send_out(RFC_8463_MESSAGE, [ED25519], TERMS)
    header, _, body = sent.partition(b"\r\n\r\n")

    added = header + b"\r\nFrom: eve@evil.test\r\n\r\n" + body

    assert verdicts(sent, RECORDS.get) == [True]
    assert verdicts(added, RECORDS.get) == [False]


NAMES = st.sampled_from(
    [
        *("From", "To", "to", "CC", "Subject", "SUBJECT", "Date", "Message-ID"),
        *("Content-Type", "MIME-Version", "List-Unsubscribe", "Received", "X-Other"),
        *("DKIM-Signature", "References", "Reply-To", "List-Unsubscribe-Post"),
    ]
)
# No VT and FF: dkimpy takes them for blanks, and RFC 5234 does not.
WORDS = st.binary(min_size=1, max_size=40).map(
    lambda octets: re.sub(rb"[\x00-\x20\x7f]", b"x", octets)
)
BLANKS = st.sampled_from([b" ", b"\t", b"  ", b" \t ", b"\r\n ", b"\r\n\t", b" \r\n  "])
VALUES = st.lists(st.tuples(BLANKS, WORDS), max_size=8).flatmap(
    lambda parts: st.sampled_from([b"", b" ", b"\t", b" \r\n "]).map(
        lambda end: b"".join(blank + word for blank, word in parts) + end
    )
)
LONG = st.integers(1, 3_000).map(lambda size: b" " + b"y" * size)
FIELDS = st.lists(st.tuples(NAMES, VALUES | LONG), max_size=12)
BODIES = st.one_of(
    st.just(b""),
    st.integers(1, 50).map(lambda count: b"\r\n" * count),
    st.binary(max_size=400),
    st.lists(
        st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"x", b".", b"\xff"]),
        max_size=80,
    ).map(b"".join),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")),
)


@pytest.mark.parametrize("signer", [RSA, ED25519], ids=["rsa", "ed25519"])
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(fields=FIELDS, body=BODIES, seconds=st.integers(0, 1))
@example(fields=[], body=b"", seconds=0)
@example(fields=[("From", b" a"), ("From", b" b\r\n c")], body=b"\r\n\r\n", seconds=1)
@example(fields=[("Subject", b"")], body=b" ", seconds=0)
def test_dkimpy_takes_every_signature(signer, fields, body, seconds):
    """Whatever the header and the body are, as intake stores them."""
    header = b"From: <ada@a.test>\r\n" + b"".join(
        name.encode() + b":" + value + b"\r\n" for name, value in fields
    )
    terms = SigningTerms(
        fields=TERMS.fields,
        oversigned=TERMS.oversigned,
        expire_in=timedelta(hours=1) if seconds else None,
    )

    sent = send_out(header + b"\r\n" + body, [signer], terms, author="ada@a.test")

    assert verdicts(sent, RECORDS.get)[0] is True
