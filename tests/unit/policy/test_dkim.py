"""The life of a signing key, and when it goes on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from mta.policy.dkim import (
    LOOK_AGAIN_EVERY,
    LOOK_EVERY,
    RETIRE_AFTER,
    KeyState,
    find_replaced,
    is_over,
    may_follow,
    wants_look,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
S = KeyState


@dataclass(frozen=True)
class Key:
    state: KeyState = S.ACTIVE
    domain: str = "a.test"
    algorithm: str = "rsa-sha256"
    created_at: datetime = NOW
    retiring_at: datetime | None = None
    checked_at: datetime | None = None


def test_a_key_goes_one_way():
    """Never back, and never past a part of its life."""
    steps = {(a, b) for a, b in product(S, S) if may_follow(a, b)}

    assert steps == {
        (S.PENDING, S.ACTIVE),
        (S.ACTIVE, S.RETIRING),
        (S.RETIRING, S.RETIRED),
    }


@pytest.mark.parametrize(
    ("state", "every"),
    [
        (S.PENDING, LOOK_EVERY),
        (S.ACTIVE, LOOK_AGAIN_EVERY),
        (S.RETIRING, LOOK_AGAIN_EVERY),
    ],
)
def test_records_are_looked_for_every_now_and_then(state, every):
    """More often while they are waited for."""
    assert wants_look(Key(state), NOW)
    assert wants_look(Key(state, checked_at=NOW - every), NOW)
    assert not wants_look(Key(state, checked_at=NOW - every / 2), NOW)


def test_nobody_looks_for_the_record_of_a_retired_key():
    assert not wants_look(Key(S.RETIRED), NOW)


def test_a_newer_active_key_replaces_the_older_one():
    """Of the same domain and kind alone: RSA and Ed25519 sign side by side."""
    old = Key(created_at=NOW - timedelta(days=90))
    older = Key(created_at=NOW - timedelta(days=91))
    keys = [
        older,
        Key(),
        old,
        Key(created_at=NOW - timedelta(days=80), domain="b.test"),
        Key(created_at=NOW - timedelta(days=80), algorithm="ed25519-sha256"),
    ]

    assert list(find_replaced(keys)) == [older, old]


@pytest.mark.parametrize("state", [S.PENDING, S.RETIRING, S.RETIRED])
def test_a_key_that_is_not_active_replaces_none(state):
    """The next one is made, and not yet seen in DNS."""
    old = Key(created_at=NOW - timedelta(days=90))

    assert list(find_replaced([old, Key(state)])) == []


def test_a_record_stays_for_as_long_as_mail_may_be_on_its_way():
    almost = RETIRE_AFTER - timedelta(seconds=1)

    assert is_over(Key(S.RETIRING, retiring_at=NOW - RETIRE_AFTER), NOW)
    assert not is_over(Key(S.RETIRING, retiring_at=NOW - almost), NOW)
    assert not is_over(Key(S.ACTIVE), NOW)
