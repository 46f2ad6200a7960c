"""A target for time: what is twice as long may take twice as long, not four times."""

from collections.abc import Callable
from contextlib import suppress
from time import thread_time
from typing import Final

from mta.mail.address import is_valid_address, normalize_address, parse_address_list
from mta.mail.binary import BinaryToBase64
from mta.mail.header import HeaderSection, HeaderSplitter, format_field
from mta.mail.lines import CanonicalLines
from mta.mail.mime import encode_body, format_parameter
from mta.mail.words import decode_words, encode_words
from mta.reply import parse_reply
from mta.smtp.client import DotStuffer, ReplyReader
from mta.smtp.grammar import parse_mail, parse_rcpt
from mta.smtp.lines import CommandReader, ContentReader, LineEndCheck
from mta.smtp.login import LoginDialogue
from mta.smtp.proxy import ProxyReader
from mta.smtp.scram import prepare
from mta.smtp.xclient import XCLIENT_NAMES, parse_attributes
from tests.fuzz.promises import promise, to_text

LONG: Final = 32_768  # octets
SUSPICIOUS_S: Final = 0.25  # of the processor's time; less is not looked at
MAX_RATIO: Final = 3.2  # of times, for twice the octets
_PIECE = 100  # octets at a time, for what takes pieces


def linear(data: bytes) -> None:
    """An octet for the parser; then beginning, repeated middle, end, between 0xFF."""
    if len(data) < 2:
        return
    parse = _PARSERS[data[0] % len(_PARSERS)]
    begin, _, rest = data[1:].partition(b"\xff")
    middle, _, end = rest.partition(b"\xff")
    times_s = [_measure(parse, _stretch(begin, middle, end, LONG))]
    if times_s[0] < SUSPICIOUS_S:
        return
    ratios = [
        _measure(parse, _stretch(begin, middle, end, LONG))
        / max(_measure(parse, _stretch(begin, middle, end, LONG // 2)), 1e-6)
        for _ in range(3)
    ]
    promise(min(ratios) < MAX_RATIO, f"{parse.__name__.strip('_')} is linear")


def _stretch(begin: bytes, middle: bytes, end: bytes, size: int) -> bytes:
    times = (size - len(begin) - len(end)) // max(len(middle), 1)
    return begin + middle * max(times, 0) + end


def _measure(parse: Callable[[bytes], object], data: bytes) -> float:
    began_s = thread_time()
    with suppress(ValueError):  # the other targets look at what comes out
        parse(data)
    return thread_time() - began_s


def _in_pieces(feed: Callable[[bytes], object], data: bytes) -> None:
    for at in range(0, len(data), _PIECE):
        feed(data[at : at + _PIECE])


def _addresses(data: bytes) -> None:
    parse_address_list(to_text(data))


def _address(data: bytes) -> None:
    is_valid_address(normalize_address(to_text(data)))


def _words(data: bytes) -> None:
    decode_words(to_text(data))


def _encoding(data: bytes) -> None:
    encode_words(data.decode("latin-1"))


def _section(data: bytes) -> None:
    section = HeaderSection.parse(data)
    section.get_all("subject")
    section.raw_values("to")


def _splitter(data: bytes) -> None:
    splitter = HeaderSplitter()
    _in_pieces(splitter.feed, data)
    splitter.close()


def _field(data: bytes) -> None:
    format_field("Subject", data.decode("latin-1"))


def _parameter(data: bytes) -> None:
    format_parameter("name", data.decode("latin-1"))


def _printable(data: bytes) -> None:
    encode_body(data, "quoted-printable")


def _binary(data: bytes) -> None:
    rewriter = BinaryToBase64()
    _in_pieces(rewriter.feed, data)
    rewriter.close()


def _lines(data: bytes) -> None:
    _in_pieces(CanonicalLines().feed, data)
    _in_pieces(DotStuffer().feed, data)
    _in_pieces(LineEndCheck().feed, data)


def _mail(data: bytes) -> None:
    parse_mail(b"FROM:" + data)


def _rcpt(data: bytes) -> None:
    parse_rcpt(b"TO:" + data, smtputf8=True)


def _commands(data: bytes) -> None:
    reader = CommandReader()

    def feed(piece: bytes) -> None:
        reader.feed(piece)
        while reader.next_line() is not None:
            pass

    _in_pieces(feed, data)


def _content(data: bytes) -> None:
    reader = ContentReader(1 << 30)
    for at in range(0, len(data), _PIECE):
        reader.feed(data[at : at + _PIECE])
        if reader.is_complete:
            return


def _replies(data: bytes) -> None:
    reader = ReplyReader()
    _in_pieces(lambda piece: list(reader.feed(piece)), data)


def _reply(data: bytes) -> None:
    parse_reply([b"250-" + data, b"250 " + data])


def _proxy(data: bytes) -> None:
    reader = ProxyReader()
    for at in range(0, len(data), _PIECE):
        if reader.feed(data[at : at + _PIECE]) is not None:
            return


def _attributes(data: bytes) -> None:
    parse_attributes(data, XCLIENT_NAMES)


def _login(data: bytes) -> None:
    LoginDialogue("OAUTHBEARER").begin(data)
    LoginDialogue("SCRAM-SHA-256").begin(data)


def _saslprep(data: bytes) -> None:
    prepare(to_text(data))


_PARSERS: Final[tuple[Callable[[bytes], None], ...]] = (
    _addresses,
    _address,
    _words,
    _encoding,
    _section,
    _splitter,
    _field,
    _parameter,
    _printable,
    _binary,
    _lines,
    _mail,
    _rcpt,
    _commands,
    _content,
    _replies,
    _reply,
    _proxy,
    _attributes,
    _login,
    _saslprep,
)
