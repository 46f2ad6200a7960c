"""What one attempt knows of itself while it is under way."""

from dataclasses import dataclass, field
from typing import Protocol

from mta.config.zones import PoolAddress
from mta.policy.tls import DomainPolicy, HostPolicy
from mta.relay.admission import Turn
from mta.relay.fuse import Fuse
from mta.relay.held import RelaySession
from mta.relay.hosts import Target
from mta.relay.manner import Manner
from mta.relay.request import Chain, RelayRequest
from mta.relay.security import NoteTls, Security
from mta.relay.sources import Use


class Connects(Protocol):
    """Opens sessions; see ``mta.relay.connect.Connector``."""

    @property
    def security(self) -> Security: ...

    def connect(
        self,
        target: Target,
        source: PoolAddress | None,
        fuse: Fuse,
        *,
        policy: HostPolicy,
        note: NoteTls,
        manner: Manner,
    ) -> RelaySession: ...


@dataclass(slots=True)
class Attempt:
    """One attempt.

    Attributes:
        trouble: The destination's key.
        security: What holds for the domain's mail.
    """

    request: RelayRequest
    started_at: float
    turn: Turn
    trouble: str
    chain: Chain | None
    security: DomainPolicy
    fuse: Fuse = field(default_factory=Fuse)
    use: Use = field(default_factory=Use)
