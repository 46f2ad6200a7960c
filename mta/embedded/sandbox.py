"""The sandbox's MX: takes mail for anybody into an inbox; some addresses misbehave.

With ``mta up --sandbox`` every zone delivers here, so that a newcomer can write to
any address without a message leaving the machine. The local part of a recipient
decides what happens:

=============  =========================================================
``refuse*``    550 5.1.1, always: a permanent failure
``busy*``      452 4.3.1, always: deferred until it expires
``greylist*``  451 4.7.1 the first time a sender tries, then accepted
any other      accepted
=============  =========================================================
"""

from collections import OrderedDict
from threading import Lock

from mta.reply import Reply, make_reply

REFUSED = make_reply(550, "5.1.1", "No such user here (sandbox)")
BUSY = make_reply(452, "4.3.1", "Insufficient system storage (sandbox)")
GREYLISTED = make_reply(451, "4.7.1", "Greylisted, try again later (sandbox)")

_MAX_PAIRS = 10_000


class Script:
    """Answers RCPT commands by the recipient's local part."""

    def __init__(self, *, max_pairs: int = _MAX_PAIRS) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._max_pairs = max_pairs
        self._lock = Lock()

    def __call__(self, reverse_path: str, recipient: str) -> Reply | None:
        """What to answer instead of 250, if anything."""
        local_part = recipient.lower()
        if local_part.startswith("refuse"):
            return REFUSED
        if local_part.startswith("busy"):
            return BUSY
        if local_part.startswith("greylist"):
            return None if self._is_known(reverse_path, recipient) else GREYLISTED
        return None

    def _is_known(self, reverse_path: str, recipient: str) -> bool:
        pair = (reverse_path, recipient)
        with self._lock:
            is_known = pair in self._seen
            self._seen[pair] = None
            self._seen.move_to_end(pair)
            if len(self._seen) > self._max_pairs:
                self._seen.popitem(last=False)
        return is_known
