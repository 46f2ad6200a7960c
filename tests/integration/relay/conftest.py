"""The outbound network over loopback; see ``tests.support.outbound``."""

from tests.support.outbound import (
    an_mx,
    authority,
    mx_port,
    network,
    time,
    trust,
)

__all__ = ["an_mx", "authority", "mx_port", "network", "time", "trust"]
