"""Logins on a real MongoDB: who is let in, how fast, and what everybody hears."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from mta.config.live import Live
from mta.errors import Rejected
from mta.intake.http_auth import CalloutFailed
from mta.intake.login import PASSWORD_TTL_S, USER_TTL_S, Logins
from mta.policy.logins import MAX_FAILURES, FailedLogins
from mta.smtp.sasl import Password, Proof, Token
from mta.store import passwords
from mta.store.passwords import needs_renewal, verify
from mta.store.usage import NO_QUOTA, Quota, Usage
from mta.store.users import Users

PASSWORD = "correct horse"
ADA = Password("ada", PASSWORD)
WRONG = Password("ada", "wrong horse")
NOBODY = Password("nobody", PASSWORD)
HERE = "192.0.2.1"
NOW = datetime(2026, 11, 29, 10, 30, tzinfo=UTC)

INVALID = "535 5.7.8 Authentication credentials invalid"
BLOCKED = "421 4.7.0 Too many failed logins, try again later"
NOT_NOW = "454 4.7.0 Temporary authentication failure"


class Clock:
    """Both clocks; sleeping moves them on, and is noted."""

    def __init__(self) -> None:
        self.at_s = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.at_s

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at_s - 1000)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at_s += seconds


class FakeService:
    """A login service that knows tokens and passwords by heart."""

    def __init__(self) -> None:
        self.answer: str | Exception | None = None
        self.asked: list[tuple[object, str]] = []

    def check(self, credentials, origin):
        self.asked.append((credentials, origin))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Aside:
    """Counts computations; ``before`` runs ahead of each."""

    def __init__(self) -> None:
        self.count = 0
        self.before = lambda: None

    def __call__(self, compute):
        self.count += 1
        self.before()
        return compute()


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    monkeypatch.setattr(passwords, "_DECOY", passwords._make_decoy())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def aside():
    return Aside()


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def users(db):
    return Users(db)


@pytest.fixture
def make(db, users, clock, aside):
    def make(http=None):
        return Logins(
            users,
            FailedLogins(),
            usage=Usage(db),
            http=Live(http),
            aside=aside,
            now=clock.now,
            monotonic=clock.monotonic,
            sleep=clock.sleep,
        )

    return make


@pytest.fixture
def logins(make):
    return make()


@pytest.fixture
def add(users):
    def add(name="ada", *, senders=(), quota=NO_QUOTA):
        return users.add(name, PASSWORD, senders=senders, quota=quota, created_at=NOW)

    return add


def login(logins, credentials, *, origin=HERE):
    """The user's name; or the reply of a refusal."""
    try:
        return logins.login(credentials, origin=origin, mechanism="PLAIN")
    except Rejected as refusal:
        return str(refusal.reply)


def why(logins, credentials):
    """What the log is told."""
    with pytest.raises(Rejected) as refusal:
        logins.login(credentials, origin=HERE, mechanism="PLAIN")
    return refusal.value.detail


def test_the_right_password_logs_in(logins, add):
    """The name is whose mail it will be."""
    add()

    assert login(logins, ADA) == "ada"


def test_a_proof_logs_in_whom_it_belongs_to(logins, add):
    """The arithmetic was done before."""
    keys = add().secrets.scram

    assert logins.keys("ada") == keys
    assert login(logins, Proof("ada", True)) == "ada"


def test_every_failure_hears_the_same(logins, add, users):
    """A client learns nothing of what exists."""
    add()
    add("old")
    users.update("old", is_disabled=True)
    tries = [
        WRONG,
        NOBODY,
        Password("old", PASSWORD),
        Proof("ada", False),
        Proof("old", True),
        Proof("nobody", True),
        Token("ada", "token"),
    ]

    replies = {login(logins, credentials) for credentials in tries}

    assert replies == {INVALID}


def test_the_log_hears_why(logins, add, users):
    """But no password."""
    add()
    add("old")
    users.update("old", is_disabled=True)
    tries = [WRONG, NOBODY, Password("old", PASSWORD)]

    details = [why(logins, credentials) for credentials in tries]

    assert details == [
        "PLAIN login of 'ada': not the password",
        "PLAIN login of 'nobody': no such user",
        "PLAIN login of 'old': disabled",
    ]


def test_a_user_that_does_not_exist_costs_as_much_as_one_that_does(logins, add, aside):
    """The time it takes tells nothing."""
    add()
    login(logins, WRONG)
    login(logins, NOBODY)

    assert aside.count == 2


def test_the_keys_of_nobody_are_none(logins, add, users):
    """Nor of a user who is disabled."""
    add("old")
    users.update("old", is_disabled=True)

    assert logins.keys("nobody") is None
    assert logins.keys("old") is None


def test_a_password_that_was_right_is_not_computed_again_for_a_minute(
    logins, add, aside, clock
):
    """Busy clients cost nothing."""
    add()
    counts = []
    for wait_s in (0, PASSWORD_TTL_S - 1, 1):
        clock.at_s += wait_s
        login(logins, ADA)
        counts.append(aside.count)

    assert counts == [1, 1, 2]


def test_only_the_same_password_is_remembered(logins, add):
    """Not the name alone."""
    add()
    login(logins, ADA)

    assert login(logins, WRONG) == INVALID


def test_another_password_ends_what_is_remembered(logins, add, users, clock):
    """As soon as the change is heard of."""
    add()
    login(logins, ADA)
    users.set_password("ada", "battery staple")
    clock.at_s += USER_TTL_S

    assert login(logins, ADA) == INVALID
    assert login(logins, Password("ada", "battery staple")) == "ada"


def test_a_disabled_user_is_out_in_seconds(logins, add, users, clock, aside):
    """And stays as slow as all others, though the password is right."""
    add()
    login(logins, ADA)
    users.update("ada", is_disabled=True)
    clock.at_s += PASSWORD_TTL_S

    replies = [login(logins, ADA) for _ in range(2)]

    assert replies == [INVALID, INVALID]
    assert aside.count == 3


def test_many_who_try_the_same_at_once_share_one_computation(logins, add, aside):
    """A client with fifty connections that starts again."""
    add()
    may_go = threading.Event()
    aside.before = may_go.wait
    names = []
    threads = [
        threading.Thread(target=lambda: names.append(login(logins, ADA)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    may_go.set()
    for thread in threads:
        thread.join()

    assert names == ["ada"] * 5
    assert aside.count == 1


def test_failures_wait_before_the_next_try_is_looked_at(logins, add, clock, aside):
    """Hanging up early saves nothing, and a right guess is not told sooner."""
    add()
    for _ in range(4):
        login(logins, WRONG)
    waits = [*clock.slept]
    slept_before_looking = []
    aside.before = lambda: slept_before_looking.append(clock.slept[-1])

    assert login(logins, ADA) == "ada"
    assert waits == [1, 2]
    assert slept_before_looking == [4]


def test_a_client_whose_password_is_remembered_does_not_wait(logins, add, clock):
    """While somebody else guesses at the account."""
    add()
    login(logins, ADA)
    for _ in range(4):
        login(logins, WRONG, origin="198.51.100.1")
    waits = len(clock.slept)

    assert login(logins, ADA) == "ada"
    assert len(clock.slept) == waits


def test_a_success_makes_the_account_quick_again(logins, add, clock):
    """For its other clients."""
    add()
    for _ in range(4):
        login(logins, WRONG)
    login(logins, ADA)
    clock.slept.clear()

    login(logins, Proof("ada", True), origin="198.51.100.1")

    assert clock.slept == []


@pytest.mark.parametrize(
    "credentials", [ADA, Proof("ada", True), Token("ada", "token")]
)
def test_an_address_that_failed_too_often_is_not_looked_at(
    make, add, service, aside, credentials
):
    """Whatever it says now; others go on."""
    logins = make(service)
    service.answer = "ada"
    add()
    for number in range(MAX_FAILURES):
        login(logins, Proof(f"user{number}", False))

    assert login(logins, credentials) == BLOCKED
    assert login(logins, credentials, origin="198.51.100.1") == "ada"


def test_guesses_that_come_all_at_once_are_no_cheaper(logins, add, aside):
    """They take turns, and soon after the twentieth nobody's comes."""
    add()
    start = threading.Barrier(3 * MAX_FAILURES)
    replies = []

    def guess(number: int) -> None:
        start.wait()
        replies.append(login(logins, Password(f"user{number}", "guess")))

    threads = [
        threading.Thread(target=guess, args=(number,))
        for number in range(3 * MAX_FAILURES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert aside.count < 2 * MAX_FAILURES
    assert set(replies) == {INVALID, BLOCKED}


def test_a_store_that_is_away_is_no_verdict(logins, add, db, clock):
    """A client that heard 535 would ask its user for another password."""
    add()
    db.client.close()

    assert login(logins, ADA) == NOT_NOW
    with pytest.raises(Rejected) as refusal:
        logins.keys("ada")
    assert str(refusal.value.reply) == NOT_NOW


def test_a_hash_that_is_damaged_is_no_verdict(logins, add, db):
    """Nobody knows whether the password is right."""
    add()
    db.users.update_one({"_id": "ada"}, {"$set": {"password": "$argon2id$damaged"}})

    assert login(logins, ADA) == NOT_NOW


def test_no_verdict_is_no_failure(make, service, clock):
    """Who is told to come again need not wait when it does."""
    logins = make(service)
    service.answer = CalloutFailed("503")

    replies = [login(logins, ADA) for _ in range(5)]

    assert replies == [NOT_NOW] * 5
    assert clock.slept == []


def test_what_is_kept_is_renewed_when_its_cost_is_old(
    logins, add, users, monkeypatch, aside
):
    """Only now is the password at hand."""
    add()
    costlier = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", costlier)

    name = login(logins, ADA)

    renewed = users.find("ada").secrets
    assert name == "ada"
    assert not needs_renewal(renewed)
    assert verify(renewed, PASSWORD)
    assert aside.count == 2


def test_who_is_not_ours_is_asked_of_the_service(make, service, add):
    """And who is ours is not: their passwords stay here."""
    add()
    logins = make(service)
    service.answer = "customer-7"

    assert login(logins, NOBODY) == "customer-7"
    assert login(logins, ADA) == "ada"
    assert login(logins, WRONG) == INVALID
    assert service.asked == [(NOBODY, HERE)]


def test_tokens_are_always_the_services(make, service, add):
    """We make none."""
    add()
    logins = make(service)
    token = Token("ada", "abc")

    assert login(logins, token) == INVALID
    service.answer = "ada"
    assert login(logins, token) == "ada"


def test_a_user_who_is_disabled_here_cannot_come_by_the_service(
    make, service, add, users
):
    """The operator's last word."""
    add()
    users.update("ada", is_disabled=True)
    logins = make(service)
    service.answer = "ada"

    assert login(logins, NOBODY) == INVALID


def test_a_client_that_the_service_refuses_waits_like_others(make, service, clock):
    """It is a guess like any other."""
    logins = make(service)

    for _ in range(4):
        login(logins, NOBODY)

    assert clock.slept == [1, 2]


def test_a_user_sends_from_its_own_addresses(logins, add):
    """And with the null path, by which notices travel."""
    add(senders=["x.test"])

    replies = [logins.may_send("ada", p) for p in ("ada@x.test", "", "ada@y.test")]

    assert replies[:2] == [None, None]
    assert str(replies[2]) == "550 5.7.1 You may not send from this address"


@pytest.mark.parametrize("reverse_path", ["", "ada@x.test"])
def test_a_session_outlives_neither_its_users_removal_nor_disabling(
    logins, add, users, clock, reverse_path
):
    """Some sessions last for hours."""
    add()
    add("eve")
    login(logins, ADA)
    users.remove("ada")
    users.update("eve", is_disabled=True)
    clock.at_s += USER_TTL_S

    replies = [logins.may_send(name, reverse_path) for name in ("ada", "eve")]

    assert {str(reply) for reply in replies} == {"550 5.7.1 This account may not send"}


def test_a_user_of_the_services_sends_from_anywhere(make, service):
    """Nothing here says otherwise."""
    logins = make(service)

    assert logins.may_send("customer-7", "a@x.test") is None
    assert logins.reserve("customer-7", 1000) is None


@pytest.mark.parametrize(
    ("quota", "recipients", "text"),
    [
        (
            Quota(messages_per_hour=1),
            1,
            "450 4.7.1 Quota of 1 messages per hour is used up; "
            "try again after 11:00 UTC",
        ),
        (
            Quota(recipients_per_day=3),
            2,
            "450 4.7.1 Quota of 3 recipients per day is used up; "
            "try again after 00:00 UTC",
        ),
        (
            Quota(recipients_per_day=3),
            4,
            "550 5.7.1 Quota of 3 recipients per day is less than this message takes",
        ),
    ],
)
def test_a_quota_that_is_used_up_is_told_with_its_end(
    logins, add, quota, recipients, text
):
    """Or that waiting will not help."""
    add(quota=quota)
    logins.reserve("ada", recipients)

    assert str(logins.reserve("ada", recipients)) == text


def test_what_was_not_taken_is_given_back(logins, add):
    """The next message may go in its place."""
    add(quota=Quota(messages_per_hour=1))
    logins.reserve("ada", 1)

    logins.give_back("ada", 1)

    assert logins.reserve("ada", 1) is None


def test_what_was_reserved_before_the_hour_turned_is_given_back_there(
    logins, add, clock, db
):
    """The new hour is no longer for it."""
    user = add(quota=Quota(messages_per_hour=1))
    logins.reserve("ada", 1)
    before = clock.now()
    clock.at_s += 3600
    logins.reserve("ada", 1)

    logins.give_back("ada", 1, reserved_at=before)

    usage = Usage(db)
    assert usage.used("ada", user.quota, before) == {"messages_per_hour": 0}
    assert usage.used("ada", user.quota, clock.now()) == {"messages_per_hour": 1}
