"""Why ``mta up`` or ``mta smtp`` could not start, in the operator's words."""

from collections.abc import Iterator
from contextlib import contextmanager

from mta.errors import MtaError


class StartFailed(MtaError):
    """A process cannot be started; the text says what to do about it."""


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Word what the file system refuses meanwhile as a matter of ``what``.

    Raises:
        StartFailed: Instead of OSError.
    """
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise StartFailed(f"{what}: {error.strerror or error}{place}") from error
