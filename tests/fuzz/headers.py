"""Targets for addresses and header sections."""

import re
from collections.abc import Iterable

from mta.mail.address import (
    domain_of,
    is_valid_address,
    normalize_address,
    parse_address_list,
)
from mta.mail.header import (
    MAX_LINE_CHARS,
    HeaderSection,
    HeaderSplitter,
    HeaderTooLarge,
    format_field,
)
from mta.mail.lines import canonical_lines
from mta.mail.words import decode_words, encode_words
from mta.smtp.client import ClientSession, Transaction
from tests.fuzz.promises import attempt, cuts, has_stray_line_end, promise, to_text

MAX_HEADER = 300  # octets; little enough to get there
_SLACK = 4  # octets of the empty line, which may or may not have come

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SERVER = b"220 mx.test\r\n250-mx.test\r\n250 SMTPUTF8\r\n"
_BEHIND_PROSE = "ada@example.test"


def address(data: bytes) -> None:
    """One address, as it stands in a request or a list."""
    normal = normalize_address(to_text(data))
    if not is_valid_address(normal):
        return
    promise(normalize_address(normal) == normal, "there is one normal form")
    promise(not re.search(r"[\x00-\x1f\x7f]", normal), "an address has no controls")
    promise(domain_of(normal).isascii(), "a domain can be looked up")
    session = ClientSession()
    session.ehlo("mx.fuzz.test")
    session.receive(_SERVER)
    # Raises ValueError for what cannot be said on the wire.
    session.begin(Transaction(reverse_path=normal, forward_path=normal), reset=False)


def addresses(data: bytes) -> None:
    """The value of a field such as To; and prose beside an address."""
    text = to_text(data)
    for mailbox in parse_address_list(text):
        promise(not _CONTROL.search(mailbox.name), "a name can be shown")
        is_normal = normalize_address(mailbox.address) == mailbox.address
        is_right = is_normal or not is_valid_address(mailbox.address)
        promise(is_right, "addresses are in normal form")
    quoted = re.sub(r'(["\\])', r"\\\1", text)
    _check_prose(f'"{quoted}" <{_BEHIND_PROSE}>')
    _check_prose(f'<{_BEHIND_PROSE}> "{quoted}"')
    _check_prose(f'"{quoted}" {_BEHIND_PROSE}')
    commented = re.sub(r"([()\\])", r"\\\1", text)
    _check_prose(f"({commented}) {_BEHIND_PROSE}")
    encoded = attempt(lambda: encode_words(text), UnicodeEncodeError)
    if encoded is not None:
        _check_prose(f"{encoded} <{_BEHIND_PROSE}>")


def _check_prose(value: str) -> None:
    found = [mailbox.address for mailbox in parse_address_list(value)]
    promise(found == [_BEHIND_PROSE], "nobody is a recipient because of prose")


def header(data: bytes) -> None:
    """A header section, and where it ends."""
    section = attempt(lambda: HeaderSection.parse(data), ValueError)
    if section is not None:
        _check_section(section, data)
    message = canonical_lines(data)
    whole = _split([message])
    if whole is not None:
        _check_section(HeaderSection.parse(whole[0]), whole[0])
        joints = (whole[0] + whole[1], whole[0] + b"\r\n" + whole[1])
        promise(message in joints, "header and body are the message")
    # That it is no field is not known before it ends.
    is_long = message.find(b"\r\n") > MAX_HEADER - _SLACK
    for pieces in cuts(message):
        split = _split(pieces)
        # At the limit, it matters what of the empty line has come.
        is_near = any(MAX_HEADER - len(it[0]) < _SLACK for it in (split, whole) if it)
        is_same = split == whole or is_near or is_long
        promise(is_same, "a header does not depend on the cuts")


def _split(pieces: Iterable[bytes]) -> tuple[bytes, bytes] | None:
    splitter = HeaderSplitter(MAX_HEADER)
    try:
        body = b"".join([splitter.feed(piece) for piece in pieces])
    except HeaderTooLarge:
        return None
    body += splitter.close()
    promise(splitter.is_complete, "a header section is whole in the end")
    return splitter.header, body


def _check_section(section: HeaderSection, raw: bytes) -> None:
    promise(bytes(section) == raw, "what we do not change leaves as it came")
    for name, _ in list(section.fields())[:20]:
        if not name:
            continue
        for value in section.get_all(name):
            promise(not _CONTROL.search(value), "a value can be shown")
        for value in section.raw_values(name):
            promise(not re.search("[\r\n\x00]", value), "a value is one line")
        promise(section.count(name) == len(section.get_all(name)), "fields are counted")
    fields, count = list(section.fields()), len(section)
    section.add("X-Fuzz", "on top")
    section.append("X-Fuzz", "at the bottom")
    promise(section.remove("x-fuzz") >= 2, "what is added can be removed")
    others = [name for name, _ in fields if name != "x-fuzz"]
    left = [name for name, _ in section.fields()]
    promise(left == others and count >= len(left), "other fields stay as they are")


def field(data: bytes) -> None:
    """A field that we write: its name, a colon, its value."""
    name, _, value = to_text(data).partition(":")
    written = attempt(lambda: format_field(name, value), ValueError)
    if written is None:
        return
    promise(written.isascii() and not has_stray_line_end(written), "a field is ASCII")
    first, *others, rest = written.split(b"\r\n")
    promise(not rest and first.startswith(name.encode() + b":"), "a field has a name")
    is_folded = all(line[:1] in (b" ", b"\t") and line.strip() for line in others)
    promise(is_folded, "a value cannot begin another field")
    longest = max(map(len, (first, *others)))
    promise(longest <= MAX_LINE_CHARS, "a line has 998 octets at most")
    section = HeaderSection.parse(written)
    promise(len(section) == section.count(name) == 1, "a field is one field")
    value = value.strip(" \t")
    if value.isascii():
        promise(section.raw_values(name) == [value], "a value is read as written")
    else:
        shown = _CONTROL.sub(" ", value).strip()
        promise(section.get(name) == shown, "a text is read as written")


def encoded_words(data: bytes) -> None:
    """Encoded words, both ways."""
    text = to_text(data)
    promise(not _CONTROL.search(decode_words(text)), "what is decoded can be shown")
    encoded = attempt(lambda: encode_words(text), UnicodeEncodeError)
    if encoded is not None and text:
        promise(encoded.isascii() and encoded.isprintable(), "encoded words are ASCII")
        shown = _CONTROL.sub(" ", text)
        promise(decode_words(encoded) == shown, "what is encoded can be decoded")
