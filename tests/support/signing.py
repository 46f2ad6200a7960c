"""Messages as they leave us: taken in, signed, and put together again."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import dkim

from mta.mail.dkim import RelaxedBodyHash
from mta.mail.dkim_record import format_record, record_name
from mta.mail.dkim_sign import SignedHeader, Signer, SigningTerms
from mta.mail.header import HeaderSplitter
from mta.mail.lines import canonical_lines


def take_in(content: bytes) -> tuple[bytes, bytes, str]:
    """Header section, body and the body's hash, as intake stores them."""
    splitter, hashed = HeaderSplitter(), RelaxedBodyHash()
    body = splitter.feed(canonical_lines(content)) + splitter.close()
    hashed.update(body)
    return splitter.header, body, hashed.digest()


def send_out(
    content: bytes,
    signers: Sequence[Signer],
    terms: SigningTerms,
    *,
    author: str = "",
    now: datetime | None = None,
) -> bytes:
    """A message as the next hop gets it."""
    header, body, body_hash = take_in(content)
    signed, now = SignedHeader(header, terms), now or datetime.now(UTC)
    fields = [signed.sign(s, body_hash, now=now, author=author) for s in signers]
    return b"".join(fields) + header + b"\r\n" + body


def records_of(signers: Sequence[Signer]) -> dict[str, str]:
    """What DNS has of their keys."""
    return {
        record_name(s.domain, s.selector): format_record(s.key.algorithm, s.key.public)
        for s in signers
    }


def in_quotes(text: str) -> str:
    """A TXT record's text as a zone file has it."""
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))


def verdicts(content: bytes, find: Callable[[str], str | None]) -> list[bool]:
    """What dkimpy makes of each of a message's signatures, from the topmost on."""

    def ask(name: bytes, timeout: int = 5) -> bytes | None:
        text = find(name.decode().rstrip("."))
        return text.encode() if text else None

    def holds(index: int) -> bool:
        try:
            # A fresh one: what it learned of one signature it takes for the next one's.
            return bool(dkim.DKIM(content).verify(index, dnsfunc=ask))
        except dkim.DKIMException:
            return False

    header = content.partition(b"\r\n\r\n")[0]
    count = len(re.findall(rb"(?im)^dkim-signature:", header))
    return [holds(index) for index in range(count)]
