"""Why ``mta up`` or ``mta smtp`` could not start, in the operator's words."""

from mta.errors import MtaError


class StartFailed(MtaError):
    """A process cannot be started; the text says what to do about it."""
