from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.mail.words import decode_words, encode_words


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("=?UTF-8?Q?J=C3=B5geva?=", "Jõgeva"),
        ("a =?utf-8?q?b?= =?utf-8?q?c?= d", "a bc d"),
        ("=?utf-8?b?w7U=?=", "õ"),
        ("=?utf-8?b?w7U?=", "õ"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=B5?=", "õ"),
        ("=?iso-8859-1*de?q?=FC?=", "ü"),
        ("=?utf-8?q?=0D=0ABcc:_x?=", " Bcc: x"),
        ("=?punycode?q?abc?=", "=?punycode?q?abc?="),
        ("=?idna?q?abc?=", "=?idna?q?abc?="),
        ("=?hex?q?41?=", "=?hex?q?41?="),
        ("=?no-such?q?abc?= =?utf-8?q?x?=", "=?no-such?q?abc?= x"),
        ("=?utf-8?b?A?=", "=?utf-8?b?A?="),
        ("a\u2028b\x85c", "a b c"),
    ],
)
def test_words_are_decoded(text, decoded):
    """Real charsets only, neighbours joined, control characters gone (RFC 2047)."""
    assert decode_words(text) == decoded


def test_encoded_words_stay_short_and_whole():
    """Each word decodes on its own and leaves room beside a field's name."""
    words = encode_words("äöü€𝄞" * 40).split(" ")

    assert max(map(len, words)) <= 52
    assert "".join(map(decode_words, words)) == "äöü€𝄞" * 40


@given(st.text(min_size=1).filter(lambda text: decode_words(text) == text))
def test_encoding_then_decoding_is_identity(text):
    """What a subject says survives the trip."""
    assert decode_words(encode_words(text)) == text


@pytest.mark.parametrize("charset", ["unicode_escape", "raw_unicode_escape", "utf-7"])
def test_codecs_that_are_no_charsets_are_not_applied(charset):
    """Python knows more codecs than mail does; some make half characters."""
    text = f"=?{charset}?Q?=5Cud800?="

    decoded = decode_words(text)

    assert decoded == text
    decoded.encode("utf-8")


@pytest.mark.parametrize("charset", ["utf-16-be", "utf-8", "utf-32-be"])
def test_half_of_a_surrogate_pair_is_never_decoded(charset):
    """What we store must be text that can be written down again."""
    word = f"=?{charset}?B?{b64encode(bytes.fromhex('d800d80000d8000000')).decode()}?="

    decode_words(word).encode("utf-8")
