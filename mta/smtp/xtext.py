"""xtext and its sister for addresses beyond ASCII: any text as one word.

The value of a parameter has no blanks and no "="; here is how it says them all the
same. Decoding is strict, since what comes out is shown to people and travels on; it
is more than the grammar asks for in two places only. Hexadecimal digits may be of
either case, and an escape of RFC 6533 may stand for any character, also for one that
needs none. What characters make sense in a value is for its reader to say: controls
come out like all others.

RFC 3461 §4 (xtext), RFC 6533 §3 (utf-8-addr-xtext, utf-8-addr-unitext).
"""

import re

_HEX = "[0-9A-Fa-f]"

# What xtext cannot have; after it was looked for, each "+" begins a code.
_NOT_XTEXT = re.compile(rf"[^!-~]|=|\+(?!{_HEX}{{2}})")
_CODE = re.compile(rb"\+(..)")

_ESCAPE = re.compile(rf"\\x\{{({_HEX}{{1,6}})\}}")
_NOT_ADDR_XTEXT = re.compile(rf"[^!-~]|[+=]|\\(?!x\{{{_HEX}{{1,6}}\}})")
# A Python string may hold halves of surrogate pairs; UTF-8 may not.
_NOT_ADDR_UNITEXT = re.compile(
    rf"[\x00- \x7f\ud800-\udfff]|[+=]|\\(?!x\{{{_HEX}{{1,6}}\}})"
)

_WRITTEN = tuple(
    chr(octet) if 0x21 <= octet <= 0x7E and octet not in b"+=" else f"+{octet:02X}"
    for octet in range(256)
)


def encode_xtext(text: str) -> str:
    """Write ``text``, as UTF-8, so that ``decode_xtext()`` reads it.

    Raises:
        ValueError: It has halves of surrogate pairs, which UTF-8 cannot say.
    """
    return "".join(_WRITTEN[octet] for octet in text.encode())


def decode_xtext(text: str) -> str:
    """Read xtext whose octets are UTF-8.

    Raises:
        ValueError: It is none, or its octets are not.
    """
    if _NOT_XTEXT.search(text):
        raise ValueError("Not xtext")
    octets = _CODE.sub(lambda code: bytes.fromhex(code[1].decode()), text.encode())
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise ValueError("Not UTF-8 in xtext") from None


def encode_utf8_addr_xtext(text: str) -> str:
    r"""Write an address in ASCII alone, as in ``zo\x{EB}@example.test``.

    Raises:
        ValueError: It has halves of surrogate pairs.
    """
    text.encode()
    return "".join(
        character
        if "!" <= character <= "~" and character not in "+=\\"
        else rf"\x{{{ord(character):X}}}"
        for character in text
    )


def decode_utf8_addr_xtext(text: str) -> str:
    r"""Read ``zo\x{EB}@example.test``, which is ASCII.

    Raises:
        ValueError: It is not utf-8-addr-xtext.
    """
    return _unescape(text, _NOT_ADDR_XTEXT)


def decode_utf8_addr_unitext(text: str) -> str:
    r"""Read ``zoë@example.test``, in which ``\x{...}`` may stand for a character.

    Raises:
        ValueError: It is not utf-8-addr-unitext.
    """
    return _unescape(text, _NOT_ADDR_UNITEXT)


def _unescape(text: str, refused: re.Pattern[str]) -> str:
    if refused.search(text):
        raise ValueError("Not an address of type utf-8")
    return _ESCAPE.sub(_read_escape, text)


def _read_escape(escape: re.Match[str]) -> str:
    point = int(escape[1], 16)
    if 0xD800 <= point <= 0xDFFF or point > 0x10FFFF:
        raise ValueError("No such character in Unicode")
    return chr(point)
