"""Fakes of what the HTTP door stands on, and an app built on them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from mta.api.app import create_app
from mta.config.live import Live
from mta.config.load import load_config
from mta.config.settings import load_settings
from mta.delivery import Delivery, DeliveryState, delivery_id
from mta.mail.envelope import Envelope
from mta.operate.explain import Explained, Letter
from mta.operate.look import Doubt, MessageView
from mta.operate.measures import Wanted, WarmupStatus
from mta.operate.steer import Order, Steered, SteeredMessage
from mta.policy.measures import Measure
from mta.store.transcripts import KeptTranscript

NOW = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)
MESSAGE_ID = "19ab3c5d7e0001c0de"


@dataclass(frozen=True)
class FakeAccepted:
    id: str
    reverse_path: str
    recipients: tuple[str, ...]


class FakeSubmission:
    def __init__(self, intake: "FakeIntake", envelope: Envelope) -> None:
        self.intake = intake
        self.envelope = envelope
        self.chunks: list[bytes] = []
        self.is_aborted = False
        self.is_committed = False

    @property
    def content(self) -> bytes:
        return b"".join(self.chunks)

    def write(self, chunk: bytes) -> None:
        if self.intake.write_error is not None:
            raise self.intake.write_error
        self.chunks.append(chunk)

    def commit(self) -> FakeAccepted:
        if self.intake.commit_error is not None:
            raise self.intake.commit_error
        self.is_committed = True
        if self.envelope.from_header:
            return FakeAccepted(MESSAGE_ID, "ada@example.test", ("bob@example.test",))
        return FakeAccepted(
            MESSAGE_ID, self.envelope.reverse_path, self.envelope.recipients
        )

    def abort(self) -> None:
        self.is_aborted = True


class FakeIntake:
    def __init__(self) -> None:
        self.submissions: list[FakeSubmission] = []
        self.write_error: Exception | None = None
        self.commit_error: Exception | None = None

    def begin(self, envelope: Envelope) -> FakeSubmission:
        submission = FakeSubmission(self, envelope)
        self.submissions.append(submission)
        return submission

    @property
    def last(self) -> FakeSubmission:
        return self.submissions[-1]


@dataclass
class FakeLook:
    zone_names: list[str] = field(default_factory=lambda: ["bounces", "default"])
    counts: dict[str, tuple[list[tuple[str, int]], list[tuple[str, int]]]] = field(
        default_factory=dict
    )
    messages: dict[str, MessageView] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    doubted: list[Doubt] = field(default_factory=list)
    contents: dict[str, list[bytes]] = field(default_factory=dict)
    transcripts: list[KeptTranscript] = field(default_factory=list)
    checks: list[tuple[str, bool, str]] = field(
        default_factory=lambda: [("mongo", True, ""), ("broker", True, "")]
    )
    asked: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None

    def zones(self, *, include_disabled: bool = False) -> list[str]:
        return [*self.zone_names, "old"] if include_disabled else self.zone_names

    def count_by_domain(self, zone):
        return self.counts.get(zone, ([], []))

    def listing(self, zone, **asked) -> list[Delivery]:
        self.asked = {"zone": zone, **asked}
        return self.deliveries

    def find_message(self, message_id: str) -> MessageView | None:
        if self.error is not None:
            raise self.error
        return self.messages.get(message_id)

    def find_deliveries(self, message_id: str, *, limit: int = 1000) -> list[Delivery]:
        self.asked = {"limit": limit}
        return self.deliveries[:limit]

    def find_delivery(self, delivery_id: str) -> Delivery | None:
        found = (known for known in self.deliveries if known.id == delivery_id)
        return next(found, None)

    def find_transcripts(self, delivery_id: str) -> list[KeptTranscript]:
        self.asked = {"delivery_id": delivery_id}
        return self.transcripts

    def walk(self, states, **asked) -> list[Delivery]:
        self.asked = {"states": set(states), **asked}
        return self.deliveries[: asked["limit"]]

    def has_doubts(self) -> bool:
        return bool(self.doubted)

    def doubts(self, **asked) -> list[Doubt]:
        self.asked = asked
        return self.doubted[: asked["limit"]]

    def open_content(self, message_id: str, *, body_only: bool) -> Iterator[bytes]:
        chunks = self.contents.get(message_id)
        if chunks is None:
            return None
        return iter(chunks[1:] if body_only else chunks)

    def readiness(self) -> list[tuple[str, bool, str]]:
        return self.checks


@dataclass
class FakeSteer:
    """Answers what it is told to, and notes the orders."""

    delivery: Delivery | None = None
    message: SteeredMessage | None = None
    is_done: bool = True
    orders: list[tuple[Order, str]] = field(default_factory=list)
    error: Exception | None = None

    def steer(self, order: Order, delivery_id: str) -> Steered | None:
        self.orders.append((order, delivery_id))
        if self.error is not None:
            raise self.error
        if self.delivery is None:
            return None
        return Steered(delivery=self.delivery, is_done=self.is_done)

    def steer_message(self, order: Order, message_id: str) -> SteeredMessage | None:
        self.orders.append((order, message_id))
        return self.message


@dataclass
class FakeShaping:
    """Holds back what it is told to, and notes the orders."""

    measures: list[Measure] = field(default_factory=list)
    statuses: list[WarmupStatus] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    orders: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None

    def in_force(self) -> list[Measure]:
        return self.measures

    def take(self, wanted: Wanted) -> Measure:
        if self.error is not None:
            raise self.error
        self.wanted.append(wanted)
        return self.measures[0]

    def clear(self, measure_id: str) -> Measure | None:
        self.orders.append(("clear", measure_id))
        return self._find(measure_id)

    def pin(self, measure_id: str, *, is_pinned: bool) -> Measure | None:
        self.orders.append(("pin" if is_pinned else "unpin", measure_id))
        return self._find(measure_id)

    def warmup(self) -> list[WarmupStatus]:
        return self.statuses

    def _find(self, measure_id: str) -> Measure | None:
        return next((m for m in self.measures if m.id == measure_id), None)


@dataclass
class FakeExplain:
    """Explains as it is told to, and notes what it is asked."""

    found: list[Explained] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def message(
        self, message_id: str, *, limit: int, only: str | None = None
    ) -> list[Explained] | None:
        self.asked.append({"message_id": message_id, "limit": limit, "only": only})
        return self.found

    def supposed(self, letter: Letter) -> list[Explained]:
        self.letters.append(letter)
        return self.found or []


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def look() -> FakeLook:
    return FakeLook()


@pytest.fixture
def steer() -> FakeSteer:
    return FakeSteer()


@pytest.fixture
def shaping() -> FakeShaping:
    return FakeShaping()


@pytest.fixture
def explain() -> FakeExplain:
    return FakeExplain()


@pytest.fixture
def make_app(
    intake: FakeIntake,
    look: FakeLook,
    steer: FakeSteer,
    shaping: FakeShaping,
    explain: FakeExplain,
) -> Callable[..., Flask]:
    """Builds an app; ``api`` overrides parts of the API's configuration."""

    def make(
        *, environ=None, inbox=None, pressure=None, now=lambda: NOW, **api
    ) -> Flask:
        config = load_config(None, {})
        config = config.model_copy(
            update={"api": config.api.model_copy(update=api)},
        )
        return create_app(
            config=Live(config),
            settings=load_settings({"MTA_HOSTNAME": "mta.test", **(environ or {})}),
            intake=intake,
            look=look,
            steer=steer,
            shaping=shaping,
            explain=explain,
            inbox=inbox,
            now=now,
            pressure=pressure,
            metrics_registry=CollectorRegistry(),
        )

    return make


@pytest.fixture
def client(make_app) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture
def a_mail() -> dict[str, Any]:
    """A mail as small as it can be."""
    return {"from": "ada@example.test", "to": "bob@example.test", "text": "Hi"}


@pytest.fixture
def a_delivery() -> Callable[..., Delivery]:
    """Builds a delivery of which only the interesting fields are given."""

    def build(number: int = 1, **changes: Any) -> Delivery:
        delivery = Delivery(
            id=delivery_id(MESSAGE_ID, number),
            message_id=MESSAGE_ID,
            zone="default",
            recipient="bob@example.test",
            domain="example.test",
            state=DeliveryState.QUEUED,
            created_at=NOW,
            due_at=NOW,
            give_up_at=NOW + timedelta(days=30),
        )
        return replace(delivery, **changes)

    return build


@pytest.fixture
def a_message() -> Callable[..., MessageView]:
    """Builds a message as operators see it."""

    def build(**changes: Any) -> MessageView:
        header = (
            b"From: Ada <ada@example.test>\r\n"
            b"To: bob@example.test,\r\n Carl <carl@example.test>\r\n"
            b"Subject: Hello\r\n"
        )
        view = MessageView(
            id=MESSAGE_ID,
            envelope=Envelope(
                reverse_path="ada@example.test",
                recipients=(),
                interface="api",
                protocol="HTTP",
                received_at=NOW,
                session_id="5e551011",
                origin="192.0.2.7",
                user="ada",
            ),
            header=header,
            body_bytes=4,
            body_hash="aGFzaA==",
            body_md5="00",
            created_at=NOW,
            message_id="<1@example.test>",
            subject="Hello",
            recipients=1,
            has_content=True,
        )
        return replace(view, **changes)

    return build
