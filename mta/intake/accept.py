"""Taking one message in: stream the body, check and route, commit, then ring.

The commit is one insert into ``messages``. Before it nothing is promised, and
what was written is removed; after it nothing is refused, and what a crash leaves
undone the scheduler does. Memory per message is one chunk and the header.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bson.raw_bson import RawBSONDocument

from mta.config.live import Live
from mta.config.zones import Config
from mta.errors import MtaError, Rejected, StoreUnavailable
from mta.intake.expand import Expander
from mta.intake.route import Routing
from mta.intake.terms import Terms, settle_terms
from mta.mail.address import normalize_address
from mta.mail.binary import BinaryToBase64, TooComplex
from mta.mail.dkim import RelaxedBodyHash
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection, HeaderSplitter, HeaderTooLarge
from mta.mail.lines import CanonicalLines
from mta.mail.submit import (
    HeaderRules,
    Prepared,
    extract_envelope,
    prepare_header,
)
from mta.observe import metrics
from mta.reply import make_reply
from mta.store.documents import Body, Recipient, StoredMessage
from mta.store.messages import Messages
from mta.store.spool import Spool, SpoolWriter

log = logging.getLogger(__name__)

# A body outlives its message's last possible attempt by this much at most, should
# a crash have hidden it from everybody.
SPOOL_GRACE = timedelta(days=3)

_NOT_STORABLE = make_reply(554, "5.6.0", "The message cannot be stored")
_TOO_COMPLEX = make_reply(554, "5.6.0", "The MIME structure is too complex")
_HEADER_TOO_LARGE = make_reply(552, "5.3.4", "Header section too large")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was promised, to whom."""

    id: str
    reverse_path: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The one function both doors use: ``begin``, ``write`` ..., ``commit``.

    Attributes:
        ids: Makes queue ids.
        now: The clock; aware UTC, whole milliseconds.
    """

    config: Live[Config]
    hostname: str
    ids: Callable[[], str]
    routing: Live[Routing]
    spool: Spool
    messages: Messages
    expander: Expander
    now: Callable[[], datetime]

    def begin(self, envelope: Envelope) -> "Submission":
        """Start to take a message in; nothing is stored yet."""
        return Submission(self, envelope)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A message whose header section has come: from here on its body is stored."""

    prepared: Prepared
    recipients: list[Recipient]
    terms: Terms
    writer: SpoolWriter


class Submission:
    """One message on its way in; ``commit`` or ``abort`` ends it."""

    def __init__(self, intake: Intake, envelope: Envelope) -> None:
        self.id = intake.ids()
        self._intake = intake
        # One configuration from beginning to end, whatever comes into force meanwhile.
        self._config, self._routing = intake.config.current, intake.routing.current
        self._envelope = envelope
        self._created_at = intake.now()
        self._binary = BinaryToBase64() if envelope.is_binary else None
        self._lines = CanonicalLines()
        self._splitter = HeaderSplitter()
        self._opened: _Opened | None = None
        self._hash = RelaxedBodyHash()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._is_8bit = False

    def write(self, chunk: bytes) -> None:
        """Take a piece of the content: header, empty line and body, as sent.

        Raises:
            Rejected: The header section is not acceptable.
            StoreUnavailable: The body could not be stored.
        """
        try:
            self._take(self._lines.feed(self._encode(chunk)))
        except MtaError:
            _count_refused(self._envelope)
            raise

    def commit(self) -> Accepted:
        """Promise delivery: when this returns, the message is safe.

        Raises:
            Rejected: The message is not acceptable; nothing is kept.
            StoreUnavailable: Nothing is promised; it may be stored all the same.
        """
        try:
            message, recipients, encoded = self._complete()
        except MtaError:
            self.abort()
            _count_refused(self._envelope)
            raise
        try:
            self._intake.messages.insert(encoded)
        except StoreUnavailable:
            # It may be stored nevertheless, so its body must stay.
            _count_refused(self._envelope)
            raise
        self._expand(message, recipients)
        _count_accepted(message)
        addresses = tuple(recipient.address for recipient in recipients)
        return Accepted(self.id, message.envelope.reverse_path, addresses)

    def abort(self) -> None:
        """Forget the message; what is left behind, a TTL collects."""
        try:
            if self._opened is not None:
                self._opened.writer.abort()
        except StoreUnavailable as error:
            log.warning("remains not removed id=%s error=%s", self.id, error)
        metrics.MESSAGE_DROP.inc()

    def _encode(self, chunk: bytes | None) -> bytes:
        """Turn binary parts into lines; None ends the message (RFC 3030 §3)."""
        if self._binary is None:
            return chunk or b""
        try:
            return self._binary.close() if chunk is None else self._binary.feed(chunk)
        except TooComplex as error:
            raise Rejected(_TOO_COMPLEX, detail=str(error)) from error

    def _take(self, canonical: bytes) -> None:
        try:
            body = self._splitter.feed(canonical)
        except HeaderTooLarge as error:
            raise Rejected(_HEADER_TOO_LARGE, detail=str(error)) from error
        if self._splitter.is_complete:
            self._store(body)

    def _store(self, body: bytes) -> _Opened:
        opened = self._opened = self._opened or self._open()
        if body:
            self._hash.update(body)
            self._md5.update(body)
            self._is_8bit = self._is_8bit or not body.isascii()
            opened.writer.write(body)
        return opened

    def _open(self) -> _Opened:
        """Settle header, envelope, terms and zones, before the body is stored."""
        intake = self._intake
        section = HeaderSection.parse(self._splitter.header)
        if self._envelope.from_header:
            reverse_path, recipients = extract_envelope(
                section, max_recipients=self._config.api.max_recipients
            )
            self._envelope = replace(
                self._envelope, reverse_path=reverse_path, recipients=recipients
            )
        prepared = prepare_header(
            section,
            envelope=self._envelope,
            now=self._created_at,
            hostname=intake.hostname,
            rules=HeaderRules(
                add_missing=self._config.queue.add_missing,
                x_originating_ip=self._config.queue.x_originating_ip,
            ),
        )
        self._envelope = self._envelope.asking_for(prepared.requested_zone)
        terms = settle_terms(
            self._config, self._envelope, prepared, created_at=self._created_at
        )
        addresses = map(normalize_address, self._envelope.recipients)
        routed = self._routing.route(
            tuple(addresses), envelope=self._envelope, prepared=prepared
        )
        kept_until = terms.give_up_at + self._config.queue.keep_content
        writer = intake.spool.open(expires_at=kept_until + SPOOL_GRACE)
        return _Opened(prepared, routed, terms, writer)

    def _complete(self) -> tuple[StoredMessage, list[Recipient], RawBSONDocument]:
        """Store the rest of the body; make what the promise will be written as."""
        self._take(self._lines.feed(self._encode(None)) + self._lines.close())
        opened = self._store(self._splitter.close())
        message = self._to_message(opened)
        try:
            encoded = self._intake.messages.encode(
                message, opened.recipients, now=self._intake.now()
            )
        except ValueError as error:
            raise Rejected(_NOT_STORABLE, detail=str(error)) from error
        opened.writer.close(
            uploaded_at=self._created_at,
            filename=f"message {self.id}",
            metadata={"created": self._created_at},
        )
        return message, opened.recipients, encoded

    def _expand(self, message: StoredMessage, recipients: list[Recipient]) -> None:
        """After the promise nothing is refused: the scheduler repairs."""
        try:
            now = self._intake.now()
            self._intake.expander.expand(message, recipients, now)
        except Exception as error:
            is_known = isinstance(error, StoreUnavailable)
            log.warning(
                "left to the scheduler id=%s error=%s",
                self.id,
                error,
                exc_info=not is_known,
            )

    def _to_message(self, opened: _Opened) -> StoredMessage:
        prepared, terms, writer = opened.prepared, opened.terms, opened.writer
        return StoredMessage(
            id=self.id,
            envelope=self._envelope,
            header=prepared.header,
            body=Body(
                file_id=writer.file_id,
                size=writer.size,
                hash=self._hash.digest(),
                md5=self._md5.hexdigest(),
                is_8bit=self._is_8bit,
            ),
            message_id=prepared.message_id,
            subject=prepared.subject,
            created_at=self._created_at,
            due_at=terms.due_at,
            give_up_at=terms.give_up_at,
            recipient_count=len(opened.recipients),
            tenant=terms.tenant,
            is_transactional=terms.is_transactional,
            adds_to=prepared.adds_to,
        )


def _count_accepted(message: StoredMessage) -> None:
    metrics.MESSAGE_PUSH.labels("success").inc()
    metrics.MESSAGES_RECEIVED.labels(message.envelope.interface, "accepted").inc()
    metrics.MESSAGE_BYTES.observe(message.size)
    log.info(
        "queued id=%s from=<%s> recipients=%d bytes=%d interface=%s origin=%s "
        "message-id=%s",
        message.id,
        message.envelope.reverse_path,
        message.recipient_count,
        message.size,
        message.envelope.interface,
        message.envelope.origin or "-",
        message.message_id,
    )


def _count_refused(envelope: Envelope) -> None:
    """The doors log what they refuse, and why."""
    metrics.MESSAGE_PUSH.labels("fail").inc()
    metrics.MESSAGES_RECEIVED.labels(envelope.interface, "refused").inc()
