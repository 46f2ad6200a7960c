"""Policies of MTA-STS in MongoDB."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.policy.mta_sts import Mode, StsPolicy
from mta.policy.tls_results import TlsResult
from mta.store.sts_policies import Stored, StsStore

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def a_policy(mode="enforce", **changes):
    fields = {"id": "1", "until": NOW + 30 * DAY, "fetched_at": NOW, **changes}
    return StsPolicy(Mode(mode), ("mx.d.test", "*.e.test"), 30 * DAY, **fields)


@pytest.fixture
def store(db):
    return StsStore(db)


def test_a_policy_comes_back_whole(store):
    """With its id and its times, which equality does not look at."""
    store.keep("d.test", a_policy(), NOW)
    found = store.find("d.test")

    assert found == Stored(a_policy(), used_at=NOW)
    policy = found.policy
    assert (policy.id, policy.until, policy.fetched_at) == ("1", NOW + 30 * DAY, NOW)
    assert store.find("e.test") == Stored()


def test_a_failure_leaves_the_policy(store):
    """And a policy that is fetched ends the failure."""
    store.keep("d.test", a_policy(), NOW)
    problem = TlsResult.STS_POLICY_FETCH_ERROR
    store.note_failure("d.test", "2", problem, "no answer", NOW + DAY)
    found = store.find("d.test")

    assert found.policy == a_policy()
    assert found[1:5] == (NOW + DAY, "2", problem, "no answer")

    store.keep("d.test", a_policy("none"), NOW + DAY)

    assert store.find("d.test") == Stored(a_policy("none"), used_at=NOW)


def test_a_failure_alone_is_remembered_for_a_while(store, db):
    """So that not every process tries."""
    store.note_failure("d.test", "1", TlsResult.STS_POLICY_INVALID, "x", NOW)

    assert store.find("d.test").policy is None
    assert db.sts_policies.find_one()["expires_at"] == NOW + DAY


def test_old_policies_that_are_used_are_due(store):
    """The oldest first; the others are left to run out."""
    ages = {"a.test": 2 * DAY, "b.test": 3 * DAY, "new.test": DAY / 2}
    for name, age in ages.items():
        store.keep(name, a_policy(fetched_at=NOW - age), NOW - DAY)
    store.keep("over.test", a_policy(until=NOW, fetched_at=NOW - 30 * DAY), NOW)
    store.keep("unused.test", a_policy(fetched_at=NOW - 2 * DAY), NOW - 40 * DAY)

    assert store.due(NOW, limit=10) == ["b.test", "a.test"]
    assert store.due(NOW, limit=1) == ["b.test"]

    store.note_use("unused.test", NOW)
    store.put_off("b.test", NOW + DAY)

    assert store.due(NOW, limit=10) == ["a.test", "unused.test"]
