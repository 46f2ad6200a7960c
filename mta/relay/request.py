"""What the relay is asked for, and what it answers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from mta.config.zones import Config, Provider, Zone
from mta.delivery import NO_WISHES, Wishes
from mta.reasons import NO_REASONS, Reasons
from mta.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """The two ends of one session.

    Attributes:
        host: The peer's name, as looked up, or its address if it has none.
        address: The peer's IP address.
        source: Our end's IP address; empty if unknown.
        ehlo_name: What we call ourselves.
    """

    host: str
    address: str
    source: str
    ehlo_name: str


class Places(NamedTuple):
    """Who receives for a domain.

    Attributes:
        provider: None if it is nobody in particular.
        site: As ``mta.policy.measures.site_of`` names it; "": nowhere, or unknown.
    """

    provider: Provider | None
    site: str

    @property
    def names(self) -> tuple[str, ...]:
        """What measures about them are filed under."""
        own = (self.provider.name,) if self.provider else ()
        return (*own, self.site) if self.site else own


NOWHERE = Places(None, "")

OpenContent = Callable[[Hop], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRequest:
    """One message for one recipient.

    Attributes:
        config: The one in force when the attempt began.
        reverse_path: "" is the null path.
        domain: The recipient's: a lower-case A-label or an address literal.
        delivery_id: Sticks to its source address over all attempts.
        sender: What sticks to it instead, together with all of its mail; "": nothing.
        size: Octets of content, roughly.
        needs_8bit: The content has octets above 127.
        needs_utf8: The header section has them.
        open_content: Called once per host that wants the content, with the session
            it goes over: Received names its ends. What it raises passes through,
            and nothing is sent then.
        wishes: What its sender asks of the next hop.
        has_turn: It has waited for the time that a rate once gave it.
        tenant: Whose mail it is.
    """

    config: Config
    zone: Zone
    reverse_path: str
    recipient: str
    domain: str
    delivery_id: str
    size: int
    needs_8bit: bool
    needs_utf8: bool
    open_content: OpenContent
    wishes: Wishes = NO_WISHES
    has_turn: bool = False
    tenant: str = ""
    sender: str = ""


class KeptSession(Protocol):
    """A session between two deliveries, in nobody else's reach."""

    @property
    def keys(self) -> tuple[str, ...]: ...


@dataclass(slots=True)
class Chain:
    """One delivery after the other, by one caller.

    Attributes:
        session: Left from the last one, if another delivery waits for its domain, or
            it has to rest.
        admitted: Keys of the limits of which the last one had a slot, however it
            ended.
        rests_until: Instant, on the monotonic clock, before which the session may
            not be used or given up: its slots would be taken at once.
    """

    session: KeptSession | None = None
    admitted: frozenset[str] = frozenset()
    rests_until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that the next hop took; its ``reply`` is to the final dot.

    Attributes:
        source: Our end's IP address.
        tls: Version of TLS, such as ``"TLSv1.3"``; empty in clear.
        is_reused: The session had carried other messages before.
        reasons: What decided the attempt.
        talk: What was said in the transaction; in the session, if it was the first.
    """

    reply: Reply
    host: str
    address: str
    source: str
    ehlo_name: str
    tls: str
    cipher: str
    is_reused: bool
    duration: timedelta
    reasons: Reasons = NO_REASONS
    talk: object = ""
