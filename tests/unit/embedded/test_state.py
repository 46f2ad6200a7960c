import json
import os

import pytest

from mta.embedded import state
from mta.embedded.failure import StartFailed
from mta.embedded.state import StateFolder, read_ready


@pytest.fixture
def folder(tmp_path):
    opened = StateFolder(tmp_path / "var")
    yield opened
    opened.close()


def test_the_folder_is_private(folder):
    """Mail and secrets are nobody else's."""
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_serves_one_run(folder):
    """The second run is told whose the folder is."""
    with pytest.raises(StartFailed, match=f"another run, process {os.getpid()}"):
        StateFolder(folder.path)


def test_a_folder_is_free_after_close(tmp_path):
    """A run that has ended leaves nothing that is in the way."""
    StateFolder(tmp_path).close()

    StateFolder(tmp_path).close()


def test_a_dead_owner_is_waited_for(tmp_path, monkeypatch):
    """Processes of a killed run may still hold the lock: that passes."""
    file = tmp_path / "lock"
    file.write_text("99999999")
    answers = iter([False, False, True])
    monkeypatch.setattr(state, "_try_lock", lambda _: next(answers))
    pauses: list[float] = []
    monkeypatch.setattr(state.time, "sleep", pauses.append)

    StateFolder(tmp_path).close()

    assert len(pauses) == 2


def test_an_unusable_folder_is_named(tmp_path):
    """A file in the place of the folder is said as it is."""
    (tmp_path / "var").write_text("")

    with pytest.raises(StartFailed, match=r"state folder .*/var"):
        StateFolder(tmp_path / "var")


def test_markers_and_metrics_of_an_earlier_run_are_gone(tmp_path):
    """A new run starts with its own."""
    first = StateFolder(tmp_path)
    first.marker("api").touch()
    (first.metrics / "counter_1.db").touch()
    first.close()

    second = StateFolder(tmp_path)

    assert not second.marker("api").exists()
    assert list(second.metrics.iterdir()) == []
    second.close()


def test_the_ready_file_is_written_twice(folder, tmp_path):
    """In the state folder, and where the user wants it."""
    copy = tmp_path / "ready.json"

    folder.write_ready({"api": "http://127.0.0.1:1"}, copy)

    assert json.loads(copy.read_text()) == read_ready(folder.path)
    assert copy.stat().st_mode & 0o777 == 0o600


def test_nothing_is_ready_after_close(tmp_path):
    """The ready file is there as long as the system is."""
    folder = StateFolder(tmp_path)
    folder.write_ready({"api": "x"}, None)

    folder.close()

    assert read_ready(tmp_path) == {}


def test_the_dashboard_login_is_made_once(folder):
    """It is random, private, and the same the next time."""
    login = folder.flower_login()

    assert folder.flower_login() == login
    assert login.startswith("mta:")
    assert len(login) > 20
    assert (folder.path / "flower-password").stat().st_mode & 0o777 == 0o600
