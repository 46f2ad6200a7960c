"""What a client's session is answered: the decisions of the door, and the intake's.

One transaction at a time: what was begun is committed or aborted, whatever ends it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from mta.errors import Rejected, StoreUnavailable
from mta.mail.envelope import Envelope
from mta.reply import Reply, make_reply
from mta.smtp.events import (
    ClientDeclared,
    ContentChunk,
    ContentEnded,
    ContentStarted,
    Event,
    LoginReceived,
    MailReceived,
    OriginDeclared,
    RcptReceived,
    TransactionReset,
)
from mta.smtp.parameters import Body
from mta.smtp.sasl import KeysWanted
from mta.smtp.scram import ScramKeys
from mta.smtp.server import ServerSession
from mta.smtpd.ports import Submission
from mta.smtpd.service import Client, Service

log = logging.getLogger(__name__)

T = TypeVar("T")

STORE_DOWN = make_reply(451, "4.3.0", "Cannot store the message now, try later")
BROKEN = make_reply(451, "4.3.0", "Local error, try later")
LOGIN_BROKEN = make_reply(454, "4.7.0", "Temporary authentication failure")
NO_LOGIN = make_reply(535, "5.7.8", "Authentication credentials invalid")


class Reception:
    """Answers the questions of one session.

    Args:
        client: Changed when somebody we believe says who it really is.
        session_id: For the envelope and the log.
    """

    def __init__(
        self, session: ServerSession, service: Service, client: Client, session_id: str
    ) -> None:
        self._session = session
        self._service = service
        self._guards = service.guards
        self._client = client
        self._forwarded = client
        self._id = session_id
        self._submission: Submission | None = None
        self._refusal: Reply | None = None
        self._reverse_path = ""
        self._is_vouched = False  # its login is somebody else's word
        self._reserved = 0  # recipients, of the user's quota
        self._reserved_at = service.now()

    def handle(self, event: Event) -> None:
        """Deal with what the session asks and tells."""
        session = self._session
        match event:
            case ContentChunk(data):
                self._write(data)
            case MailReceived(reverse_path, _):
                session.answer(self._greet_sender(reverse_path))
            case RcptReceived(reverse_path, recipient):
                session.answer(self._screen(reverse_path, recipient))
            case ContentStarted():
                session.answer(self._begin(event))
            case ContentEnded(size):
                session.answer(self._commit(size))
            case TransactionReset():
                self.abort()
            case _:
                self._introduce(event)

    def _introduce(self, event: Event) -> None:
        session = self._session
        match event:
            case KeysWanted(username):
                keys = self._find_keys(username)
                if isinstance(keys, Reply):
                    session.answer(keys)
                else:
                    session.answer_keys(keys)
            case LoginReceived():
                self._log_in(event)
            case ClientDeclared(facts):
                client = Client(origin=self._client.origin, tls=self._client.tls)
                self._client = _told(client, facts)
                self._forwarded = self._client
                self._is_vouched = True
                session.answer()
            case OriginDeclared(facts):
                self._forwarded = _told(self._forwarded, facts)
                session.answer()

    def abort(self) -> None:
        """Throw away what was begun."""
        submission, self._submission = self._submission, None
        if submission is not None:
            self._try(submission.abort)
        self._give_back()
        self._forwarded = self._client  # XFORWARD is for one transaction

    def note_tls(self, tls: str) -> None:
        """The session is encrypted from now on."""
        self._client = self._forwarded = replace(self._client, tls=tls)

    # Who it is.

    def _log_in(self, event: LoginReceived) -> None:
        logins = self._guards.logins
        if logins is None:
            self._session.answer(NO_LOGIN)
            return
        step = partial(
            logins.login,
            event.credentials,
            origin=self._client.origin,
            mechanism=event.mechanism,
        )
        user = self._try(step, broken=LOGIN_BROKEN)
        if self._service.observer is not None:
            is_right = not isinstance(user, Reply)
            self._service.observer.on_login(self._service.interface, is_right=is_right)
        if isinstance(user, Reply):
            self._session.answer(user)
        else:
            self._is_vouched = False
            log.info("login session=%s user=%r origin=%s", self._id, user, self.origin)
            self._session.answer_login(user)

    def _find_keys(self, username: str) -> ScramKeys | Reply | None:
        logins = self._guards.logins
        if logins is None:
            return None
        return self._try(partial(logins.keys, username), broken=LOGIN_BROKEN)

    @property
    def origin(self) -> str:
        """The client's IP address, as far as is known."""
        return self._forwarded.origin

    # What it sends.

    def _greet_sender(self, reverse_path: str) -> Reply | None:
        self._reverse_path = reverse_path
        guards, user = self._guards, self._session.user
        refusal = guards.pressure() if guards.pressure else None
        if refusal is None and user and guards.logins is not None:
            step = partial(guards.logins.may_send, user, reverse_path)
            refusal = self._try(partial(step, is_vouched=self._is_vouched))
        if refusal is not None:
            self._log_refusal(refusal, f"user={user}" if user else "")
        return refusal

    def _screen(self, reverse_path: str, recipient: str) -> Reply | None:
        screen = self._guards.screen
        if screen is None:
            return None
        reply = self._try(partial(screen, reverse_path, recipient))
        if reply is not None and not reply.is_positive:
            self._log_refusal(reply, f"recipient=<{recipient}>")
        return reply

    def _begin(self, event: ContentStarted) -> Reply | None:
        refusal = self._reserve(len(event.recipients))
        if refusal is not None:
            self._log_refusal(refusal, f"user={self._session.user}")
            return refusal
        begun = self._try(partial(self._service.intake.begin, self._envelope(event)))
        if isinstance(begun, Reply):
            self._give_back()
            return begun
        self._refusal = None
        self._submission = begun
        return None

    def _envelope(self, event: ContentStarted) -> Envelope:
        mail, client = event.mail, self._forwarded
        now = self._service.now()
        until = None if mail.by is None else now + timedelta(seconds=mail.by.seconds)
        is_returned = mail.by is not None and mail.by.mode == "R"
        return Envelope(
            reverse_path=mail.reverse_path,
            recipients=event.recipients,
            interface=self._service.interface,
            protocol=client.protocol or event.protocol,
            received_at=now,
            session_id=self._id,
            origin=client.origin,
            origin_host=client.origin_host,
            helo=client.helo or event.helo,
            user=self._session.user or None,
            smtputf8=mail.smtputf8,
            body_8bit=mail.body_8bit,
            deliver_after=now + mail.hold_for if mail.hold_for else mail.hold_until,
            expires_at=until if is_returned else None,
            late_at=None if is_returned else until,
            tls=client.tls,
            ret=mail.ret,
            envid=mail.envid,
            require_tls=mail.require_tls,
            is_binary=mail.body is Body.BINARY,
            notices=event.notices,
        )

    def _write(self, data: bytes) -> None:
        if self._submission is None:
            return  # refused already; the client hears so at the end
        refusal = self._try(partial(self._submission.write, data))
        if refusal is not None:
            self.abort()
            self._refusal = refusal

    def _commit(self, size: int) -> Reply:
        submission, self._submission = self._submission, None
        if submission is None:
            return self._refusal or BROKEN
        accepted = self._try(submission.commit)
        if isinstance(accepted, Reply):
            self._give_back()
            return accepted
        self._reserved = 0
        self._forwarded = self._client
        log.debug("accepted id=%s session=%s bytes=%d", accepted.id, self._id, size)
        return make_reply(250, "2.0.0", f"Message queued as {accepted.id}")

    # Quotas.

    def _reserve(self, recipients: int) -> Reply | None:
        logins, user = self._guards.logins, self._session.user
        if logins is None or not user:
            return None
        refusal = self._try(partial(logins.reserve, user, recipients))
        if refusal is None:
            self._reserved, self._reserved_at = recipients, self._service.now()
        return refusal

    def _give_back(self) -> None:
        reserved, self._reserved = self._reserved, 0
        if reserved and self._guards.logins is not None:
            step = partial(self._guards.logins.give_back, self._session.user, reserved)
            self._try(partial(step, reserved_at=self._reserved_at))

    # Failures.

    def _try(self, step: Callable[[], T], *, broken: Reply = BROKEN) -> T | Reply:
        """Do one step; a reply in place of its result is a refusal."""
        try:
            return step()
        except Rejected as error:
            self._log_refusal(error.reply, error.detail)
            return error.reply
        except StoreUnavailable as error:
            self._log_refusal(STORE_DOWN, str(error))
            return STORE_DOWN if broken is BROKEN else broken
        except Exception:
            log.exception("intake failed session=%s", self._id)
            return broken

    def _log_refusal(self, reply: Reply, detail: str) -> None:
        log.info(
            "refused session=%s interface=%s origin=%s from=<%s> reply=%r detail=%r",
            self._id,
            self._service.interface,
            self.origin,
            self._reverse_path,
            str(reply),
            detail,
        )


def _told(client: Client, facts: Mapping[str, str | None]) -> Client:
    """What a client says of whom it speaks for; what it does not know, nobody does."""
    changes: dict[str, str | None] = {}
    if facts.get("ADDR"):
        changes |= {"origin": facts["ADDR"], "origin_host": None}
    if "NAME" in facts:
        changes["origin_host"] = facts["NAME"]
    if "HELO" in facts:
        changes["helo"] = facts["HELO"]
    if "PROTO" in facts:
        changes["protocol"] = facts["PROTO"]
    return replace(client, **changes)  # type: ignore[arg-type]
