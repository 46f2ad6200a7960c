"""Messages and deliveries in the JSON of ZoneMTA's API.

Times within are milliseconds since 1970, as ZoneMTA's envelopes and deferrals have
them; dates of queue entries are ISO 8601 with a Z.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from mta.delivery import Delivery, DeliveryState, Outcome
from mta.mail.address import parse_address_list
from mta.mail.header import HeaderSection
from mta.operate.look import DEFERRED, MessageView

# ZoneMTA knows two; what it forgets at the end, we still list.
_STATUSES = {
    DeliveryState.QUEUED: "QUEUED",
    DeliveryState.SENDING: "QUEUED",  # with a lock
    **dict.fromkeys(DEFERRED, "DEFERRED"),
    DeliveryState.DELIVERED: "DELIVERED",
    DeliveryState.BOUNCED: "BOUNCED",
    DeliveryState.EXPIRED: "EXPIRED",
    DeliveryState.CANCELLED: "CANCELLED",
}


def format_instant(instant: datetime) -> str:
    """Write an instant as JavaScript does, such as ``2026-11-22T10:00:00.123Z``."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def milliseconds(instant: datetime) -> int:
    """Milliseconds since 1970."""
    return round(instant.timestamp() * 1000)


def message_meta(view: MessageView, recipients: Sequence[str]) -> dict[str, object]:
    """A message's envelope and what was learned of it at intake."""
    envelope = view.envelope
    section = HeaderSection.parse(view.header)
    meta: dict[str, object] = {
        "id": view.id,
        "interface": envelope.interface,
        "sessionId": envelope.session_id,
        "from": envelope.reverse_path,
        "to": list(recipients),
        "origin": envelope.origin or False,
        "originhost": envelope.origin_host or False,
        "transhost": envelope.helo or False,
        "transtype": envelope.protocol,
        "user": envelope.user or False,
        "time": milliseconds(envelope.received_at),
    }
    if envelope.requested_zone:
        meta["sendingZone"] = envelope.requested_zone
    return meta | {
        "headers": [
            {"key": key, "line": _text(raw).removesuffix("\r\n")}
            for key, raw in section.fields()
        ],
        "parsedEnvelope": _parsed_envelope(section),
        "messageId": view.message_id,
        "date": section.get("date") or False,
        "dkim": {"hashAlgo": "sha256", "bodyHash": view.body_hash},
        "bodySize": view.body_bytes,
        "sourceMd5": view.body_md5,
    }


def message_entry(delivery: Delivery) -> dict[str, object]:
    """One recipient in the list of ``/message``."""
    entry: dict[str, object] = {
        "id": delivery.message_id,
        "seq": delivery.seq,
        "zone": delivery.zone,
        "recipient": delivery.recipient,
        "status": _STATUSES[delivery.state],
    }
    if delivery.state is DeliveryState.SENDING:
        entry["lock"] = _lock(delivery)
    if delivery.state in DEFERRED:
        entry["deferred"] = _deferred(delivery)
    return entry


def queue_entry(delivery: Delivery) -> dict[str, object]:
    """One recipient in the list of ``/queued``."""
    return {
        "id": delivery.message_id,
        "zone": delivery.zone,
        "recipient": delivery.recipient,
        "created": format_instant(delivery.created_at),
        "queued": format_instant(delivery.due_at),
        "deferred": delivery.attempts,
    }


def _lock(delivery: Delivery) -> dict[str, object]:
    lock: dict[str, object] = {
        "key": f"lock {delivery.message_id} {delivery.seq}",
        "zone": delivery.zone,
        "domain": delivery.domain,
        "lockOwner": delivery.owner,
    }
    if delivery.lease_until is not None:
        lock["expires"] = milliseconds(delivery.lease_until)
    return lock


def _deferred(delivery: Delivery) -> dict[str, object]:
    log = [outcome for outcome in delivery.log if outcome.state in DEFERRED]
    deferred: dict[str, object] = {
        "count": delivery.attempts,
        "next": milliseconds(delivery.due_at),
    }
    if log:
        deferred |= {
            "first": milliseconds(log[0].at),
            "last": milliseconds(log[-1].at),
            "response": log[-1].response,
        }
    return deferred | {"log": [_log_entry(outcome) for outcome in log]}


def _log_entry(outcome: Outcome) -> dict[str, object]:
    entry: dict[str, object] = {
        "time": milliseconds(outcome.at),
        "response": outcome.response,
        "category": outcome.category,
        "host": outcome.host,
        "address": outcome.address,
        "source": outcome.source,
    }
    return {key: value for key, value in entry.items() if value != ""}


def _parsed_envelope(section: HeaderSection) -> dict[str, object]:
    return {
        "from": _first_address(section, "from"),
        **{name: _addresses(section, name) or False for name in ("to", "cc", "bcc")},
        "replyTo": _first_address(section, "reply-to"),
        "sender": _first_address(section, "sender"),
    }


def _addresses(section: HeaderSection, field: str) -> list[str]:
    found: dict[str, None] = {}
    for value in section.raw_values(field):
        found.update(dict.fromkeys(box.address for box in parse_address_list(value)))
    return list(found)


def _first_address(section: HeaderSection, field: str) -> str | bool:
    return next(iter(_addresses(section, field)), False)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
