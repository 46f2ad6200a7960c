"""Signing keys from their making to their end, with a real MongoDB and a real DNS."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.config.signing_key import ED25519, RSA, parse_signing_key
from mta.config.zones import DkimConfig, DkimKey, HostPort
from mta.mail.dkim_record import format_record
from mta.operate.dkim import CannotRotate, Keys, choose_selector, make_pem, published
from mta.policy.dkim import KEPT_FOR, LOOK_EVERY, RETIRE_AFTER, KeyState
from mta.relay.resolver import Resolver
from mta.store.dkim_keys import DkimKeys, KeyExists
from mta.store.mongo import DKIM_KEYS
from mta.worker.key_watch import KeyWatch
from tests.support.dns import DnsServer
from tests.support.signing import in_quotes

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def clock():
    return [START]


@pytest.fixture
def keys(db, clock):
    return Keys(DkimKeys(db), lambda: clock[0])


@pytest.fixture
def names():
    with DnsServer({}) as server:
        yield server


@pytest.fixture
def look(keys, names, clock):
    """Look once, as the scheduler does a minute later."""
    resolver = Resolver(
        [HostPort("127.0.0.1", names.port)],
        timeout=timedelta(seconds=2),
        cache_ttl=timedelta(0),
    )
    watch = KeyWatch(keys, Live(resolver))

    def look(after=LOOK_EVERY):
        clock[0] += after
        watch.look()

    return look


def publish(names, key):
    record = format_record(key.algorithm, key.public)
    names.records[key.id] = [("TXT", in_quotes(record))]


def states(keys, domain="a.test"):
    return {key.selector: str(key.state) for key in keys.store.find(domain)}


def test_a_new_key_signs_nothing_before_its_record_is_seen(keys, names, look):
    """However often it is looked for; then at once."""
    made = keys.make("a.test", ED25519, bits=2048)

    look()
    before = keys.store.active("a.test")
    publish(names, made)
    look()

    assert made.selector == "e20260301"
    assert before == ()
    assert states(keys) == {"e20260301": "active"}
    (secret,) = keys.store.active("a.test")
    assert parse_signing_key(secret.pem).public == made.public
    (known,) = keys.store.find("a.test")
    assert (known.seen_at, known.active_at) == (START + 2 * LOOK_EVERY,) * 2
    assert known.problem == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("v=DKIM1; k=ed25519; p=QUJD", "another key"),
        ("v=DKIM1; k=rsa; p=QUJD", "a key of type"),
        ("v=spf1 -all", "no p="),
    ],
)
def test_a_record_that_does_not_fit_is_none(keys, names, look, text, problem):
    made = keys.make("a.test", ED25519, bits=2048)
    names.records[made.id] = [("TXT", f'"{text}"')]

    look()

    (known,) = keys.store.find("a.test")
    assert known.state is KeyState.PENDING
    assert problem in known.problem


def test_nameservers_that_do_not_answer_change_nothing(keys, look):
    """Nobody knows then; the next look may tell."""
    keys.make("x.servfail.test", ED25519, bits=2048)

    look()

    (known,) = keys.store.find()
    assert known.state is KeyState.PENDING
    assert "SERVFAIL" in known.problem


def test_a_rotation_from_its_beginning_to_its_end(keys, names, look, clock, db):
    """The old key signs until the new one is published; its record stays a week."""
    old = keys.make("a.test", ED25519, bits=2048)
    publish(names, old)
    look()
    clock[0] += 90 * DAY
    (new,) = keys.rotate("a.test", bits=2048)

    look()
    waiting = states(keys), [key.selector for key in keys.store.active("a.test")]
    publish(names, new)
    look()
    changed = states(keys), [key.selector for key in keys.store.active("a.test")]
    look(RETIRE_AFTER - DAY)
    early = states(keys)
    look(DAY)
    late = states(keys)

    first, second = old.selector, new.selector
    assert waiting == ({first: "active", second: "pending"}, [first])
    assert changed == ({first: "retiring", second: "active"}, [second])
    assert early == changed[0]
    assert late == {first: "retired", second: "active"}
    document = db[DKIM_KEYS].find_one({"_id": old.id})
    assert "private_key" not in document
    assert document["expires_at"] == clock[0] + KEPT_FOR


def test_both_kinds_sign_side_by_side(keys, names, look):
    """And each is replaced by one of its own kind."""
    for algorithm in (RSA, ED25519):
        publish(names, keys.make("a.test", algorithm, bits=2048))
    look()

    made = keys.rotate("a.test", bits=2048)

    assert {key.algorithm for key in keys.store.find("a.test")} == {RSA, ED25519}
    assert [key.selector for key in made] == ["r20260301b", "e20260301b"]
    assert len(keys.store.active("a.test")) == 2


def test_a_rotation_that_is_under_way_is_not_begun_again(keys, names, look):
    publish(names, keys.make("a.test", ED25519, bits=2048))
    look()
    keys.rotate("a.test", bits=2048)

    with pytest.raises(CannotRotate, match="waits for its record"):
        keys.rotate("a.test", bits=2048)


def test_a_domain_without_an_active_key_has_nothing_to_rotate(keys):
    keys.make("a.test", ED25519, bits=2048)

    with pytest.raises(CannotRotate, match="no active key"):
        keys.rotate("a.test", bits=2048)


def test_a_crash_between_two_steps_is_repaired_by_the_next_look(keys, names, look):
    """The new key had become active, and the old one had not been told."""
    old = keys.make("a.test", ED25519, bits=2048)
    publish(names, old)
    look()
    (new,) = keys.rotate("a.test", bits=2048)
    keys.store.change(new, KeyState.ACTIVE, START)
    publish(names, new)

    look()

    assert states(keys) == {old.selector: "retiring", new.selector: "active"}


def test_two_that_look_at_once_do_the_same(keys, clock):
    """Each step is taken from the state before it, and by one of them."""
    made = keys.make("a.test", ED25519, bits=2048)

    first = keys.store.change(made, KeyState.ACTIVE, clock[0])
    second = keys.store.change(made, KeyState.ACTIVE, clock[0] + DAY)

    (known,) = keys.store.find("a.test")
    assert (first, second, known.active_at) == (True, False, START)
    with pytest.raises(ValueError, match="does not become"):
        keys.store.change(made, KeyState.RETIRED, clock[0])


def test_an_active_key_whose_record_is_gone_is_told_of(keys, names, look, caplog):
    """It goes on signing: without a signature nobody would be better off."""
    made = keys.make("a.test", ED25519, bits=2048)
    publish(names, made)
    look()
    names.records.clear()

    look(timedelta(hours=1))

    (known,) = keys.store.find("a.test")
    assert (known.state, known.problem) == (KeyState.ACTIVE, "there is no record")
    assert f"{made.id} is not in DNS any more" in caplog.text


def test_selectors_are_like_no_other(keys):
    for _ in range(3):
        keys.make("a.test", ED25519, bits=2048)

    assert sorted(states(keys)) == ["e20260301", "e20260301b", "e20260301c"]
    with pytest.raises(KeyExists):
        keys.make("a.test", RSA, bits=2048, selector="e20260301")


def test_there_is_a_selector_for_the_thirtieth_key_of_a_day():
    taken = []
    for _ in range(30):
        taken.append(choose_selector(RSA, START, taken))

    assert len(set(taken)) == 30
    assert taken[25:28] == ["r20260301z", "r20260301-27", "r20260301-28"]


def test_what_is_shown_of_a_key_holds_nothing_private(keys):
    made = keys.make("a.test", ED25519, bits=2048)
    (known,) = keys.store.find()
    keys.store.change(made, KeyState.ACTIVE, START)
    (secret,) = keys.store.active("a.test")
    inner = base64.b64decode(b"".join(secret.pem.splitlines()[1:-1]))[-32:]

    shown = f"{made!r} {known!r} {secret!r}"

    assert b"PRIVATE" in secret.pem
    assert "PRIVATE" not in shown
    assert base64.b64encode(inner).decode() not in shown


def test_what_dns_should_have(keys, tmp_path):
    """Keys of zones.yaml among them; those of the star in whose name they sign."""
    path = tmp_path / "key.pem"
    path.write_bytes(make_pem(ED25519, 0))
    path.chmod(0o600)

    def said(selector, **more):
        return DkimKey(selector=selector, path=str(path), **more)

    config = DkimConfig(
        keys={
            "b.test": (said("b1"),),
            "*": (said("any"), said("esp", domain="esp.test")),
        }
    )
    keys.make("a.test", ED25519, bits=2048, selector="m1")

    def names_for(domain=None):
        return [key.name for key in published(keys.store, config, domain)]

    assert names_for() == [
        "b1._domainkey.b.test",
        "esp._domainkey.esp.test",
        "m1._domainkey.a.test",
    ]
    assert names_for("a.test") == ["m1._domainkey.a.test"]
    assert names_for("b.test") == ["b1._domainkey.b.test"]
    assert names_for("c.test") == ["any._domainkey.c.test", "esp._domainkey.esp.test"]


def test_a_document_that_makes_no_sense_stops_no_other_key(keys, names, look, db):
    """Neither those that are looked for, nor the mail of other domains."""
    db[DKIM_KEYS].insert_one({"_id": "x", "domain": "b.test", "state": "active"})
    publish(names, keys.make("a.test", ED25519, bits=2048))

    look()

    assert set(states(keys).values()) == {"active"}
    assert keys.store.find("b.test") == []


def test_a_key_that_is_removed_is_gone(keys):
    keys.make("a.test", ED25519, bits=2048, selector="m1")

    assert keys.store.remove("a.test", "m1")
    assert not keys.store.remove("a.test", "m1")
    assert keys.store.find() == []
