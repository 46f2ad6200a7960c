"""Attributes of XCLIENT and XFORWARD."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.xclient import (
    MAX_VALUE,
    XCLIENT_NAMES,
    XFORWARD_NAMES,
    parse_attributes,
)
from mta.smtp.xtext import encode_xtext

ALL_NAMES = XCLIENT_NAMES + XFORWARD_NAMES


def value_of(name, value):
    return parse_attributes(f"{name}={value}".encode(), ALL_NAMES)[name]


def outcome(argument, names):
    try:
        return parse_attributes(argument, names)
    except ValueError as error:
        return error


def refusal_of(argument, names=ALL_NAMES):
    with pytest.raises(ValueError, match=r"^[ -~]+$") as refused:
        parse_attributes(argument, names)
    assert type(refused.value) is ValueError
    return str(refused.value)


def test_all_that_xclient_says():
    """Names have no case; values come out decoded."""
    argument = (
        b"NAME=client.test addr=192.0.2.1 Port=2525 PROTO=esmtp HELO=[192.0.2.1]"
        b" LOGIN=ada+2Btag DESTADDR=IPv6:2001:DB8::1 DESTPORT=025 REVERSE_NAME=r.test"
    )

    assert parse_attributes(argument, XCLIENT_NAMES) == {
        "NAME": "client.test",
        "ADDR": "192.0.2.1",
        "PORT": "2525",
        "PROTO": "ESMTP",
        "HELO": "[192.0.2.1]",
        "LOGIN": "ada+tag",
        "DESTADDR": "2001:db8::1",
        "DESTPORT": "25",
        "REVERSE_NAME": "r.test",
    }


def test_all_that_xforward_says():
    """XFORWARD has two names of its own."""
    argument = b"NAME=client.test ADDR=192.0.2.1 PORT=25 HELO=x IDENT=4Q SOURCE=local"

    assert parse_attributes(argument, XFORWARD_NAMES) == {
        "NAME": "client.test",
        "ADDR": "192.0.2.1",
        "PORT": "25",
        "HELO": "x",
        "IDENT": "4Q",
        "SOURCE": "LOCAL",
    }


def test_blanks_around_attributes_mean_nothing():
    """One or many, before and after."""
    assert parse_attributes(b"  HELO=a   PORT=1 ", XCLIENT_NAMES) == {
        "HELO": "a",
        "PORT": "1",
    }


@pytest.mark.parametrize("name", sorted(set(ALL_NAMES)))
@pytest.mark.parametrize("value", ["[UNAVAILABLE]", "[TEMPUNAVAIL]", "[unavailable]"])
def test_what_the_client_does_not_know_is_none(name, value):
    """Any attribute may be unknown, for good or for now."""
    assert value_of(name, value) is None


def test_a_value_that_looks_unknown_can_be_said():
    """Written in xtext it is what it is."""
    assert value_of("HELO", "+5BUNAVAILABLE]") == "[UNAVAILABLE]"


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        (b"IDENT=4Q", XCLIENT_NAMES),
        (b"SOURCE=LOCAL", XCLIENT_NAMES),
        (b"LOGIN=ada", XFORWARD_NAMES),
        (b"DESTADDR=192.0.2.1", XFORWARD_NAMES),
        (b"SECRET=1", XCLIENT_NAMES),
        (b"=1", XCLIENT_NAMES),
    ],
)
def test_a_name_of_another_verb_is_refused(argument, names):
    """Each verb has its own names."""
    assert refusal_of(argument, names) == "Attribute not recognized"


def test_an_attribute_that_comes_twice_is_refused():
    """Which of the two would be believed?"""
    assert refusal_of(b"HELO=a helo=b") == "HELO comes twice"
    assert refusal_of(b"HELO=[UNAVAILABLE] HELO=b") == "HELO comes twice"


@pytest.mark.parametrize("argument", [b"HELO", b"HELO a", b"a", b"HELO=a PORT"])
def test_an_attribute_without_a_value_is_refused(argument):
    """A blank in a value is written +20."""
    assert refusal_of(argument) == "Attributes are written as NAME=value"


@pytest.mark.parametrize("argument", [b"", b"   "])
def test_no_attribute_at_all_is_refused(argument):
    """A command that says nothing is a mistake."""
    assert refusal_of(argument) == "At least one attribute is needed"


@pytest.mark.parametrize("argument", ["LOGIN=zoë".encode(), b"LOGIN=\xff", b"\x80"])
def test_octets_beyond_ascii_are_refused(argument):
    """They are written as xtext."""
    assert "ASCII" in refusal_of(argument)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("IPv6:2001:db8::1", "2001:db8::1"),
        ("IPV6:2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("ipv6:::1", "::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("IPv6:::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
    ],
)
@pytest.mark.parametrize("name", ["ADDR", "DESTADDR"])
def test_addresses_have_one_form(name, value, expected):
    """Two spellings of one address count as one client."""
    assert value_of(name, value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "3221225985",
        "192.0.2.0/24",
        "IPv6:192.0.2.1",
        "IPv4:192.0.2.1",
        "[192.0.2.1]",
        "IPv6:",
        "2001:db8::1::2",
        "fe80::1%25eth0",
        "fe80::1%eth0",
        "+EF+BC+91.2.3.4",
        "+C4+B1Pv6:::1",
    ],
)
def test_addresses_that_are_none(value):
    """Names, networks, scopes and foreign digits are no addresses."""
    text = refusal_of(f"ADDR={value}".encode())

    assert text == "ADDR takes an IPv4 address, or IPv6: and an IPv6 address"


@pytest.mark.parametrize(
    ("value", "expected"), [("0", "0"), ("25", "25"), ("00025", "25"), ("65535",) * 2]
)
def test_ports(value, expected):
    """0 to 65535, in decimal."""
    assert value_of("PORT", value) == expected


@pytest.mark.parametrize("name", ["PORT", "DESTPORT"])
@pytest.mark.parametrize(
    "value", ["", "65536", "99999", "000025", "-1", "+2B1", "1_0", "smtp", "+D9+A1"]
)
def test_ports_that_are_none(name, value):
    """int() takes more than digits."""
    refusal = refusal_of(f"{name}={value}".encode())

    assert refusal == f"{name} takes a number from 0 to 65535"


@pytest.mark.parametrize("value", ["SMTP", "smtp", "Esmtp", "LMTP"])
def test_protocols(value):
    """Upper case for the Received field."""
    assert value_of("PROTO", value) == value.upper()


@pytest.mark.parametrize("value", ["", "HTTP", "ESMTPS", "+C5+BFMTP"])
def test_protocols_that_are_none(value):
    """No other, and no letter that only turns into one of ASCII."""
    assert refusal_of(f"PROTO={value}".encode()) == "PROTO takes SMTP, ESMTP or LMTP"


@pytest.mark.parametrize("value", ["", "BOTH", "LOCAL,REMOTE"])
def test_sources_that_are_none(value):
    """A message came from here or from elsewhere."""
    assert refusal_of(f"SOURCE={value}".encode()) == "SOURCE takes LOCAL or REMOTE"


@pytest.mark.parametrize("name", ["HELO", "NAME", "REVERSE_NAME"])
@pytest.mark.parametrize(
    "value", ["", "a+20b", "+20", "a+09", "a+0D+0A", "a+00", "zo+C3+AB", "a+7F"]
)
def test_names_are_one_word_of_ascii(name, value):
    """They stand between blanks in a Received field."""
    assert refusal_of(f"{name}={value}".encode()).startswith(f"{name} takes one word")


def test_a_login_may_be_any_printable_text():
    """Users are called as they are."""
    assert value_of("LOGIN", "zo+C3+AB+20l") == "zoë l"


@pytest.mark.parametrize("name", ["LOGIN", "IDENT"])
@pytest.mark.parametrize(
    "value",
    ["", "+00", "a+0D+0Ab", "a+1B", "+C2+85", "+E2+80+AE", "+FF", "a+", "a=b", "a\tb"],
)
def test_texts_that_are_not_to_be_shown(name, value):
    """No controls, nothing that hides, nothing but xtext."""
    assert refusal_of(f"{name}={value}".encode()).startswith(f"{name} takes 1 to 255")


def test_a_value_is_measured_when_it_is_decoded():
    """255 characters, however they are written."""
    assert value_of("HELO", "+61" * MAX_VALUE) == "a" * 255
    assert value_of("LOGIN", "+C3+AB" * MAX_VALUE) == "ë" * 255
    assert refusal_of(b"HELO=" + b"a" * 256)
    assert refusal_of(b"LOGIN=" + b"a" * 256)
    assert refusal_of(b"PORT=" + b"0" * 256)
    assert refusal_of(b"ADDR=" + b"1" * 256)


@given(
    st.binary(max_size=200)
    | st.lists(
        st.tuples(st.sampled_from(ALL_NAMES), st.text(max_size=20).filter(str.isascii))
    ).map(lambda pairs: " ".join(f"{n}={encode_xtext(v)}" for n, v in pairs).encode())
)
def test_any_octets_are_taken_or_refused(argument):
    """Nothing but a plain ValueError in printable ASCII; all values are printable."""
    for names in (XCLIENT_NAMES, XFORWARD_NAMES):
        found = outcome(argument, names)

        if isinstance(found, dict):
            assert found.keys() <= set(names)
            assert all(v is None or v.isprintable() for v in found.values())
        else:
            assert type(found) is ValueError
            assert str(found).isascii()
            assert str(found).isprintable()


@given(st.text(min_size=1, max_size=20).filter(str.isprintable))
def test_no_refusal_quotes_the_value(secret):
    """It may be a login, or the words of a stranger."""
    written = encode_xtext(secret)

    for name in set(ALL_NAMES):
        first = refusal_of(f"{name}={written}+00".encode())
        second = refusal_of(f"{name}={written}+01".encode())

        assert first == second
        assert first == refusal_of(f"{name}=".encode())
