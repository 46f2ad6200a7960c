"""A mail server that takes everything, or refuses on request; counts per recipient.

Built on aiosmtpd, so the other side of our client is not our own code.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Self

from aiosmtpd.controller import Controller


class Sink:
    """Listens on ``host``:``port``.

    Args:
        controller: What listens; that of LMTP, for example.
        options: More of what it is told.

    Attributes:
        refuse: Asked for each recipient: a whole reply such as ``"451 4.7.1 later"``,
            or None to take it. The second argument says how often it was asked
            for this recipient, from 1.
        refuse_peer: Likewise, asked for each recipient of a client's address.
        arrived: How often content arrived for each recipient.
        peers: How often content arrived from each client's address.
        peer_of: The client's address from which content last arrived, per recipient.
        contents: The content, per recipient, newest last.
    """

    def __init__(
        self,
        host: str,
        port: int,
        controller: type[Controller] = Controller,
        **options: Any,
    ) -> None:
        self.host, self.port = host, port
        self.refuse: Callable[[str, int], str | None] = lambda _, __: None
        self.refuse_peer: Callable[[str], str | None] = lambda _: None
        self.arrived: Counter[str] = Counter()
        self.peers: Counter[str] = Counter()
        self.peer_of: dict[str, str] = {}
        self.contents: dict[str, list[bytes]] = {}
        self._asked: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._controller = controller(
            self,
            hostname=host,
            port=port,
            data_size_limit=200 * 1024 * 1024,
            **options,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        self._asked[address] += 1
        refusal = self.refuse(address, self._asked[address])
        refusal = refusal or self.refuse_peer(session.peer[0])
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        with self._changed:
            for recipient in envelope.rcpt_tos:
                self.peers[session.peer[0]] += 1
                self.arrived[recipient] += 1
                self.peer_of[recipient] = session.peer[0]
                self.contents.setdefault(recipient, []).append(envelope.content)
            self._changed.notify_all()
        return "250 2.0.0 taken"

    def wait_for(self, recipients: Collection[str], timeout_s: float) -> bool:
        """Wait until something arrived for each of ``recipients``."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self.arrived.keys() >= set(recipients), timeout_s
            )

    def wait_for_any(self, count: int, timeout_s: float) -> bool:
        """Wait until ``count`` different recipients got something."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.arrived) >= count, timeout_s)

    def missing(self, recipients: Collection[str]) -> set[str]:
        """Those of ``recipients`` for whom nothing arrived."""
        return set(recipients) - self.arrived.keys()

    def clear(self) -> None:
        """Forget what arrived."""
        with self._changed:
            self.arrived.clear()
            self.peers.clear()
            self.contents.clear()
            self._asked.clear()
