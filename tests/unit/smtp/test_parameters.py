"""Values of the parameters of MAIL and RCPT."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery import Notify
from mta.smtp.parameters import (
    MAX_AUTH,
    MAX_ENVID,
    MAX_ORCPT,
    Body,
    DeliverBy,
    parse_auth_mailbox,
    parse_body,
    parse_by,
    parse_envid,
    parse_hold_for,
    parse_hold_until,
    parse_notify,
    parse_orcpt,
    parse_ret,
    parse_size,
)
from mta.smtp.xtext import encode_utf8_addr_xtext, encode_xtext

PARSERS = [
    parse_notify,
    partial(parse_orcpt, smtputf8=False),
    partial(parse_orcpt, smtputf8=True),
    parse_envid,
    parse_ret,
    parse_hold_for,
    parse_hold_until,
    parse_by,
    parse_auth_mailbox,
    parse_body,
    parse_size,
]

# What isprintable() knows and people do not see.
UNSEEN = ["\x00", "\t", "\r", "\n", "\x1b", "\x7f", "\x85", "\xa0", "\u200b", "\u2028"]
UNSEEN += ["\u202e", "\u3000", "\ufeff"]


def outcome(parse, value):
    try:
        return parse(value)
    except ValueError as error:
        return error


def refusal_of(parse, value, **options):
    with pytest.raises(ValueError, match=r"^[A-Z]+ [ -~]+$") as refused:
        parse(value, **options)
    assert type(refused.value) is ValueError
    return str(refused.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("NEVER", {Notify.NEVER}),
        ("never", {Notify.NEVER}),
        ("SUCCESS", {Notify.SUCCESS}),
        ("Failure,DELAY", {Notify.FAILURE, Notify.DELAY}),
        ("DELAY,SUCCESS,FAILURE", {Notify.SUCCESS, Notify.FAILURE, Notify.DELAY}),
    ],
)
def test_notify(value, expected):
    """Any order, any case (RFC 3461 §4.1)."""
    assert parse_notify(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "ALWAYS",
        "NEVER,",
        ",NEVER",
        "NEVER,NEVER",
        "NEVER,SUCCESS",
        "SUCCESS,SUCCESS",
        "SUCCESS,,DELAY",
        "SUCCESS;DELAY",
        "SUCCESS,OTHER",
        "succeſs",
        "SUCCEß",
        "SUCCESS," * 1000 + "DELAY",
    ],
)
def test_notify_that_is_none(value):
    """NEVER stands alone, and nothing is said twice."""
    text = refusal_of(parse_notify, value)

    assert text == "NOTIFY takes NEVER, or SUCCESS, FAILURE and DELAY"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("rfc822;ada@example.test", "rfc822;ada@example.test", id="plain"),
        pytest.param(
            "RFC822;Ada@Example.test", "rfc822;Ada@Example.test", id="case of the type"
        ),
        pytest.param(
            "rfc822;ada+2Btag+3Dx@example.test",
            "rfc822;ada+tag=x@example.test",
            id="xtext",
        ),
        pytest.param(
            "rfc822;+22ada+20b+22@example.test",
            'rfc822;"ada b"@example.test',
            id="blank in quotes",
        ),
        pytest.param("x400;/C=GB/", None, id="equals sign"),
        pytest.param("x400;/C+3DGB/;a", "x400;/C=GB/;a", id="second semicolon"),
        pytest.param("x-new+1;+C3", None, id="half a character"),
        pytest.param("unknown;ada", "unknown;ada", id="other type"),
        pytest.param("UTF-8;ada@a.test", "utf-8;ada@a.test", id="utf-8 that is ASCII"),
        pytest.param(
            r"utf-8;zo\x{EB}\x{2B}x@example.test",
            "utf-8;zoë+x@example.test",
            id="utf-8 in ASCII",
        ),
        pytest.param(r"utf-8;a+2Bb@example.test", None, id="utf-8 as xtext"),
        pytest.param(r"utf-8;a\b@example.test", None, id="utf-8 with a backslash"),
        pytest.param(r"utf-8;\x{D800}", None, id="utf-8 with half a pair"),
        pytest.param("rfc822;zo+C3+AB@example.test", None, id="beyond ASCII"),
        pytest.param(r"rfc822;a\x{41}", r"rfc822;a\x{41}", id="no escape in xtext"),
    ],
)
@pytest.mark.parametrize("smtputf8", [False, True])
def test_orcpt(value, expected, smtputf8):
    """The type says how the address is encoded (RFC 3461 §4.2, RFC 6533 §3)."""
    if expected is None:
        assert refusal_of(parse_orcpt, value, smtputf8=smtputf8).startswith("ORCPT ")
    else:
        assert parse_orcpt(value, smtputf8=smtputf8) == expected


def test_orcpt_with_utf_8_needs_smtputf8():
    """Without it a command line is ASCII (RFC 6533 §3)."""
    value = "utf-8;zoë@bücher.test"

    assert parse_orcpt(value, smtputf8=True) == value
    assert refusal_of(parse_orcpt, value, smtputf8=False)


def test_orcpt_of_another_type_has_no_utf_8():
    """xtext is ASCII whatever the transaction is."""
    assert refusal_of(parse_orcpt, "rfc822;zoë@example.test", smtputf8=True)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "rfc822",
        "rfc822;",
        "rfc822;+20",
        ";ada@example.test",
        " rfc822;ada@example.test",
        "rfc.822;ada@example.test",
        "rfc 822;ada@example.test",
        "<rfc822>;ada@example.test",
        "rfc822\n;ada@example.test",
        "ſ;ada@example.test",
        "utf-8;",
    ],
)
@pytest.mark.parametrize("smtputf8", [False, True])
def test_orcpt_of_no_known_shape(value, smtputf8):
    """An atom, a semicolon, and an address that is not empty."""
    assert refusal_of(parse_orcpt, value, smtputf8=smtputf8).startswith("ORCPT ")


@pytest.mark.parametrize("character", UNSEEN)
def test_orcpt_never_hides_anything(character):
    """It is written into a DSN: a CR or LF would begin a field of the sender's own."""
    address = f"ada{character}@example.test"
    escaped = rf"ada\x{{{ord(character):X}}}@example.test"

    assert refusal_of(parse_orcpt, f"rfc822;{encode_xtext(address)}", smtputf8=False)
    assert refusal_of(parse_orcpt, f"utf-8;{escaped}", smtputf8=False)
    assert refusal_of(parse_orcpt, f"utf-8;{escaped}", smtputf8=True)
    assert refusal_of(parse_orcpt, f"utf-8;{address}", smtputf8=True)


def test_orcpt_is_measured_as_it_is_written():
    """500 characters, type and codes included (RFC 3461 §4.2)."""
    longest = "rfc822;" + "a" * (MAX_ORCPT - 10) + "+2B"

    assert parse_orcpt(longest, smtputf8=False).endswith("a+")
    assert "500" in refusal_of(parse_orcpt, longest + "a", smtputf8=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("QQ314159", "QQ314159"), ("a+2Bb+20c", "a+b c"), ("x" * MAX_ENVID, "x" * 100)],
)
def test_envid(value, expected):
    """Printable ASCII, blanks too, once it is decoded (RFC 3461 §4.4)."""
    assert parse_envid(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "+20", "a=b", "a+", "a b", "zoë", "zo+C3+AB", "a+0D+0AX:", "a+00", "x" * 101],
)
def test_envid_that_is_none(value):
    """It comes back in a field of a DSN."""
    assert refusal_of(parse_envid, value).startswith("ENVID ")


def test_envid_is_measured_as_it_is_written():
    """100 characters of xtext (RFC 3461 §4.4)."""
    assert parse_envid("+41" * 33) == "A" * 33
    assert refusal_of(parse_envid, "+41" * 34)


@pytest.mark.parametrize(
    ("value", "expected"), [("FULL", "FULL"), ("hdrs", "HDRS"), ("Hdrs", "HDRS")]
)
def test_ret(value, expected):
    """One of two words (RFC 3461 §4.3)."""
    assert parse_ret(value) == expected


@pytest.mark.parametrize("value", ["", "BODY", "FULL,HDRS", "HDRſ", "FULL "])
def test_ret_that_is_none(value):
    """No other word, and no letter that only turns into one of ASCII."""
    assert refusal_of(parse_ret, value) == "RET takes FULL or HDRS"


@pytest.mark.parametrize(
    ("value", "seconds"), [("1", 1), ("0060", 60), ("999999999", 999_999_999)]
)
def test_hold_for(value, seconds):
    """One to nine digits (RFC 4865 §4)."""
    assert parse_hold_for(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "0", "000", "-1", "+1", "1.5", "1e3", "1_0", " 1", "１", "1" * 10]
)
def test_hold_for_that_is_none(value):
    """No time at all is no hold, and int() takes more than digits."""
    assert refusal_of(parse_hold_for, value).startswith("HOLDFOR ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31t12:00:00z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00+02:30", datetime(2030, 1, 31, 9, 30, tzinfo=UTC)),
        ("2030-01-31T23:30:00-01:00", datetime(2030, 2, 1, 0, 30, tzinfo=UTC)),
        ("2030-01-31T12:00:00-00:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2028-02-29T00:00:00.5Z", datetime(2028, 2, 29, 0, 0, 0, 500000, tzinfo=UTC)),
        (
            f"2030-01-31T12:00:00.{'1' * 1000}Z",
            datetime(2030, 1, 31, 12, 0, 0, 111111, tzinfo=UTC),
        ),
    ],
)
def test_hold_until(value, expected):
    """RFC 3339, with any offset (RFC 4865 erratum 2040); out comes UTC."""
    instant = parse_hold_until(value)

    assert instant == expected
    assert instant.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-01-31 12:00:00Z",
        "2030-01-31T12:00Z",
        "20300131T120000Z",
        "2030-W05-4T12:00:00Z",
        "2030-02-30T12:00:00Z",
        "2030-13-01T12:00:00Z",
        "2029-02-29T12:00:00Z",
        "2030-01-31T25:00:00Z",
        "2030-01-31T12:60:00Z",
        "2030-06-30T23:59:60Z",
        "2030-01-31T12:00:00.Z",
        "2030-01-31T12:00:00,5Z",
        "2030-01-31T12:00:00+2:00",
        "2030-01-31T12:00:00+0200",
        "2030-01-31T12:00:00+24:00",
        "2030-01-31T12:00:00+01:60",
        "2030-01-31T12:00:00+01:00:30",
        "2030-01-31T12:00:00ZZ",
        "2030-01-31T12:00:00Z\n",
        "２030-01-31T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "12030-01-31T12:00:00Z",
    ],
)
def test_hold_until_that_is_none(value):
    """Not all of ISO 8601, and nothing that a datetime in UTC cannot be."""
    assert refusal_of(parse_hold_until, value).startswith("HOLDUNTIL ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120;R", DeliverBy(120, "R")),
        ("+120;rt", DeliverBy(120, "R", is_traced=True)),
        ("1;RT", DeliverBy(1, "R", is_traced=True)),
        ("0;N", DeliverBy(0, "N")),
        ("-0;n", DeliverBy(0, "N")),
        ("-999999999;NT", DeliverBy(-999_999_999, "N", is_traced=True)),
        ("999999999;N", DeliverBy(999_999_999, "N")),
    ],
)
def test_by(value, expected):
    """RFC 2852 §4; with N the time may be used up."""
    assert parse_by(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "120",
        "120;",
        ";R",
        "R;120",
        "120;X",
        "120;T",
        "120;RN",
        "120;TR",
        "120;RTT",
        "120; R",
        "+-1;N",
        "1.5;N",
        "1_0;N",
        "１;N",
        "1234567890;N",
        "1;R\n",
        "0;R",
        "+0;RT",
        "-1;R",
    ],
)
def test_by_that_is_none(value):
    """RFC 2852 §4: nothing can be returned in no time."""
    assert refusal_of(parse_by, value).startswith("BY ")


def test_deliver_by_that_cannot_be():
    """Nobody builds one that the wire could not say."""
    with pytest.raises(ValueError, match="above zero"):
        DeliverBy(0, "R")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<>", None),
        ("+3C+3E", None),
        ("ada@example.test", "ada@example.test"),
        ("ada+2Btag+3Dx@example.test", "ada+tag=x@example.test"),
        ("zo+C3+AB@example.test", "zoë@example.test"),
        ("a" * MAX_AUTH, "a" * 500),
    ],
)
def test_auth_mailbox(value, expected):
    """``<>``: not known, or not to be said (RFC 4954 §5)."""
    assert parse_auth_mailbox(value) == expected


@pytest.mark.parametrize(
    "value", ["", "+20", "a=b", "a b", "a+4", "zoë", "+FF", "a" * 501, "+41" * 167]
)
def test_auth_mailbox_that_is_none(value):
    """xtext, and not longer than what MAIL may grow by (RFC 4954 §3)."""
    assert refusal_of(parse_auth_mailbox, value).startswith("AUTH ")


@pytest.mark.parametrize("character", UNSEEN)
def test_auth_mailbox_never_hides_anything(character):
    """It goes into logs, and people read them."""
    value = encode_xtext(f"ada{character}@example.test")

    assert refusal_of(parse_auth_mailbox, value).startswith("AUTH ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7BIT", Body.SEVEN_BIT),
        ("7bit", Body.SEVEN_BIT),
        ("8BitMime", Body.EIGHT_BIT),
        ("binarymime", Body.BINARY),
    ],
)
def test_body(value, expected):
    """RFC 6152 §2 and RFC 3030 §3."""
    assert parse_body(value) is expected


@pytest.mark.parametrize("value", ["", "8BIT", "BINARY", "8BıTMIME", "7BIT,8BITMIME"])
def test_body_that_is_none(value):
    """Old clients say 8BIT; what they mean nobody has promised."""
    assert refusal_of(parse_body, value).startswith("BODY ")


@pytest.mark.parametrize(
    ("value", "expected"), [("0", 0), ("0010", 10), ("9" * 20, 10**20 - 1)]
)
def test_size(value, expected):
    """One to twenty digits (RFC 1870 §6)."""
    assert parse_size(value) == expected


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1e3", "1_0", " 1", "1\n", "１", "9" * 21]
)
def test_size_that_is_none(value):
    """int() takes more than digits, and would take its time."""
    assert refusal_of(parse_size, value).startswith("SIZE ")


@given(
    st.text()
    | st.from_regex(r"(rfc822|utf-8);(\\x\{[0-9A-F]{2,5}\}|\+[0-9A-F]{2}|[a-zë])*")
    | st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-]2\d:\d\d"
    )
)
def test_any_value_is_taken_or_refused(value):
    """Nothing but a plain ValueError in printable ASCII; what is kept is printable."""
    for parse in PARSERS:
        kept = outcome(parse, value)

        if isinstance(kept, ValueError):
            assert type(kept) is ValueError
            assert str(kept).isascii()
        assert not isinstance(kept, str | ValueError) or str(kept).isprintable()


@given(st.text(min_size=1, max_size=20))
def test_no_refusal_quotes_the_value(secret):
    """Whatever is wrong with it, the reply says the same of two values."""
    for parse in PARSERS:
        texts = {refusal_of(parse, "=" + secret + "\x00" + end) for end in ("", "\x01")}

        assert len(texts) == 1


@given(st.text(min_size=1, max_size=20).filter(str.isprintable))
def test_orcpt_reads_what_is_written(address):
    """Any printable address of type utf-8 survives, with and without SMTPUTF8."""
    address += "@example.test"
    value = f"utf-8;{encode_utf8_addr_xtext(address)}"

    assert parse_orcpt(value, smtputf8=False) == f"utf-8;{address}"
    assert parse_orcpt(value, smtputf8=True) == f"utf-8;{address}"
