from pathlib import Path

import pytest

from mta.config.settings import load_settings
from mta.embedded.failure import StartFailed, naming
from mta.embedded.up import run_up


def test_a_ready_file_that_cannot_be_is_said_before_anything_starts(tmp_path):
    """Not a traceback once everything runs."""
    settings = load_settings({"MTA_STATE_DIR": str(tmp_path / "var")})
    announced: list[str] = []

    with pytest.raises(StartFailed, match=r"ready file: No such file .*nowhere"):
        run_up(
            settings,
            environ={},
            is_sandbox=True,
            ready_file=tmp_path / "nowhere" / "ready.json",
            announce=announced.append,
            check=lambda _: None,
        )

    assert announced == []
    assert not (tmp_path / "var" / "ports.json").exists()


def test_what_the_file_system_refuses_is_said_with_its_place():
    """What it was for, what is wrong, and where."""
    with (
        pytest.raises(StartFailed, match=r"^state: Is a directory \(/\)$"),
        naming("state"),
    ):
        Path("/").write_text("")
