"""zones.yaml as a `Config`, or every mistake in it at once."""

from collections.abc import Mapping
from pathlib import Path

from mta.config.checks import check_all
from mta.config.draft import read_draft
from mta.config.nodes import MAX_BYTES, read_document
from mta.config.zones import Config
from mta.errors import ConfigError, Problem


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration; without a file, the built-in defaults.

    Args:
        environ: For ``${NAME}``, and to tell whether doors have their secrets.

    Raises:
        ConfigError: With every problem, in the order of the file.
    """
    if path is None:
        return Config()
    file = str(path)
    document = read_document(file, _read_bytes(path), environ)
    draft = read_draft(document)
    check_all(document, draft, environ)
    document.check()
    return draft.config(file)


def _read_bytes(path: Path) -> bytes:
    """Read the file, or as much of it as shows that it is too large."""
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(str(path), 0, 0, "file", message)]) from None
