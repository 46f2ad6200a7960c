"""What stands still is shown and said, once a minute, until it is over."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from mta.config.live import Live
from mta.config.zones import Config, Zone
from mta.observe import metrics
from mta.worker.watch import Watch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_worker(zone="default", *, quiet=timedelta(0), busy=0):
    return SimpleNamespace(
        owner="host/1", zones=(zone,), busy=busy, seen_at=NOW, changed_at=NOW - quiet
    )


class Setting:
    """A queue as the watch sees it."""

    def __init__(self, caplog):
        self.caplog = caplog
        self.caplog.set_level("INFO")
        self.at_s = 0.0
        self.workers = []
        self.tasks = {}
        self.waiting = {}
        self.watch = Watch(
            due=self,
            workers=self,
            broker=self,
            config=Live(
                Config(
                    zones={
                        "default": Zone(name="default"),
                        "asleep": Zone(name="asleep", disabled=True),
                    }
                )
            ),
            monotonic=lambda: self.at_s,
        )

    def live(self):
        return self.workers

    def depth(self, zone):
        return self.tasks.get(zone, 0)

    def zones(self):
        return sorted(self.waiting)

    def oldest_due_at(self, zone, now):
        return self.waiting.get(zone)

    def look(self, times=1):
        """Look every fifteen seconds; returns the lines of the log."""
        self.caplog.clear()
        for _ in range(times):
            self.watch.look(NOW)
            self.at_s += 15.0
        return [record.getMessage() for record in self.caplog.records]


@pytest.fixture
def setting(caplog):
    return Setting(caplog)


def shown(gauge, zone="default"):
    return gauge.labels(zone)._value.get()


def test_a_zone_with_mail_and_no_worker_is_shown_at_once(setting):
    """Nothing else would tell: nobody fails, nobody consumes."""
    setting.waiting["default"] = NOW

    setting.look()

    assert shown(metrics.ZONE_WITHOUT_WORKER) == 1


def test_tasks_in_the_broker_are_work_as_well(setting):
    """Their rows may all have been rung."""
    setting.tasks["default"] = 3

    setting.look()

    assert shown(metrics.ZONE_WITHOUT_WORKER) == 1


def test_mail_of_a_zone_that_is_not_configured_is_seen(setting):
    """Its worker was stopped, its mail is still there."""
    setting.waiting["gone"] = NOW

    setting.look()

    assert shown(metrics.ZONE_WITHOUT_WORKER, "gone") == 1


def test_its_alarm_is_over_when_the_mail_is_gone(setting):
    """A gauge that stays up for ever is no alarm."""
    setting.waiting["gone"] = NOW
    setting.look()
    setting.waiting.clear()

    setting.look()

    assert shown(metrics.ZONE_WITHOUT_WORKER, "gone") == 0


def test_a_zone_with_a_worker_or_without_work_is_well(setting):
    """Silence is the normal state."""
    setting.waiting["news"] = NOW
    setting.workers = [a_worker("news")]

    assert setting.look(10) == []
    assert shown(metrics.ZONE_WITHOUT_WORKER, "news") == 0
    assert shown(metrics.ZONE_WITHOUT_WORKER) == 0


def test_a_disabled_zone_is_meant_to_have_no_worker(setting):
    """The operator knows."""
    setting.waiting["asleep"] = NOW

    assert setting.look(10) == []


def test_an_alarm_is_said_from_the_second_look_on(setting):
    """At its start a worker needs some seconds, and nobody a warning."""
    setting.waiting["default"] = NOW

    assert setting.look() == []
    assert "no worker zone=default" in setting.look()[0]


def test_an_alarm_is_said_once_a_minute(setting):
    """While it lasts, and not with every look."""
    setting.waiting["default"] = NOW

    assert len(setting.look(13)) == 3


def test_the_end_of_an_alarm_is_said_once(setting):
    """So that the log tells how long it was."""
    setting.waiting["default"] = NOW
    setting.look(2)
    setting.waiting.clear()

    (line,) = setting.look(10)

    assert line.startswith("over: ")


def test_the_end_of_what_was_never_said_is_not_said(setting):
    """It was over before the second look."""
    setting.waiting["default"] = NOW
    setting.look()
    setting.waiting.clear()

    assert setting.look(5) == []


def test_a_worker_that_begins_nothing_though_tasks_wait_is_stuck(setting):
    """It lives, it beats, and it does not consume."""
    setting.workers = [a_worker(quiet=3 * MINUTE)]
    setting.tasks["default"] = 5

    lines = setting.look(12)

    assert shown(metrics.IDLE_WORKERS) == 1
    assert "workers=host/1" in lines[0]


def test_no_transaction_takes_longer_than_an_hour(setting):
    """A worker whose slots are all at work for ever is stuck as well."""
    setting.workers = [a_worker(quiet=2 * 60 * MINUTE, busy=10)]
    setting.tasks["default"] = 5

    setting.look(12)

    assert shown(metrics.IDLE_WORKERS) == 1


def test_two_minutes_of_tasks_must_pass_first(setting):
    """After a quiet night the first mail finds a worker that began nothing."""
    setting.workers = [a_worker(quiet=60 * MINUTE)]
    setting.tasks["default"] = 5

    setting.look(8)

    assert shown(metrics.IDLE_WORKERS) == 0


def test_tasks_that_come_and_go_are_no_sign_of_trouble(setting):
    """Somebody else takes them."""
    setting.workers = [a_worker(quiet=60 * MINUTE)]
    for tasks in [5, 0] * 10:
        setting.tasks["default"] = tasks
        setting.look()

    assert shown(metrics.IDLE_WORKERS) == 0


@pytest.mark.parametrize(
    "worker", [a_worker(quiet=3 * MINUTE, busy=2), a_worker(quiet=MINUTE)]
)
def test_a_worker_that_is_busy_or_has_just_begun_something_is_well(setting, worker):
    """All its slots may be taken by slow next hops."""
    setting.workers = [worker]
    setting.tasks["default"] = 5

    setting.look(12)

    assert shown(metrics.IDLE_WORKERS) == 0


def test_the_age_of_the_oldest_mail_is_shown(setting):
    """Only what is due counts: a deferral waits on purpose."""
    setting.workers = [a_worker()]
    setting.waiting["default"] = NOW - 10 * MINUTE

    lines = setting.look(5)

    assert shown(metrics.OLDEST_WAITING_SECONDS) == 600
    assert lines == []


def test_mail_that_waits_for_longer_than_old_after_is_an_alarm(setting):
    """The limits may be too tight, or the workers too few."""
    setting.workers = [a_worker()]
    setting.waiting["default"] = NOW - 61 * MINUTE

    assert "oldest_s=3660" in setting.look(2)[0]
