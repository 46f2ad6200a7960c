"""Which messages a channel has taken and not yet started or acknowledged."""

# The type stubs that exist describe an older kombu and an older Celery.
# mypy: disable-error-code="attr-defined, union-attr"

import logging
from collections.abc import Callable
from typing import Any, Protocol

from kombu.transport import redis
from kombu.transport.virtual import QoS as VirtualQoS
from redis.exceptions import ResponseError

from mta.worker.transport.acks import Acks
from mta.worker.transport.names import MALFORMED

log = logging.getLogger(__name__)


class Slots(Protocol):
    """The greenlets a worker may run at once."""

    def free(self) -> int:
        """How many more may start now."""

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until one may start; False if none may after all."""


class QoS(redis.QoS):
    """Bounded by free slots if the worker has some to offer, else as kombu's.

    Attributes:
        slots, acks: Of a gevent worker; None in any other process.
        is_recorded: The message that is being handed on is in ``unacked`` already.
    """

    slots: Slots | None = None
    acks: Acks | None = None
    is_recorded = False

    def room(self) -> int:
        """How many messages may be taken now."""
        if self.slots is not None:
            return self.slots.free()
        # One by one, as kombu does: what is taken early is in no order any more.
        return 1 if super().can_consume() else 0

    def can_consume(self) -> bool:
        return self.room() > 0

    def append(self, message: Any, delivery_tag: str) -> None:
        if self.is_recorded:
            VirtualQoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def start(self, tag: str) -> Callable[[], None] | None:
        """A task begins: from now on the message is this process's, not the channel's.

        Returns:
            What acknowledges it, also after a reconnect; None if the message went
            back to its queue meanwhile, and somebody else will start it.
        """
        acks = self.acks
        if acks is None or self._delivered.pop(tag, None) is None:
            return None
        return lambda: acks.add(tag)

    def leave(self, tag: str, until: float) -> None:
        """Forget a message; the sweep puts it back, a little after ``until``."""
        self._delivered.pop(tag, None)
        with self.channel.conn_or_acquire() as client:
            received_at = until - self.visibility_timeout
            client.zadd(self.unacked_index_key, {tag: received_at}, xx=True)

    def take_back(self, tag: str) -> dict[str, Any] | None:
        """Hold a message no more that has not started; the caller puts it back.

        Returns:
            As it was taken; None if it went back already.
        """
        message = self._delivered.pop(tag, None)
        return message._raw if message is not None else None

    def forget(self, tag: str) -> None:
        """Acknowledge what was recorded, and never became a message of ours."""
        if self.acks is not None:
            self.acks.add(tag)
        else:
            self._remove_from_indices(tag).execute()

    def ack(self, delivery_tag: str) -> None:
        if self.acks is None:
            super().ack(delivery_tag)
        else:
            self.acks.add(delivery_tag)
            VirtualQoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if requeue or self.acks is None:
            super().reject(delivery_tag, requeue=requeue)
        else:
            self.ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back everything that was taken and not started, in its old order."""
        messages = [message._raw for message in reversed(self._delivered.values())]
        self._delivered.clear()  # nothing that goes back may start meanwhile
        self.channel.put_back(messages)

    def restore_by_tag(self, tag: Any, *args: Any, **kwargs: Any) -> None:
        """Put one back; what nobody can read must not end the worker that sweeps."""
        try:
            super().restore_by_tag(tag, *args, **kwargs)
        except MALFORMED as error:
            log.error("dropped what is no message tag=%r error=%r", tag, error)
            self._remove_from_indices(tag).execute()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Sweep; what a full Redis refuses is swept later."""
        try:
            super().restore_visible(*args, **kwargs)
        except ResponseError as error:
            log.warning("sweep refused error=%s", error)
