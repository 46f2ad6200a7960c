"""The client's side of SMTP, without sockets: commands out, replies in.

``ClientSession`` writes commands and matches replies to them in order; it
decides nothing about what a reply means for a message. ``ReplyReader`` bounds
what a server may say, ``DotStuffer`` makes any content safe to send after 354.

Two rules: what goes into a command is checked here, whoever made it, so that no
address can smuggle in a command of its own; and a reply nobody waits for makes
the session unusable, because every later one would be read as the answer to the
wrong command.

RFC 5321 §4.1, §4.2, §4.5.2; RFC 1870 (SIZE), RFC 2920 (PIPELINING), RFC 3207
(STARTTLS), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from mta.delivery import NO_WISHES, Wishes
from mta.reply import Reply, parse_reply
from mta.smtp.extensions import parse_ehlo_reply
from mta.smtp.xtext import encode_utf8_addr_xtext, encode_xtext

MAX_REPLY_BYTES = 64 * 1024  # a whole reply; real ones stay under 4 KiB
MAX_REPLY_LINES = 100  # EHLO's, the longest, has about twenty
MAX_LINE_BYTES = 4096  # §4.5.3.1.5 says 512; EHLO and Gmail's texts go beyond
# §4.5.3.1.3 gives a path 256 octets; a valid local part and domain can make 319.
MAX_PATH_BYTES = 320

# Controls and space end an argument or a command; an address never has them
# outside of quotes, and ours are refused even there.
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_UNSAFE_PATH = re.compile(r"[\x00-\x1f\x7f]")
_ANY_LINE_END = re.compile(rb"\r\n|\r|\n")


class ProtocolError(ValueError):
    """The server broke the rules of SMTP; its session cannot be used again."""


class Verb(StrEnum):
    """What a reply can be the answer to; ``CONNECT`` is answered by the greeting."""

    CONNECT = "connect"
    EHLO = "EHLO"
    HELO = "HELO"
    LHLO = "LHLO"
    AUTH = "AUTH"
    STARTTLS = "STARTTLS"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "end of DATA"
    BDAT = "BDAT"
    RSET = "RSET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """The envelope of one transaction, for one recipient.

    Attributes:
        reverse_path: "" is the null path ``<>``.
        size: Estimated octets of content, line ends included (RFC 1870 §5).
        is_8bit: The content has octets above 127.
        is_utf8: A header field needs RFC 6531.
        wishes: Passed on to a server that knows them.
        name: What we call the delivery; for who asks for more than an envelope.
    """

    reverse_path: str
    forward_path: str
    size: int = 0
    is_8bit: bool = False
    is_utf8: bool = False
    wishes: Wishes = NO_WISHES
    name: str = ""

    @property
    def needs_utf8(self) -> bool:
        """An address or a header field can only be sent with SMTPUTF8."""
        paths_are_ascii = self.reverse_path.isascii() and self.forward_path.isascii()
        return self.is_utf8 or not paths_are_ascii


class Block(NamedTuple):
    """Commands that may travel together, and what their replies will answer."""

    octets: bytes
    verbs: tuple[Verb, ...]


class ReplyReader:
    """Cuts the server's octets into replies, within limits.

    Lines end with CRLF (§2.3.8); a bare LF is put up with, as nothing can be
    smuggled to us past the one who writes the replies anyway.
    """

    def __init__(self) -> None:
        self._unread: deque[bytes] = deque()  # whole lines
        self._rest = b""
        self._lines: list[bytes] = []  # of the reply being read
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """All that was fed has been made into replies."""
        return not (self._unread or self._rest or self._lines)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Take octets, yield the replies they complete, one by one.

        Raises:
            ProtocolError: a line that is no reply line, a code that changes
                within a reply, or a reply beyond the limits.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._unread.extend(lines)
        while self._unread:
            line = self._unread.popleft().removesuffix(b"\r")
            self._add(line)
            # What begins with no code is not gone on with, as "SSH-2.0" is not.
            if line[3:4] != b"-" or not line[:3].isdigit():
                yield self._complete()
        if len(self._rest) > MAX_LINE_BYTES:
            raise ProtocolError("a reply line is too long")

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        if len(line) > MAX_LINE_BYTES:
            raise ProtocolError("a reply line is too long")
        if len(self._lines) > MAX_REPLY_LINES or self._bytes > MAX_REPLY_BYTES:
            raise ProtocolError("a reply does not end")

    def _complete(self) -> Reply:
        lines, self._lines, self._bytes = self._lines, [], 0
        try:
            if len(lines) == 1 and len(lines[0]) <= SHORT_LINE_BYTES:
                return _parse_short(lines[0])
            return parse_reply(lines)
        except ValueError as error:
            raise ProtocolError(str(error)) from error


# Most replies are the same few for every message: "250 2.1.0 Ok" and its like.
SHORT_LINE_BYTES = 40


@lru_cache(maxsize=512)
def _parse_short(line: bytes) -> Reply:
    return parse_reply([line])


class ClientSession:
    """What one client knows of one session, from the greeting on.

    Methods named after a command return its octets and note that a reply is
    due; ``receive`` hands out the replies, each with the verb it answers.

    Attributes:
        extensions: What the server offers now; empty before EHLO, after HELO,
            and again after STARTTLS (RFC 3207 §4.2).
    """

    def __init__(self) -> None:
        self.extensions: Mapping[str, str] = {}
        self._reader = ReplyReader()
        self._awaited: deque[Verb] = deque([Verb.CONNECT])
        self._problem: ProtocolError | None = None

    @property
    def is_in_step(self) -> bool:
        """Every command is answered and nothing more has come."""
        is_settled = not self._awaited and self._problem is None
        return is_settled and self._reader.is_empty

    @property
    def has_problem(self) -> bool:
        """The server has broken the rules; the next ``receive`` will say how."""
        return self._problem is not None

    @property
    def max_size(self) -> int | None:
        """Largest content the server takes; None if it does not say (RFC 1870 §4)."""
        value = self.extensions.get("SIZE", "")
        size = int(value) if value.isascii() and value.isdecimal() else 0
        return size or None

    def receive(self, data: bytes) -> list[tuple[Verb, Reply]]:
        """Take octets from the server; return replies in the order of commands.

        What is wrong behind a good reply does not undo it: a 250 to the final dot
        stands, and the error is raised the next time.

        Raises:
            ProtocolError: see ``ReplyReader.feed``; or a reply nobody awaits.
        """
        if self._problem is not None:
            raise self._problem
        matched: list[tuple[Verb, Reply]] = []
        try:
            for reply in self._reader.feed(data):
                matched.append((self._match(reply), reply))
        except ProtocolError as problem:
            self._problem = problem
            if not matched:
                raise
        return matched

    def _match(self, reply: Reply) -> Verb:
        if not self._awaited:
            raise ProtocolError(f"a reply too many: {str(reply)[:80]}")
        verb = self._awaited.popleft()
        if verb in (Verb.EHLO, Verb.LHLO) and reply.code == 250:
            self.extensions = parse_ehlo_reply(reply)
        elif verb is Verb.STARTTLS and reply.code == 220:
            # RFC 3207 §4.2: what came in clear is forgotten, and what came with
            # the 220 was put there by somebody in the middle.
            if not self.is_in_step:
                raise ProtocolError("octets follow the reply to STARTTLS")
            self.extensions = {}
        return verb

    def ehlo(self, name: str) -> bytes:
        """Say hello; ``name`` is ours, a domain or an address literal."""
        return self._command(Verb.EHLO, f"EHLO {_word(name)}")

    def helo(self, name: str) -> bytes:
        """Say hello to a server that knows no extensions (§3.2)."""
        self.extensions = {}
        return self._command(Verb.HELO, f"HELO {_word(name)}")

    def lhlo(self, name: str) -> bytes:
        """Say hello to a server of LMTP (RFC 2033 §4.1)."""
        return self._command(Verb.LHLO, f"LHLO {_word(name)}")

    def auth(self, line: bytes) -> bytes:
        """Say a line of a login: AUTH itself, or a response in base64."""
        return self.send(Block(line + b"\r\n", (Verb.AUTH,)))

    def starttls(self) -> bytes:
        """Ask for TLS; the handshake follows a 220."""
        return self._command(Verb.STARTTLS, "STARTTLS")

    def begin(
        self, transaction: Transaction, *, reset: bool, by_data: bool = True
    ) -> tuple[Block, ...]:
        """Write the commands before the content, in the blocks they may be sent in.

        Give each block to ``send`` once the one before it is answered in full.

        Args:
            reset: Clear first what an earlier transaction may have left behind.
            by_data: The last one is DATA; else the content comes by ``bdat``.

        Raises:
            ValueError: an address that cannot be said on the wire.
        """
        commands = [
            (Verb.MAIL, self._mail(transaction)),
            (Verb.RCPT, self._rcpt(transaction)),
        ]
        if by_data:
            commands.append((Verb.DATA, "DATA"))
        if reset:
            commands.insert(0, (Verb.RSET, "RSET"))
        blocks = tuple(Block(self._encode(text), (verb,)) for verb, text in commands)
        if "PIPELINING" not in self.extensions:
            return blocks
        # RFC 2920 §3.1: of these only DATA must be the last of its group.
        octets = b"".join(block.octets for block in blocks)
        return (Block(octets, tuple(verb for verb, _ in commands)),)

    def bdat(self, count: int, *, is_last: bool) -> bytes:
        """Announce a piece of content (RFC 3030 §2), which is to follow at once."""
        return self._command(Verb.BDAT, f"BDAT {count}{' LAST' if is_last else ''}")

    def send(self, block: Block) -> bytes:
        """Note that the block goes out, and return its octets."""
        self._awaited.extend(block.verbs)
        return block.octets

    def _mail(self, transaction: Transaction) -> str:
        words = [f"MAIL FROM:<{_path(transaction.reverse_path)}>"]
        if transaction.size and "SIZE" in self.extensions:
            words.append(f"SIZE={transaction.size}")
        if transaction.is_8bit and "8BITMIME" in self.extensions:
            words.append("BODY=8BITMIME")
        if transaction.needs_utf8 and "SMTPUTF8" in self.extensions:
            words.append("SMTPUTF8")
        wishes = transaction.wishes
        if "DSN" in self.extensions:  # RFC 3461 §4.3, §4.4
            words += [f"RET={wishes.ret}"] if wishes.ret else []
            words += [f"ENVID={encode_xtext(wishes.envid)}"] if wishes.envid else []
        if wishes.require_tls and "REQUIRETLS" in self.extensions:
            words.append("REQUIRETLS")
        return " ".join(words)

    def _rcpt(self, transaction: Transaction) -> str:
        words = [f"RCPT TO:<{_path(transaction.forward_path)}>"]
        notice = transaction.wishes.notice
        if "DSN" in self.extensions:  # RFC 3461 §4.1, §4.2
            if notice.notify:
                words.append(f"NOTIFY={','.join(sorted(notice.notify))}")
            if notice.orcpt:
                words.append(f"ORCPT={_encode_orcpt(notice.orcpt)}")
        return " ".join(words)

    def _command(self, verb: Verb, text: str) -> bytes:
        return self.send(Block(self._encode(text), (verb,)))

    def _encode(self, text: str) -> bytes:
        # UTF-8 beyond ASCII is for SMTPUTF8 (RFC 6531 §3.3).
        charset = "utf-8" if "SMTPUTF8" in self.extensions else "ascii"
        return text.encode(charset) + b"\r\n"


def _encode_orcpt(orcpt: str) -> str:
    addr_type, _, address = orcpt.partition(";")
    # RFC 6533 §3: what goes beyond ASCII is escaped, so that every server may have it.
    encode = encode_utf8_addr_xtext if addr_type == "utf-8" else encode_xtext
    return f"{addr_type};{encode(address)}"


class DotStuffer:
    """Makes content fit for DATA, block by block, wherever the blocks are cut.

    Dots that begin a line are doubled (§4.5.2). Content is CRLF throughout when
    it comes from our spool and then passes otherwise untouched; a bare CR or LF
    would let content end itself at a lax server, so it becomes CRLF (§2.3.8).
    """

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may be in the next block
        self._is_line_start = True

    def feed(self, chunk: bytes) -> bytes:
        """Take a block of content; return what to send for it."""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        if data.endswith(b"\r"):
            self._held, data = b"\r", data[:-1]
        if not data:
            return b""
        ends = data.count(b"\r\n")
        if data.count(b"\n") != ends or data.count(b"\r") != ends:
            data = _ANY_LINE_END.sub(b"\r\n", data)
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        if self._is_line_start and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._is_line_start = data.endswith(b"\r\n")
        return stuffed

    def close(self) -> bytes:
        """Return the end: the missing line end, if any, and the lone dot."""
        is_line_end = self._is_line_start and not self._held
        return b".\r\n" if is_line_end else b"\r\n.\r\n"


def _word(text: str) -> str:
    if not text or _UNSAFE.search(text) or len(text) > MAX_PATH_BYTES:
        raise ValueError(f"{text[:60]!r} cannot stand in a command")
    return text


def _path(address: str) -> str:
    # A space is legal within a quoted local part only.
    unsafe = _UNSAFE_PATH if address.startswith('"') else _UNSAFE
    if unsafe.search(address) or len(address.encode()) > MAX_PATH_BYTES:
        raise ValueError(f"{address[:60]!r} cannot be said on the wire")
    return address
