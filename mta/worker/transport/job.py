"""One task at work or waiting for its time, as remote control and Flower see it."""

# The type stubs that exist describe an older kombu and an older Celery.
# mypy: disable-error-code="misc, override"

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from celery.worker.request import Request


class Job(Request):
    """What ``celery inspect`` reads of a request, at a twentieth of its price.

    Attributes:
        replies: How the message is acknowledged or rejected without having run.
    """

    def __init__(  # deliberately without super().__init__, which is the price
        self,
        task: Any,
        message: Any,
        *,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        hostname: str,
        replies: tuple[Any, Any],
    ) -> None:
        headers = message.headers
        self.id = headers["id"]
        self.name = self._type = task.name
        self.tag: str = message.delivery_tag
        self.replies = replies
        self._task = task
        self._message = message
        self._request_dict = headers
        self._hostname = hostname
        self._args = args
        self._kwargs = kwargs
        self._argsrepr = headers.get("argsrepr", "")
        self._kwargsrepr = headers.get("kwargsrepr", "")
        self._eta: datetime | None = None
        self._expires = None

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where the message came from."""
        info = self._message.delivery_info or {}
        return {
            "exchange": info.get("exchange"),
            "routing_key": info.get("routing_key"),
            "priority": self._message.properties.get("priority"),
            "redelivered": info.get("redelivered", False),
        }

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Do nothing: to kill a greenlet in mid-transaction helps nobody."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Do nothing, as ``terminate``."""
