"""xtext, and the escapes of RFC 6533."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.xtext import (
    decode_utf8_addr_unitext,
    decode_utf8_addr_xtext,
    decode_xtext,
    encode_utf8_addr_xtext,
    encode_xtext,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
DECODERS = [decode_xtext, decode_utf8_addr_xtext, decode_utf8_addr_unitext]


def outcome(decode, text):
    try:
        return decode(text)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("ada@example.test", "ada@example.test", id="plain"),
        pytest.param("a+b=c", "a+2Bb+3Dc", id="the two specials"),
        pytest.param(" \t\r\n\x00\x7f", "+20+09+0D+0A+00+7F", id="blanks and controls"),
        pytest.param("zoë", "zo+C3+AB", id="beyond ASCII as UTF-8"),
        pytest.param("!~", "!~", id="the ends of what is printable"),
    ],
)
def test_xtext_both_ways(text, written):
    """RFC 3461 §4: upper-case hexadecimal for all that is not "!" to "~"."""
    assert encode_xtext(text) == written
    assert decode_xtext(written) == text


def test_lower_case_digits_are_read():
    """The grammar has upper case only; clients write both."""
    assert decode_xtext("a+2bb+c3+ab") == "a+bë"


@pytest.mark.parametrize(
    "text",
    [
        "+",
        "a+",
        "+2",
        "+2+",
        "+GG",
        "++2B",
        "+ 2",
        "+２B",
        "a=b",
        "a b",
        "a\tb",
        "a\n",
        "a\x00",
        "a\x7f",
        "zoë",
        "\ud800",
    ],
)
def test_text_that_is_not_xtext_is_refused(text):
    """A decoder that guesses lets two servers read two different addresses."""
    with pytest.raises(ValueError, match=r"^Not xtext$"):
        decode_xtext(text)


@pytest.mark.parametrize("text", ["+FF", "+C3", "+C0+80", "+ED+A0+80", "+F5+80+80+80"])
def test_octets_that_are_not_utf_8_are_refused(text):
    """Overlong forms and halves of pairs included."""
    with pytest.raises(ValueError, match=r"^Not UTF-8 in xtext$"):
        decode_xtext(text)


@pytest.mark.parametrize("encode", [encode_xtext, encode_utf8_addr_xtext])
def test_half_a_surrogate_pair_cannot_be_written(encode):
    """It has no UTF-8."""
    with pytest.raises(ValueError, match="surrogates"):
        encode("\ud800")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("ada@example.test", "ada@example.test", id="plain"),
        pytest.param("zoë", r"zo\x{EB}", id="two digits"),
        pytest.param(
            "例@例子.test", r"\x{4F8B}@\x{4F8B}\x{5B50}.test", id="four digits"
        ),
        pytest.param("🐫", r"\x{1F42B}", id="five digits"),
        pytest.param("\U0010ffff", r"\x{10FFFF}", id="the last"),
        pytest.param("a+b=c", r"a\x{2B}b\x{3D}c", id="what xtext escapes too"),
        pytest.param('"a b"', r'"a\x{20}b"', id="blank"),
        pytest.param(r"a\b", r"a\x{5C}b", id="backslash"),
    ],
)
def test_addresses_beyond_ascii_both_ways(text, written):
    """RFC 6533 §3: what fits where SMTPUTF8 is not."""
    assert encode_utf8_addr_xtext(text) == written
    assert decode_utf8_addr_xtext(written) == text
    assert decode_utf8_addr_unitext(written) == text


def test_escapes_that_need_not_be_are_read():
    """More than the grammar has: plain characters, lower case and leading zeros."""
    assert decode_utf8_addr_xtext(r"\x{41}\x{eb}\x{0000eb}") == "Aëë"


def test_an_escape_that_is_the_result_of_one_stays():
    """Decoding happens once."""
    assert decode_utf8_addr_xtext(r"\x{5C}x{41}") == r"\x{41}"


def test_unitext_has_characters_as_they_are():
    """With SMTPUTF8 only those that xtext escapes need it (RFC 6533 §3)."""
    assert (
        decode_utf8_addr_unitext(r"zoë\x{2B}例@example.test") == "zoë+例@example.test"
    )


def test_addr_xtext_is_ascii():
    """What it would mean without SMTPUTF8, nobody said."""
    with pytest.raises(ValueError, match="type utf-8"):
        decode_utf8_addr_xtext("zoë")


@pytest.mark.parametrize("decode", [decode_utf8_addr_xtext, decode_utf8_addr_unitext])
@pytest.mark.parametrize(
    "text",
    [
        "a+b",
        "a=b",
        "a b",
        "a\n",
        "a\x00",
        "a\x7f",
        "\ud800",
        "\\",
        r"\x",
        r"\x{",
        r"\x{}",
        r"\x{2B",
        r"\X{2B}",
        r"\x{G}",
        r"\x{0000041}",
        r"\x{-1}",
        r"\x{ 41}",
        r"\x{４１}",
        r"\u00eb",
        r"\\x{41}",
    ],
)
def test_text_that_is_no_such_address_is_refused(decode, text):
    """Neither "+", "=" nor a backslash stands for itself."""
    with pytest.raises(ValueError, match=r"^Not an address of type utf-8$"):
        decode(text)


@pytest.mark.parametrize("decode", [decode_utf8_addr_xtext, decode_utf8_addr_unitext])
@pytest.mark.parametrize("point", ["D800", "DFFF", "110000", "FFFFFF"])
def test_points_that_are_no_character_are_refused(decode, point):
    """Halves of surrogate pairs, and what is beyond Unicode."""
    with pytest.raises(ValueError, match=r"^No such character in Unicode$"):
        decode(rf"\x{{{point}}}")


@given(TEXTS)
def test_whatever_is_written_reads_back(text):
    """Both encodings carry any text, in printable ASCII without "="."""
    for encode, decode in (
        (encode_xtext, decode_xtext),
        (encode_utf8_addr_xtext, decode_utf8_addr_xtext),
    ):
        written = encode(text)

        assert decode(written) == text
        assert all("!" <= character <= "~" for character in written)
        assert "=" not in written


@given(st.text() | st.text(r"+\x{}2Bbëd8", max_size=20))
def test_any_text_is_decoded_or_refused(text):
    """No decoder raises anything but a plain ValueError, and none quotes the text."""
    for decode in DECODERS:
        decoded = outcome(decode, text)

        if isinstance(decoded, str):
            assert len(decoded) <= len(text)
        else:
            assert type(decoded) is ValueError
            assert str(decoded) in {
                "Not xtext",
                "Not UTF-8 in xtext",
                "Not an address of type utf-8",
                "No such character in Unicode",
            }
