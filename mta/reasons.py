"""Why an attempt went the way it did: kept with its outcome, so that nobody guesses.

What decides says so itself, and an explanation asks the very same code: this is the
one shape for what was decided and for what would be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

MAX_CAUSES = 10
MAX_ADDRESSES = 20  # of one cause
MAX_LIMITS = 40


class Limit(NamedTuple):
    """A limit that a session or a message counts against.

    Attributes:
        key: As ``mta.policy.limits`` names it.
        connections: Open at a time; None: any number.
        rate: Messages per time, as in ``600/m``; "": any number.
    """

    key: str
    connections: int | None = None
    rate: str = ""


class TlsFacts(NamedTuple):
    """What TLS came to in an attempt.

    Attributes:
        policy: Who decided what it had to be: ``dane``, ``mta-sts``, ``default``, or
            where the operator says it, as in ``zones.bulk.tls``; "": not known yet.
        version, cipher: Empty in clear.
        verified: By what the server was the one it should be: ``no``, ``name``,
            ``sts``, ``dane``; "": there was no session.
    """

    policy: str = ""
    version: str = ""
    cipher: str = ""
    verified: str = ""


NO_TLS_FACTS = TlsFacts()


class PassedOver(NamedTuple):
    """Addresses of ours that an attempt was not to leave from, and why."""

    cause: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """What decided an attempt.

    Attributes:
        provider: Whose hosts receive for the domain; "": nobody in particular.
        site: As ``mta.policy.measures.site_of`` names them; "": nobody asked.
        pool_address: The one of ours that was chosen; "": the system chose.
        is_last_resort: It should rest, and there was no other.
        passed_over: What was not chosen though it is in the pool. Bounded.
        limits: What it counted against, the narrowest first. Bounded.
        tls: What it came to.
    """

    provider: str = ""
    site: str = ""
    pool_address: str = ""
    is_last_resort: bool = False
    passed_over: tuple[PassedOver, ...] = ()
    limits: tuple[Limit, ...] = ()
    tls: TlsFacts = NO_TLS_FACTS


NO_REASONS = Reasons()


def group_by_cause(passed: Iterable[tuple[str, str]]) -> tuple[PassedOver, ...]:
    """Gather addresses that have a cause in common; of very many, the first ones.

    Args:
        passed: Addresses, each with its cause.
    """
    causes: dict[str, list[str]] = {}
    for address, cause in passed:
        causes.setdefault(cause, []).append(address)
    return tuple(
        PassedOver(cause, tuple(addresses[:MAX_ADDRESSES]))
        for cause, addresses in islice(causes.items(), MAX_CAUSES)
    )
