from datetime import UTC, datetime

import pytest

from mta.mail.compose import compose
from mta.mail.envelope import Envelope

NOON = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)


@pytest.fixture
def noon():
    return NOON


@pytest.fixture
def an_envelope():
    """Build an envelope; only the interesting field shows."""

    def build(**facts):
        defaults = {
            "reverse_path": "ada@example.test",
            "recipients": ("bob@example.test",),
            "interface": "feeder",
            "protocol": "ESMTP",
            "received_at": NOON,
            "session_id": "s1",
        }
        return Envelope(**(defaults | facts))

    return build


@pytest.fixture
def composed():
    """Compose a mail from ada to bob; only the interesting field shows."""

    def build(limits=None, **fields):
        mail = {"from": "ada@example.test", "to": "bob@example.test"} | fields
        mail = {key: value for key, value in mail.items() if value is not ...}
        return compose(mail, now=NOON, hostname="mta.example.test", **(limits or {}))

    return build
