"""Targets for octets on the wire: lines, content, PROXY headers, replies."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle

from mta.delivery import Notice, Notify, Wishes
from mta.reply import Reply, format_reply, parse_reply
from mta.smtp.client import ClientSession, ProtocolError, ReplyReader, Transaction, Verb
from mta.smtp.lines import (
    ChunkReader,
    CommandReader,
    ContentReader,
    LineEndCheck,
    LineFault,
)
from mta.smtp.proxy import BadProxyHeader, ProxiedFrom, ProxyReader
from tests.fuzz.contents import decode_data
from tests.fuzz.promises import (
    BrokenPromise,
    attempt,
    cuts,
    has_stray_line_end,
    is_loggable,
    promise,
)


def commands(data: bytes) -> None:
    """Command lines."""
    whole, rest = _read_commands([data])
    promise(data.endswith(rest), "the rest is what was sent last")
    for line in whole:
        if isinstance(line, bytes):
            is_clean = all(octet >= 0x20 and octet != 0x7F for octet in line)
            promise(is_clean, "a command line has no controls")
            promise(line + b"\r\n" in data, "a command line was sent, with its end")
    for pieces in cuts(data):
        lines, _ = _read_commands(pieces)
        # Whether its end came along decides what is wrong with a line too long.
        if LineFault.TOO_LONG not in whole + lines:
            promise(lines == whole, "command lines do not depend on the network")


def _read_commands(pieces: Iterable[bytes]) -> tuple[list[bytes | LineFault], bytes]:
    reader = CommandReader()
    lines: list[bytes | LineFault] = []
    for piece in pieces:
        reader.feed(piece)
        while (line := reader.next_line()) is not None:
            promise(LineFault.BARE_LF not in lines, "nothing is read after a lone LF")
            lines.append(line)
    return lines, reader.take_rest()


def content(data: bytes) -> None:
    """What follows DATA and BDAT."""
    whole, expected = _read_content([data]), decode_data(data)
    promise((expected is None) is (whole is None), "CRLF.CRLF ends content, only that")
    if whole is not None:
        promise(whole[0] == expected, "content is decoded as the RFC says")
        promise(data.endswith(b".\r\n" + whole[1]), "what follows the end is not lost")
    size = len(data) // 2
    for pieces in cuts(data):
        promise(_read_content(pieces) == whole, "content does not depend on the cuts")
        is_right = _read_chunk(pieces, size) == (data[:size], data[size:])
        promise(is_right, "a chunk is counted off to the octet")
        check = LineEndCheck()
        for piece in pieces:
            check.feed(piece)
        # The last CR may be half of a line end.
        has_stray = has_stray_line_end(data.removesuffix(b"\r"))
        promise(check.has_stray is has_stray, "stray line ends are seen")


def _read_content(pieces: list[bytes]) -> tuple[bytes, bytes] | None:
    reader, read = ContentReader(1 << 30), b""
    for number, piece in enumerate(pieces, 1):
        read += reader.feed(piece)
        promise(reader.size == len(read), "the size is counted")
        if reader.is_complete:
            return read, reader.rest + b"".join(pieces[number:])
    return None


def _read_chunk(pieces: list[bytes], size: int) -> tuple[bytes, bytes]:
    reader, read, rest = ChunkReader(size), b"", b""
    for piece in pieces:
        if reader.is_complete:
            rest += piece
        else:
            read += reader.feed(piece)
    return read, reader.rest + rest


def proxy(data: bytes) -> None:
    """A PROXY header, and what follows it."""
    whole = _read_proxy([data])
    if isinstance(whole, ProxiedFrom):
        promise(data.endswith(whole.rest), "the client's octets are not lost")
        promise(repr(whole.rest) not in repr(whole) or not whole.rest, "rest is hidden")
        is_known = whole.source is not None
        promise(is_known is (whole.destination is not None), "both addresses or none")
        promise(is_known or whole.source_port == 0, "no port without an address")
        promise(0 <= whole.source_port <= 0xFFFF, "a port is one")
    for pieces in cuts(data):
        promise(_read_proxy(pieces) == whole, "a header does not depend on the cuts")


def _read_proxy(pieces: list[bytes]) -> ProxiedFrom | str | None:
    """What was found with all that follows, None if more is needed, or "bad"."""
    reader = ProxyReader()
    for number, piece in enumerate(pieces, 1):
        try:
            found = reader.feed(piece)
        except BadProxyHeader as error:
            promise(is_loggable(str(error)), "what an error says can be logged")
            _check_over(reader)
            return "bad"
        if found is not None:
            _check_over(reader)
            return replace(found, rest=found.rest + b"".join(pieces[number:]))
    return None


def _check_over(reader: ProxyReader) -> None:
    try:
        reader.feed(b"P")
    except RuntimeError:
        return
    raise BrokenPromise("a connection has one header")


def replies(data: bytes) -> None:
    """Replies of a server."""
    whole, is_broken = _read_server([data])
    for reply in whole:
        _check_reply(reply)
    for pieces in cuts(data):
        promise(_read_server(pieces) == (whole, is_broken), "replies come in any cut")
    attempt(lambda: parse_reply(data.split(b"\n")), ValueError)


def _check_reply(reply: Reply) -> None:
    for text in reply.text:
        promise(is_loggable(text), "what a server says can be logged")
    wire = format_reply(reply)
    lines = wire.split(b"\r\n")[:-1]
    promise(len(lines) == len(reply.text), "a reply keeps its lines")
    if all(text.isascii() for text in reply.text):
        promise(parse_reply(lines) == reply, "a reply is written as it is read")


def _read_server(pieces: list[bytes]) -> tuple[list[Reply], bool]:
    """The replies, and whether the server broke the rules after them."""
    reader, read = ReplyReader(), []
    for piece in pieces:
        try:
            # One by one: those before what is wrong count.
            for reply in reader.feed(piece):
                read.append(reply)
        except ProtocolError as error:
            promise(is_loggable(str(error)), "what an error says can be logged")
            return read, True
    return read, False


_TRANSACTION = Transaction(
    reverse_path="\xe4da@example.test",
    forward_path='"b ob"@example.test',
    size=7,
    is_8bit=True,
    wishes=Wishes(
        ret="HDRS",
        envid="a b",
        notice=Notice(frozenset({Notify.NEVER}), "utf-8;\xe4@example.test"),
        require_tls=True,
    ),
)


def client(data: bytes) -> None:
    """A server against ``ClientSession``; 0xFF is where it waits for a command."""
    session = ClientSession()
    awaited = [Verb.CONNECT]
    steps = cycle((Verb.EHLO, Verb.STARTTLS, Verb.EHLO, Verb.MAIL, Verb.MAIL))
    for piece in data.split(b"\xff")[:40]:
        try:
            matched = session.receive(piece)
        except ProtocolError:
            matched = None
        if matched is None or session.has_problem:
            again = attempt(lambda: session.receive(b""), ProtocolError)
            is_over = again is None and not session.is_in_step
            promise(is_over, "a broken session is not used again")
            return
        for verb, reply in matched:
            is_right = bool(awaited) and awaited.pop(0) is verb
            promise(is_right, "replies come in the order of commands")
            if verb is Verb.STARTTLS and reply.code == 220:
                promise(not session.extensions, "what came in clear is forgotten")
        promise(session.max_size is None or session.max_size > 0, "SIZE is a number")
        if session.is_in_step:
            awaited += _say(session, next(steps))


def _say(session: ClientSession, verb: Verb) -> list[Verb]:
    if verb is Verb.EHLO:
        said, verbs = session.ehlo("mx.fuzz.test"), [verb]
    elif verb is Verb.STARTTLS:
        said, verbs = session.starttls(), [verb]
    else:
        blocks = attempt(lambda: session.begin(_TRANSACTION, reset=True), ValueError)
        promise(blocks or "SMTPUTF8" not in session.extensions, "it can be said")
        said = b"".join(session.send(block) for block in blocks or ())
        verbs = [verb for block in blocks or () for verb in block.verbs]
    promise(not has_stray_line_end(said), "commands end with CRLF")
    promise(said.count(b"\n") == len(verbs), "a command is one line")
    return verbs
