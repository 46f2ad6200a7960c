"""What a stored message says of itself."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.config.zones import Zone
from mta.mail.envelope import Envelope
from mta.store.documents import Body, StoredMessage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reverse_path", "header", "origin", "sender"),
    [
        ("ada@a.test", "From: bob@b.test", "192.0.2.1", "ada@a.test"),
        ("", "From: Bob <bob@B.test>, c@c.test", "192.0.2.1", "bob@b.test"),
        ("", "Subject: no author", "192.0.2.1", "192.0.2.1"),
        ("", "Subject: no author", None, ""),
    ],
)
def test_a_messages_sender_is_the_first_one_that_is_known(
    reverse_path, header, origin, sender
):
    """Reverse path, author, client: what keeps to one address where senders do."""
    message = StoredMessage(
        id="m",
        envelope=Envelope(
            reverse_path=reverse_path,
            recipients=(),
            interface="feeder",
            protocol="ESMTP",
            received_at=NOW,
            session_id="s",
            origin=origin,
        ),
        header=f"{header}\r\n".encode(),
        body=Body(file_id="f", size=4, hash="", md5="", is_8bit=False),
        message_id="<1@a.test>",
        subject="",
        created_at=NOW,
        due_at=NOW,
        give_up_at=NOW + timedelta(days=1),
        recipient_count=1,
    )

    assert message.pool_key(Zone(name="z", pool_hash="from")) == sender
    assert message.pool_key(Zone(name="z")) == ""
