"""Deliveries to a web server, as sessions like any other: one message, one request.

The message goes as a file in a web form (``mail.multipart_form``), streamed, and its
end is its final dot: what breaks after it may have arrived. 2xx is an acceptance, what
the server may take another time is transient, other 4xx are refusals for good. A
redirect is followed nowhere: the operator has named the server.

RFC 9110 §15 (status codes), RFC 9112 §7.1 (chunked).
"""

import http.client
import secrets
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import chain
from typing import Final
from urllib.parse import urlsplit

from mta.config.zones import HttpTarget
from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.mail.multipart_form import MAX_BODY_FIELD, form_fields, form_head, form_tail
from mta.policy.tls import Check
from mta.relay.carry import closing_content
from mta.relay.failures import describe_break, describe_doubt
from mta.relay.fuse import Fuse
from mta.relay.request import Hop, OpenContent
from mta.relay.transcript import Talk, Transcript
from mta.relay.web import read_answer
from mta.relay.wire import WRITE_BYTES, Cut, TimedOut, Timeouts, TlsError, Wire
from mta.reply import Reply, make_reply
from mta.smtp.client import Transaction, Verb

MAX_ANSWER: Final = 4_096  # octets of an answer's body that are read
MAX_HEADER: Final = 1 << 20  # octets; no stored header section is longer
# RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4: ask again.
_AGAIN: Final = frozenset({408, 425, 429})
_AGENT: Final = "celery-mta"


class HttpSession:
    """One request over a connected socket; owns the socket."""

    verified = Check.NO

    def __init__(
        self,
        wire: Wire,
        hop: Hop,
        target: HttpTarget,
        *,
        timeouts: Timeouts,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hop = hop
        self.uses = 0
        self._wire = wire
        self._target = target
        self._timeouts = timeouts
        self._monotonic = monotonic
        self._until = float("inf")  # no step of the transaction goes beyond
        self._transcript = Transcript(monotonic)
        self._transcript.note(
            f"connected to {hop.host}[{hop.address}] from {hop.source or 'anywhere'}"
        )

    @property
    def tls(self) -> str:
        """Version of TLS; empty in clear."""
        return self._wire.tls

    @property
    def cipher(self) -> str:
        """Name of the cipher suite; empty in clear."""
        return self._wire.cipher

    @property
    def is_usable(self) -> bool:
        """Whether there may be another request: never, after the first."""
        return self.uses == 0

    @property
    def talk(self) -> Talk:
        """What was said."""
        return self._transcript.snapshot()

    def open(self, context: ssl.SSLContext | None) -> None:
        """Encrypt, if the address wants it.

        Raises:
            TransientFailure: The server is not who it should be, or broke off.
        """
        if context is None:
            return
        deadline = self._deadline(self._timeouts.tls)
        try:
            self._wire.start_tls(context, self.hop.host, deadline)
        except (TlsError, Cut, TimedOut) as error:
            text = f"TLS handshake failed: {str(error) or 'timed out'}"
            reply = make_reply(454, "4.7.5", text)
            raise self._failure(TransientFailure, reply, "network") from error
        self._transcript.note(f"{self.tls} {self.cipher}")

    def transact(
        self, transaction: Transaction, open_content: OpenContent, fuse: Fuse
    ) -> Reply:
        """Send one message; return the answer as a reply.

        Raises:
            AttemptFailed: It was not taken.
            Stopping: The fuse was blown before.
        """
        self.uses += 1
        self._until = self._deadline(self._timeouts.transaction)
        fuse.arm(self._wire.sock)
        stage: str = "content"
        boundary = secrets.token_hex(16)
        try:
            self._send(self._head(boundary))
            with closing(self._form(transaction, open_content, boundary)) as form:
                for piece in form:
                    self._send_chunk(piece)
            fuse.commit()
            self._wire.send(b"0\r\n\r\n", self._deadline(self._timeouts.block))
            stage = Verb.DOT
            deadline = self._deadline(self._timeouts.final)
            answer = read_answer(self._wire, "POST", deadline, MAX_ANSWER)
        except (Cut, TimedOut, http.client.HTTPException, ValueError) as error:
            raise self._broken(error, stage) from error
        finally:
            fuse.disarm()
        text = answer.body.decode("utf-8", "replace")
        if self._target.authorization:  # it may be shown what it was given
            text = text.replace(self._target.authorization, "***")
        words = f"HTTP {answer.status} {text.strip()[:400]}".strip()
        self._transcript.note(words)
        return self._judge(answer.status, words)

    def rehearse(self, transaction: Transaction) -> Reply:
        """Nothing: a web server cannot be asked whether it would take a message."""
        return make_reply(250, None, "connected; nothing can be asked before")

    def is_quiet(self) -> bool:
        return False

    def end(self) -> None:
        self.close()

    def close(self) -> None:
        """End the connection at once."""
        self._wire.close()

    def _head(self, boundary: str) -> bytes:
        url = urlsplit(self._target.url)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {url.netloc}",
            f"User-Agent: {_AGENT}",
            f"Content-Type: multipart/form-data; boundary={boundary}",
            "Transfer-Encoding: chunked",
            "Connection: close",
        ]
        self._transcript.sent("\r\n".join(lines).encode())
        if self._target.authorization:
            lines.append(f"Authorization: {self._target.authorization}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def _form(
        self, transaction: Transaction, open_content: OpenContent, boundary: str
    ) -> Generator[bytes, None, None]:
        with closing_content(open_content(self.hop)) as content:
            chunks = iter(content)
            begin, header, body = _read_beginning(chunks)
            fields = form_fields(
                name=transaction.name,
                reverse_path=transaction.reverse_path,
                recipient=transaction.forward_path,
                header=header,
                body=body,
            )
            yield form_head(fields, boundary, f"{transaction.name}.eml")
            length = 0
            for chunk in chain((begin,), chunks):
                length += len(chunk)
                yield chunk
            yield form_tail(boundary, length)

    def _send(self, octets: bytes) -> None:
        self._wire.send(octets, self._deadline(self._timeouts.block))

    def _send_chunk(self, data: bytes) -> None:
        for start in range(0, len(data), WRITE_BYTES):
            block = data[start : start + WRITE_BYTES]
            self._transcript.sent_content(len(block))
            self._send(f"{len(block):x}\r\n".encode("ascii") + block + b"\r\n")

    def _judge(self, status: int, text: str) -> Reply:
        if 200 <= status < 300:
            return make_reply(250, "2.0.0", text)
        if 400 <= status < 500 and status not in _AGAIN:
            reply = make_reply(554, "5.3.0", text)
            raise self._failure(PermanentFailure, reply, "http")
        raise self._failure(TransientFailure, make_reply(451, "4.3.0", text), "http")

    def _broken(self, error: Exception, stage: str) -> AttemptFailed:
        reply, category = describe_break(error, stage)
        is_in_doubt = stage == Verb.DOT
        failure = self._failure(
            TransientFailure, describe_doubt(reply) if is_in_doubt else reply, category
        )
        failure.is_in_doubt = is_in_doubt
        return failure

    def _failure(
        self,
        kind: type[TransientFailure] | type[PermanentFailure],
        reply: Reply,
        category: str,
    ) -> AttemptFailed:
        failure = kind(
            reply,
            category=category,
            host=self.hop.host,
            address=self.hop.address,
            source=self.hop.source,
        )
        failure.talk = self.talk
        return failure

    def _deadline(self, timeout: timedelta) -> float:
        return min(self._monotonic() + timeout.total_seconds(), self._until)


def _read_beginning(chunks: Iterator[bytes]) -> tuple[bytes, bytes, bytes]:
    """Read the header section and as much of the body as the form repeats.

    Returns:
        All that was read; the header section in it; what is there of the body.
    """
    begin = b""
    for chunk in chunks:
        begin += chunk
        end = begin.find(b"\r\n\r\n")
        is_enough = end >= 0 and len(begin) >= end + 4 + MAX_BODY_FIELD
        if is_enough or (end < 0 and len(begin) > MAX_HEADER):
            break
    header, _, body = begin.partition(b"\r\n\r\n")
    return begin, header + b"\r\n", body
