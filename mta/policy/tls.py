"""How a session must be secured to carry mail for a domain, and who says so.

Three may speak: the operator (``tls`` of the domain, else of the zone), the host by
DANE, the domain by MTA-STS. Where the operator ignores TLS, nobody else is asked;
else the strictest counts, and whose certificate a host must show DANE says first.

Only where nobody demands TLS may mail go in clear: see ``HostPolicy.ladder``.

RFC 7435 (opportunistic), RFC 7672 §2.2 (DANE), RFC 8461 §5 (MTA-STS: enforce, testing),
RFC 8689 §4.2.1 (REQUIRETLS).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mta.config.tls import OPPORTUNISTIC, MinimumVersion, TlsLevel
from mta.config.zones import DEFAULT, Config, Zone
from mta.errors import PermanentFailure, TransientFailure
from mta.policy.dane import Tlsa
from mta.policy.mta_sts import Mode, StsPolicy
from mta.reply import make_reply

BY_DANE, BY_STS = "dane", "mta-sts"

NO_REQUIRETLS = make_reply(
    550, "5.7.30", "REQUIRETLS: no next hop with TLS that can be trusted"
)


class Check(StrEnum):
    """By what a server is the one it should be."""

    NO = "no"
    NAME = "name"
    STS = "sts"
    DANE = "dane"


class Level(NamedTuple):
    """What the operator wants of sessions.

    Attributes:
        said: Where, as in ``("zones", "bulk", "tls")``; empty: nowhere.
    """

    value: TlsLevel
    said: tuple[str, ...] = ()

    @property
    def by(self) -> str:
        """Where, for people: ``zones.bulk.tls``."""
        return ".".join(self.said) or "default"


class Rung(NamedTuple):
    """One way to open a session; the next one is taken if its TLS fails."""

    encrypts: bool
    check: Check = Check.NO


IN_CLEAR = Rung(encrypts=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainPolicy:
    """What holds for a domain's mail, whichever host takes it.

    Attributes:
        sts: What the domain says by MTA-STS, if that is to be followed.
        uses_dane: Hosts are asked what they say.
        require_tls: The sender wants it (RFC 8689).
    """

    level: Level
    minimum: MinimumVersion = "1.2"
    sts: StsPolicy | None = None
    uses_dane: bool = False
    require_tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """What a session with one host has to be.

    Attributes:
        by: What decided: ``dane``, ``mta-sts``, or where the operator said it.
        is_required: No TLS, no mail.
        check: Of whom the certificate must be.
        tries: Likewise, but it is only reported if it is not (MTA-STS, testing).
        tlsa: What DNS says of the certificate.
        names: One of them is to be in it.
        wants_tls: STARTTLS is used where it is offered.
    """

    by: str
    is_required: bool = False
    check: Check = Check.NO
    tries: Check = Check.NO
    tlsa: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()
    wants_tls: bool = True
    minimum: MinimumVersion = "1.2"

    @property
    def ladder(self) -> tuple[Rung, ...]:
        """The ways to open a session, the best one first; never empty."""
        if not self.wants_tls:
            return (IN_CLEAR,)
        first = Rung(encrypts=True, check=self.check)
        if self.is_required:
            return (first,)
        # RFC 7435: encryption with anybody is better than none, and none than no mail.
        tried = (Rung(encrypts=True, check=self.tries),) if self.tries != "no" else ()
        return (*tried, first, IN_CLEAR)


def next_rung(
    ladder: Sequence[Rung], failed: Rung, *, was_untrusted: bool
) -> Rung | None:
    """What is tried after a session whose TLS has failed; None: nothing.

    Args:
        was_untrusted: TLS itself works; it is not who it should be.
    """
    rest = ladder[ladder.index(failed) + 1 :]
    if was_untrusted:
        return rest[0] if rest else None
    return next((rung for rung in rest if not rung.encrypts), None)


def level_of(config: Config, zone: Zone, domain: str) -> Level:
    """What the operator wants for a domain's mail in a zone."""
    if zone.auth is not None:  # a password is for nobody else, whatever is said
        return Level("verify", ("zones", zone.name, "auth"))
    if zone.http is not None:  # its address says whether it is encrypted
        return Level("ignore", ("zones", zone.name, "http"))
    limits = config.domain_limits(domain)
    if limits.tls is not None:
        own = config.domains.get(domain)
        has_own = own is not None and own.tls is not None
        return Level(limits.tls, ("domains", domain if has_own else DEFAULT, "tls"))
    if zone.secure and zone.tls is None:
        return Level("require", ("zones", zone.name, "secure"))
    if zone.tls is not None:
        return Level(zone.tls, ("zones", zone.name, "tls"))
    if zone.ignore_tls:
        return Level("ignore", ("zones", zone.name, "ignore_tls"))
    return Level(OPPORTUNISTIC)


def follows(config: Config, domain: str) -> tuple[bool, bool]:
    """Whether what a domain and its hosts say counts: by MTA-STS, by DANE."""
    own, general = config.domain_limits(domain), config.tls
    return (
        general.mta_sts if own.mta_sts is None else own.mta_sts,
        general.dane if own.dane is None else own.dane,
    )


def policy_for(
    domain: DomainPolicy, host: str, tlsa: Sequence[Tlsa] | None, names: Sequence[str]
) -> HostPolicy:
    """What a session with a host has to be.

    Args:
        host: In lower case; the address if it has no name.
        tlsa: Usable records of the host; None if it has no records, or if they may
            not be relied on. None of them usable: empty.
        names: Those that a certificate may bear by DANE (RFC 7672 §3.2.2).

    Raises:
        TransientFailure: The domain does not want it to have its mail.
        PermanentFailure: Nobody vouches for it, and the sender wants that.
    """
    level = domain.level.value
    if level == "ignore":
        return _checked(domain, HostPolicy(by=domain.level.by, wants_tls=False))
    minimum = domain.minimum
    if tlsa:
        policy = HostPolicy(
            by=BY_DANE,
            is_required=True,
            check=Check.DANE,
            tlsa=tuple(sorted(tlsa)),  # DNS gives them in any order
            names=tuple(dict.fromkeys(names)),
            minimum=minimum,
        )
        return _checked(domain, policy)
    sts = domain.sts
    if sts is not None and sts.mode is Mode.ENFORCE:
        if not sts.matches(host):
            raise _not_wanted(host)
        policy = HostPolicy(
            by=BY_STS,
            is_required=True,
            check=Check.STS,
            names=(host,),
            minimum=minimum,
        )
        return _checked(domain, policy)
    if level == "verify":
        policy = HostPolicy(
            by=domain.level.by,
            is_required=True,
            check=Check.NAME,
            names=(host,),
            minimum=minimum,
        )
        return _checked(domain, policy)
    is_testing = sts is not None and sts.mode is Mode.TESTING and sts.matches(host)
    policy = HostPolicy(
        # RFC 7672 §2.2: records that nobody can use demand TLS all the same.
        by=BY_DANE if tlsa is not None and level != "require" else domain.level.by,
        is_required=level == "require" or tlsa is not None,
        tries=Check.NAME if is_testing else Check.NO,
        names=(host,),
        minimum=minimum,
    )
    return _checked(domain, policy)


def _checked(domain: DomainPolicy, policy: HostPolicy) -> HostPolicy:
    if domain.require_tls and policy.check is Check.NO:
        raise PermanentFailure(
            NO_REQUIRETLS, category="message", is_next_host_worth_trying=True
        )
    return policy


def _not_wanted(host: str) -> TransientFailure:
    # RFC 8461 §5: not delivered there; whether ever is not for the policy to say.
    text = f"MTA-STS: {host} is no host of the domain's policy"
    return TransientFailure(
        make_reply(450, "4.7.0", text),
        category="policy",
        host=host,
        is_next_host_worth_trying=True,
    )
