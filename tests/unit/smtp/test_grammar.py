"""Arguments of HELO, MAIL and RCPT."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery import Notify
from mta.smtp.grammar import BadArgument, parse_helo, parse_mail, parse_rcpt
from mta.smtp.parameters import DeliverBy


def code_of(parse, *arguments, **options):
    with pytest.raises(BadArgument) as refused:
        parse(*arguments, **options)
    return refused.value.reply.code


def test_mail_with_all_parameters():
    """Parameters may come in any order and any case."""
    mail = parse_mail(b"from:<ada@example.test> body=8BitMIME SMTPUTF8 size=1000")

    assert (mail.reverse_path, mail.size) == ("ada@example.test", 1000)
    assert mail.body_8bit
    assert mail.smtputf8


def test_mail_without_parameters_announces_nothing():
    """Size unknown is not size zero (RFC 1870 §6.1)."""
    mail = parse_mail(b"FROM:<ada@example.test>")

    assert (mail.size, mail.body_8bit, mail.smtputf8) == (None, False, False)


@pytest.mark.parametrize("argument", [b"FROM:<>", b"FROM: <>", b"FROM:<> SIZE=1"])
def test_null_reverse_path(argument):
    """The null reverse path is the empty string (RFC 5321 §4.5.5)."""
    assert parse_mail(argument).reverse_path == ""


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.test",
        "ada+tag=x@example.test",
        "!#$%&'*+/=?^_`{|}~-@example.test",
        "a.b.c@a.b.c",
        "ada@localhost",
        "ada@a--b.test",
        "ada@under_score.test",
        '"ada lovelace"@example.test',
        '"a>b"@example.test',
        '"a\\"b@c"@example.test',
        '""@example.test',
        "ada%example.test@relay.test",
        "ada@[192.0.2.1]",
        "ada@[IPv6:2001:db8::1]",
        "x" * 64 + "@example.test",
        "ada@" + ".".join(["x" * 63] * 3 + ["y" * 63]),
    ],
)
def test_paths_that_are_taken(address):
    """RFC 5321 §4.1.2's mailbox, at its limits (§4.5.3.1) too."""
    assert parse_rcpt(f"TO:<{address}>".encode()).forward_path == address
    assert parse_mail(f"FROM:<{address}>".encode()).reverse_path == address


@pytest.mark.parametrize(
    "path",
    [
        "ada",
        "@example.test",
        "ada@",
        ".ada@example.test",
        "ada.@example.test",
        "ada..lovelace@example.test",
        "ada lovelace@example.test",
        '"ada"lovelace@example.test',
        "ada@-example.test",
        "ada@example-.test",
        "ada@example..test",
        "ada@example.test.",
        "ada@[192.0.2.256]",
        "ada@[2001:db8::1]",
        "ada@[IPv6:192.0.2.1]",
        "ada@[]",
        "ada@b@example.test",
        "ada(comment)@example.test",
        "",
    ],
)
def test_paths_that_are_none(path):
    """A recipient that is no mailbox is 553, a sender that is none 501."""
    assert code_of(parse_rcpt, f"TO:<{path}>".encode()) == 553
    if path:
        assert code_of(parse_mail, f"FROM:<{path}>".encode()) == 501


@pytest.mark.parametrize(
    "address",
    [
        "x" * 65 + "@example.test",
        "é" * 33 + "@example.test",
        "ada@" + ".".join(["x" * 63] * 4) + ".y",
        "ada@" + "x" * 64 + ".test",
    ],
    ids=["local part", "local part in octets", "domain", "label"],
)
def test_paths_that_are_too_long(address):
    """RFC 5321 §4.5.3.1 counts octets."""
    assert code_of(parse_rcpt, f"TO:<{address}>".encode(), smtputf8=True) == 501


def test_source_route_is_dropped():
    """RFC 5321 §4.1.1.3: accepted, stripped, and never followed."""
    rcpt = parse_rcpt(b"TO:<@relay.test,@other.test:ada@example.test>")

    assert rcpt.forward_path == "ada@example.test"


@pytest.mark.parametrize("path", [b"Postmaster", b"postmaster", b"POSTMASTER"])
def test_postmaster_needs_no_domain(path):
    """RFC 5321 §4.5.1: this one mailbox exists everywhere."""
    assert parse_rcpt(b"TO:<" + path + b">").forward_path == path.decode()


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"TO",
        b"TO:",
        b"TO:ada@example.test",
        b"TO:<ada@example.test",
        b"TO:ada@example.test>",
        b"TO :<ada@example.test>",
        b"TO:  <ada@example.test>",
        b"TO:<ada@example.test>NOTIFY=NEVER",
        b"TO:<<ada@example.test>>",
        b"TO:Ada <ada@example.test>",
        b"FROM:<ada@example.test>",
        b"TO:<\xff@example.test>",
        b'TO:<"ada@example.test>',
    ],
)
def test_rcpt_of_no_known_shape(argument):
    """What has no path in brackets is a syntax error."""
    assert code_of(parse_rcpt, argument, smtputf8=True) == 501


@pytest.mark.parametrize(
    "parameters",
    [
        b"SIZE",
        b"SIZE=",
        b"SIZE=-1",
        b"SIZE=1e3",
        b"SIZE=" + b"9" * 21,
        b"SIZE=1 SIZE=1",
        b"BODY",
        b"BODY=9BIT",
        b"RET=ALL",
        b"ENVID=+0A",
        b"REQUIRETLS=1",
        b"HOLDFOR=0",
        b"HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z",
        b"BY=0;R",
        b"BODY=7BIT BODY=8BITMIME",
        b"SMTPUTF8=YES",
        b"=1",
        b"-X=1",
        b"SIZE=1=2",
    ],
)
def test_bad_parameters(parameters):
    """A known parameter with a bad value, or twice, is 501."""
    assert code_of(parse_mail, b"FROM:<> " + parameters) == 501


@pytest.mark.parametrize(
    "parameter", [b"RET=HDRS", b"AUTH=<>", b"BODY=BINARYMIME", b"X-NEW"]
)
def test_unknown_parameter_of_mail(parameter):
    """RFC 5321 §4.1.1.11: what was not offered is 555."""
    few = {"SIZE", "8BITMIME"}
    assert code_of(parse_mail, b"FROM:<> " + parameter, extensions=few) == 555


@pytest.mark.parametrize("parameter", [b"NOTIFY=NEVER", b"SIZE=1"])
def test_unknown_parameter_of_rcpt(parameter):
    """Nor are those of MAIL known here."""
    argument = b"TO:<ada@example.test> " + parameter
    assert code_of(parse_rcpt, argument, extensions={"SIZE"}) == 555


def test_everything_a_sender_may_ask_for():
    """Each parameter comes out as a value."""
    mail = parse_mail(
        b"FROM:<> RET=hdrs ENVID=QQ+2B1 REQUIRETLS HOLDFOR=60 BY=120;R"
        b" AUTH=ada+40a.test"
    )

    assert (mail.ret, mail.envid, mail.require_tls) == ("HDRS", "QQ+1", True)
    assert mail.hold_for == timedelta(minutes=1)
    assert mail.by == DeliverBy(120, "R")
    assert mail.auth == "ada@a.test"


def test_what_is_asked_for_one_recipient():
    """And nothing of it stands in the address."""
    rcpt = parse_rcpt(
        b"TO:<bob@b.test> NOTIFY=DELAY,success ORCPT=rfc822;bob+2Bx@b.test"
    )

    assert rcpt.notify == {Notify.SUCCESS, Notify.DELAY}
    assert rcpt.orcpt == "rfc822;bob+x@b.test"


def test_an_original_recipient_beyond_ascii():
    """RFC 6533 §3: as it is with SMTPUTF8, escaped without."""
    plain = "TO:<bob@b.test> ORCPT=utf-8;zoë@b.test".encode()
    escaped = rb"TO:<bob@b.test> ORCPT=utf-8;zo\x{EB}@b.test"

    assert parse_rcpt(plain, smtputf8=True).orcpt == "utf-8;zoë@b.test"
    assert parse_rcpt(escaped).orcpt == "utf-8;zoë@b.test"
    assert code_of(parse_rcpt, plain) == 501


def test_address_beyond_ascii_needs_smtputf8():
    """RFC 6531 §3.5: 553 5.6.7 without the parameter."""
    assert code_of(parse_mail, "FROM:<zoë@example.test>".encode()) == 553
    assert code_of(parse_rcpt, "TO:<ada@bücher.test>".encode()) == 553


def test_address_beyond_ascii_with_smtputf8():
    """Local part and domain may both go beyond ASCII (RFC 6531 §3.3)."""
    rcpt = parse_rcpt("TO:<zoë@bücher.test>".encode(), smtputf8=True)

    assert rcpt.forward_path == "zoë@bücher.test"


@pytest.mark.parametrize(
    "character",
    ["\u0085", "\u00a0", "\u00ad", "\u200b", "\u202e", "\u2028", "\u3000", "\ufeff"],
)
def test_invisible_characters_are_refused(character):
    """Two addresses that look alike must be alike."""
    argument = f"TO:<ad{character}a@example.test>".encode()

    assert code_of(parse_rcpt, argument, smtputf8=True) == 553


@pytest.mark.parametrize(
    "name", [b"client.test", b"[192.0.2.1]", b"[IPv6:::1]", b"x_y"]
)
def test_helo_names(name):
    """Any one word will do; few clients know their own name."""
    assert parse_helo(name + b" ") == name.decode()


@pytest.mark.parametrize("name", [b"", b" ", b"a b", b"\xc3\xa9", b"x" * 256])
def test_helo_without_a_name(name):
    """HELO and EHLO need an argument (RFC 5321 §4.1.1.1)."""
    assert code_of(parse_helo, name) == 501


@given(st.binary(max_size=200))
def test_any_octets_are_taken_or_refused(octets):
    """No argument makes the parsers raise anything but BadArgument."""
    for parse, prefix in ((parse_mail, b"FROM:<"), (parse_rcpt, b"TO:<")):
        try:
            value = parse(prefix + octets)
        except BadArgument:
            continue
        assert value is not None
