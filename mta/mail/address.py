"""Mail addresses: one normal form, and the lists in header fields.

An address is a `str`. Its normal form has the local part as written, because only
the destination may interpret it (RFC 5321 §2.4), and the domain in lower case:
as A-labels beside an ASCII local part, else as Unicode.

RFC 5321 §4.1.2 (mailbox), RFC 5322 §3.4 and §4.4 (lists, groups, old forms),
RFC 5890 (A-labels), RFC 6531 §3.3 (local parts beyond ASCII). Text inside quotes,
comments and encoded words is never searched for an address: it is the author's
prose, and a recipient found there would be a recipient nobody named.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import idna

from mta.mail.words import decode_words

MAX_ADDRESS_BYTES = 254  # RFC 5321 §4.5.3.1.3: 256 with the angle brackets
MAX_LOCAL_PART_BYTES = 64  # §4.5.3.1.1
MAX_DOMAIN_CHARS = 253  # RFC 1035 §2.3.4, without the root and the first length

_NOISE = re.compile(r"[\x00-\x1f\x7f]+")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# Dots may stand anywhere: some large mailbox providers issued such addresses.
_DOT_ATOM = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]+")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*"')
_NOT_TEXT = re.compile("[\x80-\x9f\u2028\u2029\ufffd\ud800-\udfff]")

_TOKEN = re.compile(
    r'(?P<quoted>"(?:[^"\\]+|\\.)*"?)'
    r"|(?P<space>[ \t\r\n]+)"
    r"|(?P<special>[<>,;:()])"
    # A word; a domain literal is part of one, because of the colons in IPv6.
    r'|(?P<word>(?:[^"<>,;:()\[ \t\r\n\\]+|\\.?|\[[^\[\]]{0,255}\]?)+)',
    re.DOTALL,
)
_PARENTHESIS = re.compile(r"[()]|\\.", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name, perhaps empty, and a normalized address."""

    name: str
    address: str


def normalize_address(text: str) -> str:
    """Bring an address into its normal form; text without ``@`` stays text.

    Angle brackets and control characters are taken for blanks, and a local part
    with a blank in it gets the quotes it should have had. The result need not
    be a valid address: ask `is_valid_address`.
    """
    text = _NOISE.sub(" ", text).strip()
    if '"' not in text:
        text = text.replace("<", " ").replace(">", " ").strip()
    else:
        text = text.removeprefix("<").removesuffix(">").strip()
    local, at, domain = text.rpartition("@")
    if not at:
        return text
    domain = domain.strip()
    domain = normalize_domain(domain) if local.isascii() else _as_unicode(domain)
    if " " in local and not (local.startswith('"') and local.endswith('"')):
        escaped = local.strip(" ").replace("\\", "\\\\").replace('"', '\\"')
        local = f'"{escaped}"' if " " in escaped else escaped
    return f"{local}@{domain}"


def normalize_domain(text: str) -> str:
    """Write a domain as lower-case A-labels; what is no domain only in lower case."""
    domain = text.strip().lower()
    if domain.isascii() or len(domain) > MAX_DOMAIN_CHARS:
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain


def domain_of(address: str) -> str:
    """The domain as lower-case A-labels, a literal in its brackets, or ``""``."""
    return normalize_domain(address.rpartition("@")[2]) if "@" in address else ""


def is_valid_address(address: str) -> bool:
    """Whether a normalized address may stand in an SMTP command, with its limits."""
    local, at, domain = address.rpartition("@")
    if not at or _NOT_TEXT.search(address):
        return False
    if len(local.encode()) > MAX_LOCAL_PART_BYTES:
        return False
    if len(address.encode()) > MAX_ADDRESS_BYTES:
        return False
    if not (_DOT_ATOM.fullmatch(local) or _QUOTED.fullmatch(local)):
        return False
    return is_valid_domain(normalize_domain(domain))


def is_valid_domain(domain: str) -> bool:
    """Whether a normalized domain is a host name or an address literal."""
    if domain.startswith("["):
        return _is_literal(domain)
    return len(domain) <= MAX_DOMAIN_CHARS and _DOMAIN.fullmatch(domain) is not None


def parse_address_list(value: str) -> tuple[Mailbox, ...]:
    """Read the mailboxes of a field such as To, in their order, repeats included.

    Takes the raw value, its encoded words not yet decoded. Groups are flattened;
    what holds no address is left out. Never fails: what is broken comes out as an
    address that is not valid.
    """
    return tuple(iter_mailboxes(value))


def iter_mailboxes(value: str) -> Iterator[Mailbox]:
    """Like `parse_address_list`, one at a time, so that a caller can stop early."""
    segment = _Segment()
    position = 0
    while match := _TOKEN.match(value, position):
        position = match.end()
        kind, piece = match.lastgroup, match[0]
        if piece == "(":
            start, position = position, _end_of_comment(value, position)
            segment.note_comment(value[start : position - 1])
        elif kind != "special":
            segment.note_text(piece, kind or "")
        elif segment.ends_at(piece):
            yield from segment.take()
            segment = _Segment(angle=[] if piece == "<" else None)
        else:
            segment.note_special(piece)
    yield from segment.take()


def first_address(values: Iterable[str]) -> str:
    """The first address in fields such as From, as raw values; "" if there is none."""
    mailboxes = (mailbox for value in values for mailbox in iter_mailboxes(value))
    return next((mailbox.address for mailbox in mailboxes), "")


@dataclass(slots=True)
class _Segment:
    """What stands between two commas: words, comments, and an angle address.

    ``runs`` are words that touch, with the quotes they came in; ``angle`` is the
    text inside angle brackets while they are open.
    """

    runs: list[list[str]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    angle: list[str] | None = None
    address: str = ""
    touches: bool = False

    def ends_at(self, piece: str) -> bool:
        """A comma or semicolon, or a second angle address without a comma."""
        return piece in ",;" or (piece == "<" and bool(self.address))

    def note_text(self, piece: str, kind: str) -> None:
        if self.angle is not None:
            self.angle.append(piece)
        elif kind == "space":
            self.touches = False
        elif self.touches:
            self.runs[-1].append(piece)
        else:
            self.runs.append([piece])
            self.touches = True

    def note_comment(self, text: str) -> None:
        self.comments.append(text)
        self.touches = False

    def note_special(self, piece: str) -> None:
        self.touches = False
        if piece == ">":
            self.address = "".join(self.angle or ())
            self.angle = None
        elif self.angle is not None:
            self.angle.append(piece)
        elif piece == "<":
            self.angle = []
        elif piece == ":":
            self.runs.clear()  # it was the name of a group

    def take(self) -> Iterator[Mailbox]:
        """The segment's mailbox, if it has one."""
        if self.angle:
            self.address = "".join(self.angle)
        if not self.address:
            self._take_bare_address()
        address = normalize_address(self.address)
        if address:
            yield Mailbox(self._name(), address)

    def _take_bare_address(self) -> None:
        for index, run in enumerate(self.runs):
            if any("@" in part for part in run if not part.startswith('"')):
                self.address = "".join(run)
                del self.runs[index]
                return

    def _name(self) -> str:
        words = ["".join(map(_unquote, run)) for run in self.runs]
        return decode_words(" ".join(words or self.comments)).strip()


def _unquote(piece: str) -> str:
    if not piece.startswith('"'):
        return piece
    return _ESCAPED.sub(r"\1", piece[1:].removesuffix('"'))


def _end_of_comment(value: str, position: int) -> int:
    """Find where the comment opened before ``position`` ends; comments nest."""
    depth = 1
    for match in _PARENTHESIS.finditer(value, position):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(value) + 1


def _as_unicode(domain: str) -> str:
    domain = normalize_domain(domain)
    if "xn--" not in domain or len(domain) > MAX_DOMAIN_CHARS:
        return domain
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain


def _is_literal(domain: str) -> bool:
    if not domain.endswith("]"):
        return False
    text = domain[1:-1]
    try:
        if text.startswith("ipv6:"):
            return "%" not in text and bool(IPv6Address(text[5:]).compressed)
        return bool(IPv4Address(text).compressed)
    except ValueError:
        return False
