"""zones.yaml as a `Config`, or every mistake in it at once."""

from collections.abc import Mapping
from pathlib import Path

from mta.config.checks import check_all
from mta.config.difference import keep_fixed
from mta.config.document import Document, format_path
from mta.config.draft import read_draft
from mta.config.lines import lines_of
from mta.config.network import ReadNetwork, read_network
from mta.config.nodes import MAX_BYTES, read_document
from mta.config.zones import Config
from mta.errors import ConfigError, Problem

# Where a supervisor keeps what was found right: the file it began with, and the one
# in force. Its processes read these, whatever becomes of the operator's meanwhile.
# Not MTA_*: they are nothing an operator sets.
STARTED_WITH = "CELERY_MTA_STARTED_WITH"
IN_FORCE = "CELERY_MTA_IN_FORCE"


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration; without a file, the built-in defaults.

    Under a supervisor, the one that it has put in force.

    Args:
        environ: For ``${NAME}``, and to tell whether doors have their secrets.

    Raises:
        ConfigError: With every problem, in the order of the file.
    """
    if path is None:
        return Config()
    config = parse_config(
        str(path), read_file(Path(environ.get(IN_FORCE) or path)), environ
    )
    started = environ.get(STARTED_WITH)
    if not started:
        return config
    return keep_fixed(
        parse_config(str(path), read_file(Path(started)), environ), config
    )


def parse_config(
    file: str,
    content: bytes,
    environ: Mapping[str, str],
    network: ReadNetwork = read_network,
) -> Config:
    """Read what a file says; ``file`` names it. As in ``load_config``."""
    document = read_document(file, content, environ)
    draft = read_draft(document, network())
    check_all(document, draft, environ)
    document.check()
    return draft.config(file, lines_of(document, draft), hidden_of(document))


def hidden_of(document: Document) -> frozenset[str]:
    """The values that come from the environment: they may be secrets."""
    return frozenset(
        format_path(path)
        for path, place in document.places.items()
        if place.text and "${" in place.text
    )


def read_file(path: Path) -> bytes:
    """Read the file, or as much of it as shows that it is too large.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(str(path), 0, 0, "file", message)]) from None
