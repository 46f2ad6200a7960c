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

from mta.config.zones import Config
from mta.errors import MtaError, Rejected, StoreUnavailable
from mta.intake.expand import Expander
from mta.intake.route import Routing
from mta.mail.address import normalize_address
from mta.mail.dkim import RelaxedBodyHash
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection, HeaderSplitter, HeaderTooLarge
from mta.mail.lines import CanonicalLines
from mta.mail.submit import Prepared, extract_envelope, prepare_header
from mta.observe import metrics
from mta.reply import make_reply
from mta.store.documents import Body, Recipient, StoredMessage
from mta.store.messages import Messages
from mta.store.spool import Spool

log = logging.getLogger(__name__)

# A body outlives its message's last possible attempt by this much at most, should
# a crash have hidden it from everybody.
SPOOL_GRACE = timedelta(days=3)

_NOT_STORABLE = make_reply(554, "5.6.0", "The message cannot be stored")
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

    config: Config
    hostname: str
    ids: Callable[[], str]
    routing: Routing
    spool: Spool
    messages: Messages
    expander: Expander
    now: Callable[[], datetime]

    def begin(self, envelope: Envelope) -> "Submission":
        """Start to take a message in; nothing is stored yet."""
        return Submission(self, envelope)


class Submission:
    """One message on its way in; ``commit`` or ``abort`` ends it."""

    def __init__(self, intake: Intake, envelope: Envelope) -> None:
        self.id = intake.ids()
        self._intake = intake
        self._envelope = envelope
        self._created_at = intake.now()
        self._give_up_at = self._created_at + intake.config.queue.max_queue_time
        self._lines = CanonicalLines()
        self._splitter = HeaderSplitter()
        self._prepared: Prepared | None = None
        self._recipients: list[Recipient] = []
        self._hash = RelaxedBodyHash()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._is_8bit = False
        kept_until = self._give_up_at + intake.config.queue.keep_content
        self._writer = intake.spool.open(expires_at=kept_until + SPOOL_GRACE)

    def write(self, chunk: bytes) -> None:
        """Take a piece of the content: header, empty line and body, as sent.

        Raises:
            Rejected: The header section is not acceptable.
            StoreUnavailable: The body could not be stored.
        """
        try:
            self._take(self._lines.feed(chunk))
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
            message, encoded = self._complete()
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
        self._expand(message)
        _count_accepted(message)
        recipients = tuple(recipient.address for recipient in self._recipients)
        return Accepted(self.id, message.envelope.reverse_path, recipients)

    def abort(self) -> None:
        """Forget the message; what is left behind, a TTL collects."""
        try:
            self._writer.abort()
        except StoreUnavailable as error:
            log.warning("remains not removed id=%s error=%s", self.id, error)
        metrics.MESSAGE_DROP.inc()

    def _take(self, canonical: bytes) -> None:
        try:
            body = self._splitter.feed(canonical)
        except HeaderTooLarge as error:
            raise Rejected(_HEADER_TOO_LARGE, detail=str(error)) from error
        if self._splitter.is_complete and self._prepared is None:
            self._prepared = self._prepare()
        if body:
            self._hash.update(body)
            self._md5.update(body)
            self._is_8bit = self._is_8bit or not body.isascii()
            self._writer.write(body)

    def _prepare(self) -> Prepared:
        """Settle header, envelope and zones, before the body is stored."""
        intake = self._intake
        section = HeaderSection.parse(self._splitter.header)
        if self._envelope.from_header:
            reverse_path, recipients = extract_envelope(
                section, max_recipients=intake.config.api.max_recipients
            )
            self._envelope = replace(
                self._envelope, reverse_path=reverse_path, recipients=recipients
            )
        prepared = prepare_header(
            section,
            envelope=self._envelope,
            now=self._created_at,
            hostname=intake.hostname,
        )
        addresses = map(normalize_address, self._envelope.recipients)
        self._recipients = intake.routing.route(
            tuple(addresses), envelope=self._envelope, prepared=prepared
        )
        return prepared

    def _complete(self) -> tuple[StoredMessage, RawBSONDocument]:
        """Store the rest of the body; make what the promise will be written as."""
        self._take(self._lines.close())
        rest = self._splitter.close()
        if self._prepared is None:
            self._prepared = self._prepare()
        if rest:
            self._take(rest)
        message = self._to_message(self._prepared)
        try:
            encoded = self._intake.messages.encode(message, self._recipients)
        except ValueError as error:
            raise Rejected(_NOT_STORABLE, detail=str(error)) from error
        self._writer.close(
            uploaded_at=self._created_at,
            filename=f"message {self.id}",
            metadata={"created": self._created_at},
        )
        return message, encoded

    def _expand(self, message: StoredMessage) -> None:
        """After the promise nothing is refused: the scheduler repairs."""
        try:
            now = self._intake.now()
            self._intake.expander.expand(message, self._recipients, now)
        except Exception as error:
            is_known = isinstance(error, StoreUnavailable)
            log.warning(
                "left to the scheduler id=%s error=%s",
                self.id,
                error,
                exc_info=not is_known,
            )

    def _to_message(self, prepared: Prepared) -> StoredMessage:
        return StoredMessage(
            id=self.id,
            envelope=self._envelope,
            header=prepared.header,
            body=Body(
                file_id=self._writer.file_id,
                size=self._writer.size,
                hash=self._hash.digest(),
                md5=self._md5.hexdigest(),
                is_8bit=self._is_8bit,
            ),
            message_id=prepared.message_id,
            subject=prepared.subject,
            created_at=self._created_at,
            give_up_at=self._give_up_at,
            recipient_count=len(self._recipients),
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
