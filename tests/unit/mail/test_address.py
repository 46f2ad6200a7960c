import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.mail.address import (
    domain_of,
    is_valid_address,
    normalize_address,
    normalize_domain,
    parse_address_list,
)

LIST_A = (
    "andris1@kreata.ee, <andris2@kreata.ee>, Andris3 <andris3@kreata.ee>",
    "Andris4 <andris2@kreata.ee>",
)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        pytest.param("safe@jõgeva.ee", "safe@xn--jgeva-dua.ee", id="A-labels"),
        pytest.param("jõgeva@jõgeva.ee", "jõgeva@jõgeva.ee", id="Unicode stays"),
        pytest.param("jõgeva@xn--jgeva-dua.ee", "jõgeva@jõgeva.ee", id="to Unicode"),
        pytest.param(
            "first last@jõgeva.ee", '"first last"@xn--jgeva-dua.ee', id="blank quoted"
        ),
        pytest.param("bare-user", "bare-user", id="no domain"),
        pytest.param(" <Ada@EXAMPLE.Test> ", "Ada@example.test", id="brackets, case"),
        pytest.param('"a@b"@Example.test', '"a@b"@example.test', id="quoted at"),
        pytest.param("a@b@example.test", "a@b@example.test", id="last at counts"),
        pytest.param("a\r\nb@example.test", '"a b"@example.test', id="line break"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_address_has_one_normal_form(written, normal):
    """The local part is the destination's; the domain is lower-case and one form."""
    assert normalize_address(written) == normal


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("ada@Example.Test", "example.test"),
        ("jõgeva@jõgeva.ee", "xn--jgeva-dua.ee"),
        ("ada@[192.0.2.1]", "[192.0.2.1]"),
        ("bare", ""),
    ],
)
def test_domain_is_an_a_label_or_a_literal(address, domain):
    """Routing and DNS see one spelling of each domain."""
    assert domain_of(address) == domain


def test_domain_that_is_none_is_only_lowered():
    """What IDNA refuses stays text, and is then refused as an address."""
    assert normalize_domain("A\u2028Ü.test") == "a\u2028ü.test"
    assert not is_valid_address("ada@a\u2028ü.test")


@pytest.mark.parametrize(
    "address",
    [
        "a@example.test",
        "a.b+c=d@example.test",
        '"a b"@example.test',
        "jõgeva@jõgeva.ee",
        "a@[192.0.2.1]",
        "a@[ipv6:2001:db8::1]",
        "a..b@example.test",
        "x" * 64 + "@example.test",
    ],
)
def test_address_is_valid(address):
    """What RFC 5321 allows, and doubled dots, which some providers issued."""
    assert is_valid_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bare",
        "@example.test",
        "a@",
        "a b@example.test",
        "a,b@example.test",
        "a@b@example.test",
        "a@-example.test",
        "a@example..test",
        "a@example.test.",
        "a@[192.0.2.256]",
        "a@[ipv6:fe80::1%eth0]",
        "a@[example.test]",
        "a\u2028b@example.test",
        "a\udc80b@example.test",
        '"a\r\nb"@example.test',
        "x" * 65 + "@example.test",
        "a@" + "b" * 64 + ".test",
        "a@" + "b." * 130 + "test",
    ],
)
def test_address_is_not_valid(address):
    """Limits of RFC 5321 §4.5.3.1, and nothing that could break a command line."""
    assert not is_valid_address(address)


def test_list_keeps_order():
    """Recipients come in the order in which they are written."""
    addresses = [box.address for box in parse_address_list(LIST_A[0])]

    assert addresses == ["andris1@kreata.ee", "andris2@kreata.ee", "andris3@kreata.ee"]


@pytest.mark.parametrize(
    ("value", "boxes"),
    [
        pytest.param(
            '"x@evil.test, y" <a@b.test>',
            [("x@evil.test, y", "a@b.test")],
            id="quotes are prose",
        ),
        pytest.param(
            "(x@evil.test) a@b.test (Ada (L))",
            [("x@evil.test Ada (L)", "a@b.test")],
            id="comments are prose",
        ),
        pytest.param(
            "=?utf-8?q?x=40evil.test=2C?= <a@b.test>",
            [("x@evil.test,", "a@b.test")],
            id="encoded words are prose",
        ),
        pytest.param("=?utf-8?q?=3Cx=40evil.test=3E?=", [], id="encoded word alone"),
        pytest.param(
            '"first last"@b.test', [("", '"first last"@b.test')], id="quoted local"
        ),
        pytest.param(
            '"a\\"b" <a@b.test>', [('a"b', "a@b.test")], id="escape in quotes"
        ),
        pytest.param("undisclosed-recipients:;", [], id="empty group"),
        pytest.param("Bob, a@b.test", [("", "a@b.test")], id="a name alone"),
        pytest.param("Ada a@b.test", [("Ada", "a@b.test")], id="no brackets"),
        pytest.param(
            "A <a@b.test> <c@d.test>",
            [("A", "a@b.test"), ("", "c@d.test")],
            id="no comma",
        ),
        pytest.param(
            "<a@b.test, c@d.test",
            [("", "a@b.test"), ("", "c@d.test")],
            id="bracket left open",
        ),
        pytest.param(
            "a@[IPv6:2001:db8::1], b@c.test",
            [("", "a@[ipv6:2001:db8::1]"), ("", "b@c.test")],
            id="IPv6 literal",
        ),
        pytest.param(
            "a@b.test; c@d.test", [("", "a@b.test"), ("", "c@d.test")], id="semicolons"
        ),
        pytest.param("<>", [], id="empty brackets"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_list_is_read_without_mining_prose(value, boxes):
    """Only what stands where an address stands is one (RFC 5322 §3.4)."""
    assert [(box.name, box.address) for box in parse_address_list(value)] == boxes


@given(st.text(alphabet='a@b.<>,;:()"\\[] =?\r\n\u2028é', max_size=60))
def test_list_parser_never_fails(value):
    """Whatever comes in, mailboxes come out."""
    for box in parse_address_list(value):
        assert box.address
        assert "\n" not in box.name + box.address


@given(st.text(max_size=40))
def test_normal_form_is_stable(text):
    """Normalizing twice is normalizing once, for whatever is an address."""
    once = normalize_address(text)

    if is_valid_address(once):
        assert normalize_address(once) == once
