"""On which terms a message is taken: whose it is, how urgent, from when until when.

What the door says of a message wins over what its header section says, and that
over what the configuration says. The header section is asked only where clients may
choose.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mta.config.values import MAX_TENANT_CHARS, format_duration, parse_tenant
from mta.config.zones import Config
from mta.errors import Rejected
from mta.intake.route import may_choose
from mta.mail.envelope import Envelope
from mta.mail.submit import PRIORITY_FIELD, TENANT_FIELD, Prepared
from mta.reply import make_reply

MAX_DELAY = timedelta(days=365)
# Clocks differ; a Date that is not further ahead than this means now.
DATE_SLACK = timedelta(minutes=5)

_TRANSACTIONAL = "transactional"
_PRIORITIES = (_TRANSACTIONAL, "normal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for all recipients of a message.

    Attributes:
        tenant: Never empty.
        due_at: Earliest first attempt.
        give_up_at: When we stop trying; after ``due_at``.
    """

    tenant: str
    is_transactional: bool
    due_at: datetime
    give_up_at: datetime


def settle_terms(
    config: Config, envelope: Envelope, prepared: Prepared, *, created_at: datetime
) -> Terms:
    """Settle the terms of a message that is accepted at ``created_at``.

    Raises:
        Rejected: A field or a time that cannot be; the reply names it.
    """
    due_at = _due_at(config, envelope, prepared, created_at)
    give_up_at = due_at + config.queue.max_queue_time
    if envelope.expires_at is not None:
        if envelope.expires_at <= due_at:
            raise _refuse_time(
                envelope, "expires_at", "must be after now and after deliver_after"
            )
        give_up_at = min(give_up_at, envelope.expires_at)
    is_asked = may_choose(config, envelope.interface)
    return Terms(
        tenant=_tenant(envelope, prepared.requested_tenant if is_asked else None),
        is_transactional=_is_transactional(
            config, envelope, prepared.requested_priority if is_asked else None
        ),
        due_at=due_at,
        give_up_at=give_up_at,
    )


def _due_at(
    config: Config, envelope: Envelope, prepared: Prepared, now: datetime
) -> datetime:
    latest = now + MAX_DELAY
    most = f"must be at most {format_duration(MAX_DELAY)} ahead"
    if envelope.deliver_after is not None:
        if envelope.deliver_after > latest:
            raise _refuse_time(envelope, "deliver_after", most)
        return max(now, envelope.deliver_after)
    if config.queue.future_date and prepared.date > now + DATE_SLACK:
        if prepared.date > latest:
            raise _refuse_field("Date", most)
        return prepared.date
    return now


def _tenant(envelope: Envelope, requested: str | None) -> str:
    if envelope.tenant:
        return envelope.tenant
    if requested is not None:
        try:
            return parse_tenant(requested)
        except ValueError as error:
            raise _refuse_field(TENANT_FIELD, str(error)) from None
    user = f"/{envelope.user}" if envelope.user else ""
    return f"{envelope.interface}{user}"[:MAX_TENANT_CHARS]


def _is_transactional(
    config: Config, envelope: Envelope, requested: str | None
) -> bool:
    if envelope.priority is not None:
        return envelope.priority == _TRANSACTIONAL
    if requested is not None:
        word = requested.lower()
        if word not in _PRIORITIES:
            known = " nor ".join(_PRIORITIES)
            raise _refuse_field(PRIORITY_FIELD, f"{word[:40]!a} is neither {known}")
        return word == _TRANSACTIONAL
    interface = config.interfaces.get(envelope.interface)
    return interface is not None and interface.priority == _TRANSACTIONAL


def _refuse_field(name: str, why: str) -> Rejected:
    return Rejected(
        make_reply(554, "5.6.0", f"{name}: {why}"), pointer=f"/headers/{name}"
    )


def _refuse_time(envelope: Envelope, name: str, why: str) -> Rejected:
    # A streamed message has its times in the query string, not in JSON.
    pointer = name if envelope.from_header else f"/{name}"
    return Rejected(make_reply(554, "5.5.4", f"{name}: {why}"), pointer=pointer)
