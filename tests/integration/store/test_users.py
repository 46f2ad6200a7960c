"""Users as documents: what is kept, what may change, and what is made of odd ones."""

from datetime import UTC, datetime

import pytest
from argon2 import PasswordHasher

from mta.errors import StoreUnavailable
from mta.smtp.scram import MIN_ITERATIONS, make_keys
from mta.store import passwords
from mta.store.mongo import Mongo
from mta.store.passwords import Secrets, make_secrets, needs_renewal, verify
from mta.store.usage import Quota
from mta.store.users import MAX_SENDERS, NoSuchUser, User, UserExists, Users

PASSWORD = "correct horse"
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    """Hashes that cost next to nothing; what they cost is argon2's own affair."""
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)


@pytest.fixture
def users(db: Mongo) -> Users:
    return Users(db)


@pytest.fixture
def ada(users: Users) -> User:
    return users.add("ada", PASSWORD, created_at=NOW)


def test_a_user_is_found_as_added(users):
    """Name, senders in one spelling each, quota and time."""
    quota = Quota(messages_per_hour=100, recipients_per_day=1000)
    added = users.add(
        "ada",
        PASSWORD,
        senders=["Ada@X.test", "x.TEST", "*.bücher.test", "x.test"],
        quota=quota,
        created_at=NOW,
    )

    found = users.find("ada")

    assert found == added
    assert found.senders == ("ada@x.test", "x.test", "*.xn--bcher-kva.test")
    assert (found.quota, found.created_at, found.is_disabled) == (quota, NOW, False)


def test_only_the_password_itself_is_right(users, ada):
    """Checked against what is stored."""
    kept = users.find("ada").secrets

    assert verify(kept, PASSWORD)
    assert not verify(kept, PASSWORD + "!")


def test_the_keys_of_scram_are_those_of_the_password(users, ada):
    """A proof of the same password will do."""
    keys = users.find("ada").secrets.scram

    assert keys == make_keys(PASSWORD, salt=keys.salt, iterations=keys.iterations)


def test_neither_the_password_nor_what_is_kept_of_it_is_shown(ada):
    """A repr may end up in a log."""
    shown = repr(ada)

    assert PASSWORD not in shown
    assert "argon2" not in shown
    assert "key" not in shown


def test_the_password_is_not_in_the_database(db, ada):
    """Not even beside its hash."""
    assert PASSWORD not in str(db.users.find_one({"_id": "ada"}))


def test_a_name_can_be_had_once(users, ada):
    """The second is refused, and changes nothing."""
    with pytest.raises(UserExists):
        users.add("ada", "another password", created_at=NOW)

    assert users.find("ada") == ada


def test_names_differ_in_case(users, ada):
    """They are compared to the letter."""
    assert users.find("Ada") is None


@pytest.mark.parametrize("name", ["", "a" * 256, "a\nb", "a\0"])
def test_a_name_that_cannot_be_shown_is_refused(users, name):
    """Names go into logs and onto screens."""
    with pytest.raises(ValueError, match="a user name has"):
        users.add(name, PASSWORD, created_at=NOW)


@pytest.mark.parametrize("name", ["$where", "a.b", "{'$gt': ''}", "a|h|2026", "ädä"])
def test_a_name_means_nothing_to_the_database(users, name):
    """Whatever it looks like, it is that name and no other."""
    users.add(name, PASSWORD, created_at=NOW)

    assert users.find(name).name == name
    assert users.find("") is None


@pytest.mark.parametrize("password", ["", "seven77", "with\nline end", "x" * 1025])
def test_a_password_that_cannot_be_one_is_refused_without_being_told(users, password):
    """Too short, too long, or with what no client can send."""
    with pytest.raises(ValueError, match=r"characters|cannot have") as refused:
        users.add("ada", password, created_at=NOW)

    assert not password or password not in str(refused.value)
    assert users.find("ada") is None


@pytest.mark.parametrize(
    "sender", ["", "@", "a@", "@x.test", "*", "x..test", "*.*.test", "a b.test", "*x.t"]
)
def test_a_sender_is_an_address_a_domain_or_a_wildcard(users, sender):
    """Only the star alone is any."""
    if sender == "*":
        added = users.add("ada", PASSWORD, senders=[sender], created_at=NOW)
        assert added.senders == ("*",)
    else:
        with pytest.raises(ValueError, match="is"):
            users.add("ada", PASSWORD, senders=[sender], created_at=NOW)


def test_senders_are_bounded(users):
    """Each login reads them all."""
    senders = [f"{number}.test" for number in range(MAX_SENDERS + 1)]

    with pytest.raises(ValueError, match="at most 1000"):
        users.add("ada", PASSWORD, senders=[f"a{s}" for s in senders], created_at=NOW)


@pytest.mark.parametrize(
    ("senders", "reverse_path", "may"),
    [
        ((), "eve@y.test", True),
        (("*",), "eve@y.test", True),
        (("ada@x.test",), "ada@x.test", True),
        (("ada@x.test",), "Ada@x.test", True),
        (("ada@x.test",), "eve@x.test", False),
        (("ada@x.test",), "ada@y.test", False),
        (("x.test",), "eve@x.test", True),
        (("x.test",), "eve@sub.x.test", False),
        (("x.test",), "eve@evilx.test", False),
        (("*.x.test",), "eve@a.b.x.test", True),
        (("*.x.test",), "eve@x.test", False),
        (("*.x.test",), "eve@evilx.test", False),
        (("x.test",), '"@x.test"@y.test', False),
        (("x.test",), "eve", False),
        (("x.test",), "", True),
        (("xn--bcher-kva.test",), "ädä@bücher.test", True),
    ],
)
def test_a_user_sends_from_its_senders_alone(senders, reverse_path, may):
    """Whole domains, whole labels; and the null path, which is anybody's."""
    assert User(name="ada", senders=senders).may_send_from(reverse_path) is may


def test_a_new_password_ends_the_old_one(users, ada):
    """By hash and by SCRAM."""
    changed = users.set_password("ada", "battery staple")

    assert verify(changed.secrets, "battery staple")
    assert not verify(changed.secrets, PASSWORD)
    assert changed.secrets.scram != ada.secrets.scram


def test_an_update_changes_what_it_names_and_nothing_else(users, ada):
    """Also a limit that is taken away."""
    users.update("ada", senders=["x.test"])
    users.update("ada", quota=Quota(messages_per_hour=5, messages_per_day=9))
    users.update("ada", quota=Quota(messages_per_day=9), is_disabled=True)

    found = users.find("ada")
    assert found.senders == ("x.test",)
    assert found.quota == Quota(messages_per_day=9)
    assert found.is_disabled
    assert found.secrets == ada.secrets


def test_an_update_of_nothing_is_none(users, ada):
    """And no error."""
    assert users.update("ada") == ada


def test_what_is_not_there_cannot_be_changed(users):
    """No order makes a user."""
    orders = [
        lambda: users.update("eve", is_disabled=True),
        lambda: users.set_password("eve", PASSWORD),
        lambda: users.remove("eve"),
        lambda: users.get("eve"),
    ]

    for order in orders:
        with pytest.raises(NoSuchUser, match="'eve'"):
            order()
    assert users.list() == []


def test_a_removed_user_is_gone(users, ada):
    """The name is free."""
    users.remove("ada")

    assert users.find("ada") is None


def test_users_are_listed_page_by_page(users):
    """By name, from behind the last."""
    for name in ("c", "a", "b"):
        users.add(name, PASSWORD, created_at=NOW)

    pages = [users.list(limit=2), users.list(after="b", limit=2), users.list(limit=0)]

    assert [[user.name for user in page] for page in pages] == [
        ["a", "b"],
        ["c"],
        ["a"],
    ]


def test_fields_that_we_do_not_know_stay(users, ada, db):
    """Newer versions and other programs may keep theirs here."""
    theirs = {"note": "VIP", "quota": {"bytes_per_day": 5}}
    db.users.update_one({"_id": "ada"}, {"$set": theirs})

    users.update("ada", quota=Quota(messages_per_day=1), senders=["x.test"])
    users.set_password("ada", "battery staple")

    stored = db.users.find_one({"_id": "ada"})
    assert stored["note"] == "VIP"
    assert stored["quota"] == {"bytes_per_day": 5, "messages_per_day": 1}


def test_a_document_with_a_name_alone_is_a_user_who_cannot_log_in(users, db):
    """Every field may be missing."""
    db.users.insert_one({"_id": "ada"})

    found = users.find("ada")

    assert found == User(name="ada")
    assert not verify(found.secrets, "")


def test_a_document_that_cannot_be_understood_allows_nothing(users, db):
    """It was written by hand; a mistake must not open a door."""
    db.users.insert_one(
        {
            "_id": "ada",
            "password": 5,
            "scram": {"salt": 10**9, "iterations": "x"},
            "senders": {"x": 1},
            "quota": {"messages_per_day": "many", "messages_per_hour": 10.0},
            "disabled": "yes",
            "created_at": "yesterday",
        }
    )

    found = users.find("ada")

    assert found.secrets == Secrets()
    assert not found.may_send_from("ada@x.test")
    assert found.quota == Quota(messages_per_day=0, messages_per_hour=10)
    assert found.is_disabled


def test_what_is_kept_is_renewed_for_the_password_of_then(users, ada):
    """A password that was changed meanwhile is not set back."""
    users.set_password("ada", "battery staple")

    users.renew(ada, make_secrets(PASSWORD))

    assert verify(users.find("ada").secrets, "battery staple")


def test_older_costs_want_to_be_renewed(ada, monkeypatch):
    """Of either kind."""
    few = make_keys(PASSWORD, salt=b"salt", iterations=MIN_ITERATIONS)
    made = [
        ada.secrets,
        Secrets(ada.secrets.hash, None),
        Secrets(ada.secrets.hash, few),
    ]
    before = [needs_renewal(kept) for kept in made]

    costlier = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", costlier)

    assert before == [False, True, True]
    assert needs_renewal(ada.secrets)


def test_a_database_that_is_away_is_said_in_our_words(db, users):
    """Not in the driver's."""
    db.client.close()

    with pytest.raises(StoreUnavailable):
        users.find("ada")
