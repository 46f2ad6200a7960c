"""Builders of stored things; only the interesting field shows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import DeliveryState, Outcome
from mta.mail.envelope import Envelope
from mta.reply import make_reply
from mta.store.deliveries import Deliveries
from mta.store.documents import Body, Recipient, StoredMessage, delivery_document
from mta.store.mongo import Mongo


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def deliveries(db: Mongo) -> Deliveries:
    return Deliveries(db, lease=timedelta(seconds=60))


@pytest.fixture
def a_message() -> Callable[..., StoredMessage]:
    def build(**changes: object) -> StoredMessage:
        facts: dict[str, object] = {
            "id": "0123456789abcdef01",
            "envelope": Envelope(
                reverse_path="ada@a.test",
                recipients=(),
                interface="feeder",
                protocol="ESMTP",
                received_at=utc_now(),
                session_id="s",
            ),
            "header": b"Subject: hi\r\n",
            "body": Body(file_id="f", size=4, hash="h", md5="m", is_8bit=False),
            "message_id": "<1@a.test>",
            "subject": "hi",
            "created_at": utc_now(),
            "due_at": utc_now(),
            "give_up_at": utc_now() + timedelta(days=1),
            "recipient_count": 1,
        }
        return StoredMessage(**{**facts, **changes})  # type: ignore[arg-type]

    return build


@pytest.fixture
def a_row(
    deliveries: Deliveries, a_message: Callable[..., StoredMessage]
) -> Callable[..., str]:
    """Insert a row; returns its id."""

    def insert(number: int = 1, **changes: object) -> str:
        row = delivery_document(
            a_message(),
            number,
            Recipient("bob@b.test", "b.test", "default"),
            ring_at=utc_now(),
            rung_at=None,
        )
        row |= changes
        deliveries.insert([row])
        return str(row["_id"])

    return insert


@pytest.fixture
def an_outcome() -> Callable[..., Outcome]:
    def build(
        state: DeliveryState, code: int = 250, due_at: datetime | None = None
    ) -> Outcome:
        return Outcome(
            at=utc_now(),
            state=state,
            reply=make_reply(code, None, "said"),
            attempt=1,
            due_at=due_at,
        )

    return build
