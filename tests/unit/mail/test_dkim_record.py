"""Records in DNS: how ours are written, and what is wrong with those that are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.signing_key import ED25519, RSA
from mta.mail.dkim_record import (
    find_fault,
    format_record,
    parse_record,
    record_name,
    split_record,
)

WANT = format_record(RSA, "QUJD")


def test_a_record_of_each_kind():
    """RFC 6376 §3.6.1, RFC 8463 §4."""
    assert record_name("a.test", "s1") == "s1._domainkey.a.test"
    assert WANT == "v=DKIM1; k=rsa; p=QUJD"
    assert format_record(ED25519, "QUJD") == "v=DKIM1; k=ed25519; p=QUJD"


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=900))
def test_strings_have_255_octets_at_most(text):
    """And are the record again when they are put together (RFC 1035 §3.3)."""
    pieces = split_record(text)

    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 255 for piece in pieces)


@pytest.mark.parametrize(
    "text",
    [
        WANT,
        "p=QUJD",
        "v=DKIM1;k=rsa;p=QU JD;",
        " v = DKIM1 ; h=sha1:sha256; s=*; t=y; n=note; p= QUJD ",
        "v=DKIM1; s=email; p=QUJD; x=y",
    ],
)
def test_a_record_that_fits(text):
    """Tags that we do not write may be there."""
    assert find_fault(["v=spf1 -all", text], WANT) == ""


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ([], "there is no record"),
        (["v=spf1 -all"], "no p="),
        (["v=DKIM1; p=QUJD; p=QUJD"], "no p="),
        (["v=DKIM1; p=QUJE"], "another key"),
        (["v=DKIM1; p="], "revoked"),
        (["v=DKIM2; p=QUJD"], "version"),
        (["v=DKIM1; k=ed25519; p=QUJD"], "a key of type 'ed25519'"),
        (["v=DKIM1; h=sha1; p=QUJD"], "sha256"),
        (["v=DKIM1; s=other; p=QUJD"], "not for mail"),
        ([WANT, WANT], "several records"),
    ],
)
def test_a_record_that_does_not_fit_is_told_why(texts, fault):
    assert fault in find_fault(texts, WANT)


@given(st.text(max_size=200))
def test_whatever_dns_has_can_be_read(text):
    """Others write it."""
    parse_record(text)
    find_fault([text], WANT)
