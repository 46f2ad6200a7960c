"""``mta user`` on a real MongoDB."""

import json
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from mta import wiring
from mta.cli.main import cli
from mta.cli.process import load
from mta.store import passwords
from mta.store.mongo import Mongo
from mta.store.passwords import verify
from mta.store.usage import Quota, Usage
from mta.store.users import Users

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)


@pytest.fixture
def mta(of_this_test) -> Callable[..., Result]:
    """Runs ``mta user ...`` on the test's database."""

    def run(*arguments: str, says: str | bytes = "") -> Result:
        return CliRunner().invoke(
            cli, ("user", *arguments), input=says, catch_exceptions=False
        )

    return run


@pytest.fixture
def users(db: Mongo) -> Users:
    return Users(db)


@pytest.fixture
def ada(mta) -> None:
    mta("add", "ada", "--password-stdin", says=PASSWORD)


def test_a_user_is_added_with_a_password_typed_twice(mta, users):
    """It is not shown, and can be logged in with."""
    result = mta("add", "ada", says=f"{PASSWORD}\n{PASSWORD}\n")

    assert result.exit_code == 0
    assert PASSWORD not in result.output
    assert result.stdout.endswith("ada added\n")
    assert verify(users.get("ada").secrets, PASSWORD)


def test_what_was_typed_must_be_the_same_twice(mta, users):
    """A typing mistake is asked again."""
    mta("add", "ada", says=f"{PASSWORD}\nmistake!\n{PASSWORD}\n{PASSWORD}\n")

    assert verify(users.get("ada").secrets, PASSWORD)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nmore\n"])
def test_a_password_can_come_from_stdin(mta, users, end):
    """For programs; its first line is all of it."""
    result = mta("add", "ada", "--password-stdin", says=PASSWORD + end)

    assert result.stdout == "ada added\n"
    assert verify(users.get("ada").secrets, PASSWORD)


@pytest.mark.parametrize(
    ("password", "text"),
    [
        (b"seven77\n", "at least 8 characters"),
        (b"", "characters"),
        (b"bad \xff octets\n", "not UTF-8"),
        (b"x" * 9000, "1 to 1024 characters"),
    ],
)
def test_a_password_that_cannot_be_one_is_refused(mta, users, password, text):
    """Nothing is stored, and it is not told."""
    result = mta("add", "ada", "--password-stdin", says=password)

    assert result.exit_code == 2
    assert text in result.output
    assert "seven77" not in result.output
    assert users.find("ada") is None


def test_a_user_is_added_with_its_rights(mta, users):
    """Senders and limits, in their normal form."""
    senders = ["--sender", "Ada@X.test", "--sender", "*.y.test"]
    limits = ["--messages-per-hour", "5"]
    mta("add", "ada", *senders, *limits, "--password-stdin", says=PASSWORD)

    found = users.get("ada")
    assert found.senders == ("ada@x.test", "*.y.test")
    assert found.quota == Quota(messages_per_hour=5)


def test_a_name_is_stored_as_clients_will_be_understood(mta, users):
    """SASLprep: what looks the same is the same."""
    mta("add", "ａda", "--password-stdin", says=PASSWORD)

    assert users.find("ada") is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ("", "--password-stdin"),
        ("x" * 256, "--password-stdin"),
        ("a\nb", "--password-stdin"),
        ("ada", "--password-stdin", "--sender", "x..test"),
        ("ada", "--password-stdin", "--messages-per-day", "-1"),
        ("ada", "--password-stdin", "--messages-per-day", "many"),
        ("ada", "--password-stdin", "--messages-per-day", "9" * 5000),
    ],
)
def test_what_cannot_be_is_wrong_usage(mta, users, arguments):
    """Exit status 2, and nobody is added."""
    result = mta("add", *arguments, says=PASSWORD)

    assert result.exit_code == 2
    assert users.list() == []


@pytest.mark.usefixtures("ada")
def test_a_name_can_be_had_once(mta):
    """Said before the password is asked for."""
    result = mta("add", "ada")

    assert result.exit_code == 1
    assert result.stderr == "mta: there is a user 'ada' already\n"


@pytest.mark.usefixtures("ada")
def test_a_password_is_changed(mta, users):
    """The old one is no longer good."""
    result = mta("passwd", "ada", "--password-stdin", says="battery staple")

    kept = users.get("ada").secrets
    assert result.stdout == "ada has another password\n"
    assert (verify(kept, "battery staple"), verify(kept, PASSWORD)) == (True, False)


@pytest.mark.usefixtures("ada")
def test_set_changes_what_it_names(mta, users):
    """And ``none`` takes a limit away."""
    mta("set", "ada", "--messages-per-hour", "5", "--recipients-per-day", "100")
    mta("set", "ada", "--sender", "x.test")

    result = mta("set", "ada", "--messages-per-hour", "none")

    found = users.get("ada")
    assert found.senders == ("x.test",)
    assert found.quota == Quota(recipients_per_day=100)
    assert "100 recipients per day" in result.stdout


@pytest.mark.usefixtures("ada")
def test_a_user_is_disabled_and_enabled(mta, users):
    """Nothing else changes."""
    said = mta("disable", "ada").stdout
    is_disabled = users.get("ada").is_disabled
    mta("enable", "ada")

    assert (said, is_disabled) == ("ada is disabled\n", True)
    assert not users.get("ada").is_disabled


@pytest.mark.usefixtures("ada")
def test_a_user_is_removed(mta, users):
    """For good."""
    assert mta("remove", "ada").stdout == "ada removed\n"
    assert users.find("ada") is None


@pytest.mark.parametrize(
    "command", ["passwd", "set", "show", "disable", "enable", "remove"]
)
def test_who_is_not_there_is_not_found(mta, command):
    """Exit status 3, and no password is asked for."""
    result = mta(command, "eve")

    assert result.exit_code == 3
    assert result.stderr == "mta: there is no user 'eve'\n"


@pytest.mark.usefixtures("ada")
def test_show_tells_how_much_is_used(mta, db):
    """Of each limit, in this hour and this day."""
    mta("set", "ada", "--messages-per-day", "5", "--sender", "x.test")
    now = wiring.open_clock(load()[0]).now()
    Usage(db).reserve("ada", Quota(messages_per_day=5), 1, now)

    text = mta("show", "ada").stdout
    document = json.loads(mta("show", "ada", "--json").stdout)

    assert text.startswith("ada  from x.test  since ")
    assert text.endswith("    1 of 5 messages per day\n")
    assert document["used"] == {"messages_per_day": 1}


def test_users_are_listed_by_name(mta):
    """A line each; a list that is cut says so on stderr."""
    for name in ("bob", "ada", "eve"):
        mta("add", name, "--password-stdin", says=PASSWORD)

    result = mta("list", "--limit", "2")

    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ada", "bob"]
    assert "there are more" in result.stderr
    assert mta("list", "--after", "bob").stdout.startswith("eve  from anywhere  since ")


@pytest.mark.usefixtures("ada")
def test_json_holds_everything_but_secrets(mta):
    """For programs."""
    (document,) = json.loads(mta("list", "--json").stdout)

    created_at = document.pop("created_at")
    assert created_at.endswith("+00:00")
    assert document == {
        "name": "ada",
        "senders": [],
        "quota": {
            "messages_per_hour": None,
            "messages_per_day": None,
            "recipients_per_hour": None,
            "recipients_per_day": None,
        },
        "disabled": False,
    }


def test_a_database_that_is_away_is_said_with_a_cure(mta, monkeypatch):
    """Not in the driver's words."""
    monkeypatch.setenv("MTA_MONGO_URI", "mongodb://127.0.0.1:9/mta")
    wiring.open_database(load()[0]).client.close()

    result = mta("list")

    assert result.exit_code == 1
    assert "Is `mta up` running?" in result.stderr
