"""Submission by HTTP: ``POST /send`` for JSON, ``POST /send-raw`` for a message.

``/send`` builds the message in memory, because JSON has to be whole to be read;
``/send-raw`` streams, and holds one block of it whatever its size. Neither reads
anything while there is no room for more mail.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain

from flask import Blueprint, Response, jsonify, request

from mta.api.aside import aside
from mta.api.body import (
    BLOCK_BYTES,
    MAX_JSON_BYTES_AT_ONCE,
    Budget,
    parse_json,
    read_blocks,
    read_whole,
    require_media_type,
)
from mta.api.parts import Parts
from mta.api.ports import Accepted, Intake
from mta.api.problems import Refused
from mta.api.queries import read_origin, read_user
from mta.api.terms import Terms, read_terms, take_terms
from mta.config.zones import Config
from mta.errors import Rejected
from mta.mail.compose import Composed, compose
from mta.mail.envelope import Envelope

INTERFACE = "api"
PROTOCOL = "HTTP"

# Below, composing takes less than a hand-over to another thread is worth.
_QUICK_BYTES = 64 * 1024

_JSON = frozenset({"application/json"})
# A page in a browser cannot send the first two across sites without asking first;
# that it cannot send none at all is seen to by the guard.
_MESSAGE = frozenset({"message/rfc822", "application/octet-stream", ""})


def send_routes(parts: Parts) -> Blueprint:
    """The two routes."""
    routes = Blueprint("send", __name__)
    budget = Budget(MAX_JSON_BYTES_AT_ONCE)

    @routes.before_request
    def make_sure_of_room() -> None:
        refusal = parts.pressure.refusal() if parts.pressure else None
        if refusal is not None:
            raise Rejected(refusal)

    @routes.post("/send")
    def send() -> Response:
        require_media_type(request, _JSON)
        with budget.share() as share:
            composed, terms = _composed(parts, read_whole(request, share))
            _check_zone(parts.config.current, terms.zone, "/zone")
            envelope = _envelope(
                parts,
                terms,
                reverse_path=composed.reverse_path,
                recipients=composed.recipients,
                smtputf8=composed.smtputf8,
            )
            accepted = submit(parts.intake, envelope, _slices(composed))
        return _answer(accepted, envelope.recipients)

    @routes.post("/send-raw")
    def send_raw() -> Response:
        require_media_type(request, _MESSAGE)
        terms = read_terms(request, parts.now())
        _check_zone(parts.config.current, terms.zone, "zone")
        blocks = _not_empty(read_blocks(request, parts.config.current.api.max_size))
        envelope = _envelope(
            parts, terms, reverse_path="", recipients=(), from_header=True
        )
        accepted = submit(parts.intake, envelope, blocks)
        return _answer(accepted, accepted.recipients)

    return routes


def submit(intake: Intake, envelope: Envelope, blocks: Iterable[bytes]) -> Accepted:
    """Hand one message over; all of it, or none.

    Raises:
        Rejected: It is refused.
        StoreUnavailable: Nothing was promised.
    """
    submission = intake.begin(envelope)
    try:
        for block in blocks:
            submission.write(block)
    except BaseException:  # a killed greenlet leaves remains as well
        submission.abort()
        raise
    return submission.commit()


def _composed(parts: Parts, raw: bytes) -> tuple[Composed, Terms]:
    """The message that a request's JSON describes, and what it says of it."""
    # The clock may ask the database, which is for this thread alone.
    work = partial(_compose, parts, raw, parts.now())
    return work() if len(raw) <= _QUICK_BYTES else aside(work)


def _compose(parts: Parts, raw: bytes, now: datetime) -> tuple[Composed, Terms]:
    mail = parse_json(raw)
    if not isinstance(mail, dict):
        raise Refused(400, "The body must be a JSON object")
    limits = parts.config.current.api
    terms, fields = take_terms(mail, now)
    composed = compose(
        mail,
        now=now,
        hostname=parts.settings.hostname,
        max_recipients=limits.max_recipients,
        max_bytes=limits.max_size,
    )
    if fields:
        composed = replace(composed, header=composed.header + fields)
    size = len(composed.header) + 2 + len(composed.body)
    if size > limits.max_size:
        raise Refused(413, f"The message is over {limits.max_size} bytes")
    return composed, terms


def _slices(composed: Composed) -> Iterator[bytes]:
    yield composed.header + b"\r\n"
    for start in range(0, len(composed.body), BLOCK_BYTES):
        yield composed.body[start : start + BLOCK_BYTES]


def _not_empty(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """``blocks``, once the first is there: a client that says nothing costs nothing."""
    first = next(blocks, b"")
    if not first:
        raise Refused(400, "The body is empty")
    return chain((first,), blocks)


def _envelope(
    parts: Parts,
    terms: Terms,
    *,
    reverse_path: str,
    recipients: tuple[str, ...],
    smtputf8: bool = False,
    from_header: bool = False,
) -> Envelope:
    return Envelope(
        reverse_path=reverse_path,
        recipients=recipients,
        interface=INTERFACE,
        protocol=PROTOCOL,
        received_at=parts.now(),
        session_id=secrets.token_hex(8),
        origin=read_origin(request),
        user=read_user(request),
        smtputf8=smtputf8,
        from_header=from_header,
        requested_zone=terms.zone,
        tenant=terms.tenant,
        priority=terms.priority,
        deliver_after=terms.deliver_after,
        expires_at=terms.expires_at,
    )


def _check_zone(config: Config, zone: str | None, field: str) -> None:
    """See that a zone that is asked for is there.

    Args:
        field: Where it is asked for, as ``Refused`` names it.

    Raises:
        Refused: It is not.
    """
    names = [known.name.lower() for known in config.enabled_zones()]
    if zone is not None and zone not in names:
        text = f"There is no sending zone {zone[:80]!r}"
        raise Refused(400, text, field=field)


def _answer(accepted: Accepted, recipients: Sequence[str]) -> Response:
    return jsonify(
        {
            "id": accepted.id,
            "from": accepted.reverse_path,
            "to": list(recipients),
            "response": f"Message queued as {accepted.id}",
        }
    )
