"""Who a message is from, who it goes to, and how it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mta.config.zones import Priority
from mta.delivery import Notice

MAX_ZONE_CHARS = 200  # no zone has a longer name


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The facts of one submission that are not in the message itself.

    A null reverse path is the empty string. `from_header` says that the
    reverse path and the recipients here are not known yet: intake takes them
    from the header section once it has come in.

    Attributes:
        tenant: Whose mail it is; empty: the interface's, or its user's.
        priority: None: nobody said so; the header section may, or the interface
            does.
        deliver_after: No attempt before.
        expires_at: No attempt from then on.
        late_at: The sender wants to hear if it was not delivered by then.
        tls: Version and cipher of the session it came by; empty in clear.
        ret, envid, require_tls: As in ``mta.delivery.Wishes``.
        is_binary: Its parts may be encoded as "binary" (RFC 3030).
        notices: By recipient, what was said about notices, if anything.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    interface: str
    protocol: str
    received_at: datetime
    session_id: str
    origin: str | None = None
    origin_host: str | None = None
    helo: str | None = None
    user: str | None = None
    smtputf8: bool = False
    body_8bit: bool = False
    requested_zone: str | None = None
    from_header: bool = False
    tenant: str = ""
    priority: Priority | None = None
    deliver_after: datetime | None = None
    expires_at: datetime | None = None
    late_at: datetime | None = None
    tls: str = ""
    ret: str = ""
    envid: str = ""
    require_tls: bool = False
    is_binary: bool = False
    notices: Mapping[str, Notice] = field(default_factory=dict)

    def asking_for(self, zone: str | None) -> Envelope:
        """The same, asking for what the header section says unless the door said more.

        Args:
            zone: As the header section says it; of odd lengths, what can be a name.
        """
        if not zone or self.requested_zone:
            return self
        return replace(self, requested_zone=zone[:MAX_ZONE_CHARS])
