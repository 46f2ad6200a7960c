"""An app with the pages alone, on fakes."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mta.dashboard.pages import dashboard_routes
from mta.delivery import Delivery
from mta.operate.look import Doubt
from mta.store.inbox import InboxMessage
from mta.store.transcripts import KeptTranscript

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


class FakeQueue:
    def __init__(self) -> None:
        self.counts: dict[str | None, tuple[list, list]] = {}
        self.deliveries: list[Delivery] = []
        self.messages: dict[str, object] = {}
        self.doubted: list[Doubt] = []
        self.transcripts: list[KeptTranscript] = []
        self.asked: dict[str, object] = {}

    def zones(self, *, include_disabled: bool = False) -> list[str]:
        return ["bounces", "default"]

    def count_by_domain(self, zone):
        return self.counts.get(zone, ([], []))

    def listing(self, zone, **asked) -> list[Delivery]:
        self.asked = {"zone": zone, **asked}
        return self.deliveries[: asked["limit"]]

    def find_message(self, message_id: str):
        return self.messages.get(message_id)

    def find_deliveries(self, message_id: str, *, limit: int = 1000) -> list[Delivery]:
        return self.deliveries[:limit]

    def find_delivery(self, delivery_id: str) -> Delivery | None:
        found = (known for known in self.deliveries if known.id == delivery_id)
        return next(found, None)

    def find_transcripts(self, delivery_id: str) -> list[KeptTranscript]:
        return self.transcripts

    def has_doubts(self) -> bool:
        return bool(self.doubted)

    def doubts(self, **asked) -> list[Doubt]:
        self.asked = asked
        return self.doubted[: asked["limit"]]


class FakeInbox:
    def __init__(self) -> None:
        self.messages: dict[str, tuple[InboxMessage, bytes]] = {}
        self.asked: tuple[int, str | None] | None = None

    def put(self, content: bytes, *, message_id="1nb0x", subject="Hello") -> str:
        message = InboxMessage(
            id=message_id,
            received_at=NOW,
            reverse_path="ada@example.test",
            recipients=("bob@example.test",),
            subject=subject,
            size=len(content),
        )
        self.messages[message_id] = (message, content)
        return message_id

    def list(self, limit: int, recipient: str | None = None):
        self.asked = (limit, recipient)
        return [message for message, _ in self.messages.values()][:limit]

    def find(self, message_id: str) -> InboxMessage | None:
        return self.messages.get(message_id, (None, b""))[0]

    def content(self, message_id: str) -> Iterator[bytes]:
        content = self.messages[message_id][1]
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def inbox() -> FakeInbox:
    return FakeInbox()


@pytest.fixture
def pages(queue: FakeQueue, inbox: FakeInbox) -> FlaskClient:
    app = Flask("mta.dashboard", static_folder=None)
    app.register_blueprint(dashboard_routes(queue, inbox))
    return app.test_client()


@pytest.fixture
def pages_without_inbox(queue: FakeQueue) -> FlaskClient:
    app = Flask("mta.dashboard", static_folder=None)
    app.register_blueprint(dashboard_routes(queue, None))
    return app.test_client()
