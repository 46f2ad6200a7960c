"""Signing keys that stand in files: read, and told what is wrong with them.

The same faults are mistakes of the configuration where somebody checks it, and where
mail is signed they are a reason to wait.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mta.config.dkim import DkimKey
from mta.config.dkim_draft import check_algorithm
from mta.config.signing_key import GOOD_RSA_BITS, SigningKey, parse_signing_key
from mta.config.zones import Config
from mta.errors import ConfigError, Problem

MAX_FILE_BYTES: Final = 64 * 1024


def load_key(said: DkimKey, *, is_trusted: bool = False) -> SigningKey:
    """Read a key from its file or its text.

    Args:
        is_trusted: As in ``parse_signing_key``.

    Raises:
        ValueError: It cannot be used; the message names the file, and no part of the
            key.
    """
    name = said.path or "private_key"
    try:
        text = (
            _read_private(Path(said.path))
            if said.path is not None
            else (said.private_key or "").encode()
        )
        key = parse_signing_key(text, is_trusted=is_trusted)
        check_algorithm(said, key.algorithm)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    return key


def _read_private(path: Path) -> bytes:
    """Read a file that is nobody else's affair.

    Raises:
        OSError: It cannot be read.
        ValueError: It is none, too large, or anybody may read or change it.
    """
    seen = path.stat()
    if not stat.S_ISREG(seen.st_mode):  # to open anything else may take for ever
        raise ValueError("is not a file")
    if seen.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ValueError(f"is open to others; chmod 600 {path}, or 640 for a group")
    if seen.st_size > MAX_FILE_BYTES:
        raise ValueError("is too large for a key")
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)


def check_keys(config: Config, *, is_trusted: bool = False) -> None:
    """Read all keys.

    Args:
        is_trusted: As in ``parse_signing_key``.

    Raises:
        ConfigError: With every problem.
    """
    problems = []
    for name, said in _keys(config):
        try:
            load_key(said, is_trusted=is_trusted)
        except ValueError as error:
            problems.append(_problem(config, name, said, str(error)))
    if problems:
        raise ConfigError(problems)


def find_short_keys(config: Config) -> Iterator[Problem]:
    """Name the keys that work today, and should be longer."""
    for name, said in _keys(config):
        key = load_key(said, is_trusted=True)
        if key.is_short:
            text = f"has {key.bits} bits; have at least {GOOD_RSA_BITS}"
            yield _problem(config, name, said, text)


def _keys(config: Config) -> Iterator[tuple[str, DkimKey]]:
    for name, keys in config.dkim.keys.items():
        for said in keys:
            yield name, said


def _problem(config: Config, name: str, said: DkimKey, text: str) -> Problem:
    line = config.lines.get(("dkim", "keys", name, said.selector), 0)
    path = f"dkim.keys.{name}.{said.selector}"
    return Problem(config.source, line, 1, path, text)
