"""Deliveries in the JSON of our own API: one shape, wherever one is shown."""

from datetime import datetime

from mta.api.shapes import format_instant
from mta.delivery import Delivery
from mta.operate.timeline import Entry, last_doubt, timeline
from mta.reasons import Reasons


def delivery_record(
    delivery: Delivery, *, doubted_at: datetime | None = None
) -> dict[str, object]:
    """A delivery with its timeline.

    Args:
        doubted_at: When it came in doubt the last time, if that is known better
            than by its timeline.
    """
    doubt = last_doubt(delivery)
    return {
        "id": delivery.id,
        "messageId": delivery.message_id,
        "seq": delivery.seq,
        "recipient": delivery.recipient,
        "domain": delivery.domain,
        "zone": delivery.zone,
        "tenant": delivery.tenant,
        "priority": "transactional" if delivery.is_transactional else "normal",
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "createdAt": format_instant(delivery.created_at),
        "dueAt": None
        if delivery.state.is_terminal
        else format_instant(delivery.due_at),
        "giveUpAt": format_instant(delivery.give_up_at),
        "waitsFor": delivery.waits_for or None,
        "putOffBy": delivery.put_off_by or None,
        "rule": delivery.rule,
        "doubts": delivery.doubts,
        "doubtedAt": _instant(doubted_at or (doubt.at if doubt else None)),
        "timeline": [_entry(entry) for entry in timeline(delivery)],
    }


def _entry(entry: Entry) -> dict[str, object]:
    outcome = entry.outcome
    return {
        "at": format_instant(outcome.at),
        "state": outcome.state.value,
        "attempt": outcome.attempt,
        "code": outcome.code,
        "status": outcome.status,
        "text": outcome.text,
        "category": outcome.category,
        "host": outcome.host,
        "address": outcome.address,
        "source": outcome.source,
        "tls": outcome.tls,
        "durationMs": outcome.duration_ms,
        "dueAt": _instant(outcome.due_at),
        "isDoubtful": outcome.is_doubtful,
        "isRepeat": entry.is_repeat,
        "reasons": reasons_record(outcome.reasons) if outcome.attempt else None,
    }


def reasons_record(reasons: Reasons) -> dict[str, object]:
    """What decided an attempt, or would."""
    return {
        "provider": reasons.provider,
        "site": reasons.site,
        "poolAddress": reasons.pool_address,
        "lastResort": reasons.is_last_resort,
        "passedOver": [
            {"cause": entry.cause, "addresses": list(entry.addresses)}
            for entry in reasons.passed_over
        ],
        "limits": [
            {"key": key, "connections": connections, "rate": rate}
            for key, connections, rate in reasons.limits
        ],
        "tls": {
            "policy": reasons.tls.policy,
            "version": reasons.tls.version,
            "cipher": reasons.tls.cipher,
            "verified": reasons.tls.verified,
        },
    }


def _instant(instant: datetime | None) -> str | None:
    return format_instant(instant) if instant else None
