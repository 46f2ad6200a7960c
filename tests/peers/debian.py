"""Packages of Debian that are fetched and unpacked, and installed nowhere.

For those that conflict with what is installed, or whose services nobody wants.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.peers.tools import find_program, miss, run


def unpack(folder: Path, packages: Sequence[str]) -> Path:
    """Fetch packages, and those libraries that the machine lacks; returns the root."""
    apt, dpkg = find_program("apt-get", "apt"), find_program("dpkg", "dpkg")
    for name in ("root", "cache/archives/partial", "lists/partial"):
        (folder / name).mkdir(parents=True)
    quiet = ("-y", "-qq", "--download-only", "--no-install-recommends", "--reinstall")
    options = (
        f"Dir::Cache={folder}/cache",
        "Debug::NoLocking=1",
        "APT::Sandbox::User=",
    )
    words = [word for option in options for word in ("-o", option)]
    try:
        run(apt, *words, *quiet, "install", *packages)
    except AssertionError:
        # The machine has no lists, or old ones: read them, but keep them ours.
        words += ["-o", f"Dir::State::lists={folder}/lists"]
        try:
            run(apt, *words, "-qq", "update")
            run(apt, *words, *quiet, "install", *packages)
        except AssertionError as error:
            miss(f"{packages[0]} cannot be fetched: {error}")
    root = folder / "root"
    for archive in (folder / "cache/archives").glob("*.deb"):
        run(dpkg, "-x", archive, root)
    return root


def libraries_of(root: Path) -> str:
    """The value of LD_LIBRARY_PATH for what was unpacked."""
    return ":".join(sorted({str(path.parent) for path in root.glob("**/*.so*")}))
