"""One process and its SIGHUP: the new configuration, or the old one and a line."""

import pytest

from mta.cli.process import load
from mta.cli.reloading import Reloading

OLD = "zones: {default: {connections: 2}, bulk: {}}\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    file = tmp_path / "zones.yaml"
    file.write_text(OLD)
    monkeypatch.setenv("MTA_CONFIG", str(file))
    return file


@pytest.fixture
def start(file):
    def start(**options):
        return Reloading(*load(), **options)

    return start


def test_a_change_is_in_force_and_told(file, start):
    """Whoever wanted to know hears of old and new."""
    reloading, told = start(), []
    reloading.afterwards(lambda old, new: told.append((old, new)))
    before = reloading.config.current
    file.write_text(OLD.replace("2", "9"))

    assert reloading.reload()

    assert reloading.config.current.connections_of("default") == 9
    assert told == [(before, reloading.config.current)]


def test_mistakes_change_nothing_and_are_logged(file, start, caplog):
    """Each with its line, as mta check prints them."""
    reloading = start()
    before = reloading.config.current
    file.write_text("zones:\n  default: {conections: 9}\n")

    assert not reloading.reload()

    assert reloading.config.current is before
    assert f"{file}:2:13: zones.default.conections: unknown key" in caplog.text


def test_a_configuration_that_the_process_cannot_live_with_is_refused(file, start):
    """Such as one whose certificates are not there."""

    def check(_):
        raise OSError("no certificate")

    reloading = start(check=check)
    file.write_text(OLD.replace("2", "9"))

    assert not reloading.reload()

    assert reloading.config.current.connections_of("default") == 2


def test_a_zone_that_holds_mail_is_not_removed(file, start, caplog):
    """Nobody would deliver it; the line says what to do."""
    reloading = start(held_in=lambda zones: dict.fromkeys(zones, 7))
    file.write_text("zones: {default: {connections: 9}}\n")

    assert not reloading.reload()

    assert reloading.config.current.connections_of("default") == 2
    assert "zones.bulk: cannot be removed: it holds mail, 7 deliveries" in caplog.text
    assert "mta zone move bulk OTHER" in caplog.text


def test_what_needs_a_restart_says_so_and_the_rest_is_done(file, start, caplog):
    """A port cannot change, and is no reason to leave a limit as it was."""
    reloading = start()
    file.write_text(OLD.replace("2", "9") + "api: {port: 1}\n")

    assert reloading.reload()

    assert reloading.config.current.api.port == 12080
    assert reloading.config.current.connections_of("default") == 9
    assert "needs a restart: api.port: 12080 -> 1" in caplog.text


def test_a_fault_in_one_who_is_told_keeps_it_from_no_other(file, start):
    """The configuration is in force; everybody has to hear of it."""
    reloading, told = start(), []

    def break_down(_old, _new):
        raise ZeroDivisionError

    reloading.afterwards(break_down)
    reloading.afterwards(lambda old, new: told.append(new))
    file.write_text(OLD.replace("2", "9"))

    assert reloading.reload()
    assert told == [reloading.config.current]
