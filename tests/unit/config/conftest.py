"""A zones.yaml on disk, and what is wrong with it."""

import textwrap

import pytest

from mta.config.load import load_config
from mta.errors import ConfigError


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a text as ./zones.yaml."""
    monkeypatch.chdir(tmp_path)
    path = (tmp_path / "zones.yaml").relative_to(tmp_path)

    def load(text, **environ):
        content = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
        path.write_bytes(content)
        return load_config(path, environ)

    return load


@pytest.fixture
def problems(load):
    """Load a text that is wrong; the problems as `mta check` prints them."""

    def problems(text, **environ):
        with pytest.raises(ConfigError) as caught:
            load(text, **environ)
        return [str(problem) for problem in caught.value.problems]

    return problems


@pytest.fixture
def only_problem(problems):
    """Load a text with one mistake, and no follow-up of it."""

    def only_problem(text, **environ):
        (problem,) = problems(text, **environ)
        return problem

    return only_problem
