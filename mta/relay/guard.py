"""What one session has to prove about its peer before it may carry mail.

A certificate that is checked by name is checked by OpenSSL, within the handshake. One
that is checked by DANE is checked after it and before anything is said: OpenSSL could
do that, but Python gives no way to its functions, so it is asked for the chain that
the peer has shown and ``policy.dane`` compares.
"""

import functools
import logging
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mta.config.tls import MinimumVersion
from mta.policy.dane import Mismatch, find_match
from mta.policy.tls import Check, HostPolicy, Rung
from mta.policy.tls_results import TlsResult
from mta.relay.wire import TlsError

log = logging.getLogger(__name__)

MakeContext = Callable[[MinimumVersion, bool], ssl.SSLContext]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+")


@functools.cache
def make_context(
    minimum: MinimumVersion, verifies: bool, authorities: str | None = None
) -> ssl.SSLContext:
    """Build what sessions are encrypted with.

    Nothing below TLS 1.2 is spoken (RFC 8996).

    Args:
        verifies: Only with a server whose name an authority vouches for; else with
            whoever answers, because the alternative is clear text, not another server
            (RFC 7435), or because DANE says who it is.
        authorities: File in PEM; None: those of the system.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[minimum]
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.hostname_checks_common_name = False  # RFC 8461 §4.2: only what SAN says
    if authorities is None:
        paths = ssl.get_default_verify_paths()
        if not paths.cafile and not paths.capath:
            log.warning("no authorities: nothing can be verified (ca-certificates?)")
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(authorities)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The demands of one session.

    Attributes:
        server_name: Asked for in the handshake (SNI), and where ``context`` verifies,
            the one that is verified; None: none is.
        is_required: Without TLS the session is over.
    """

    context: ssl.SSLContext
    server_name: str | None = None
    is_required: bool = False
    check: Check = Check.NO
    policy: HostPolicy | None = None

    def inspect(self, chain: Sequence[bytes], now: datetime | None = None) -> None:
        """See whether the peer is who it should be, where OpenSSL has not.

        Raises:
            TlsError: It is not.
        """
        if self.check is not Check.DANE or self.policy is None:
            return
        now = now or datetime.now(UTC)
        try:
            find_match(self.policy.tlsa, chain, self.policy.names, now)
        except Mismatch as error:
            raise TlsError(f"DANE: {error}", TlsResult.VALIDATION_FAILURE) from error


def guard_for(
    policy: HostPolicy,
    rung: Rung,
    host: str,
    *,
    make: MakeContext = make_context,
) -> Guard | None:
    """The demands of a session that is opened in one of the ways of a policy."""
    if not rung.encrypts:
        return None
    verifies = rung.check in (Check.NAME, Check.STS)
    # RFC 7672 §8.1: the name of which the records are.
    name = policy.names[0] if rung.check is Check.DANE else host
    return Guard(
        context=make(policy.minimum, verifies),
        server_name=name if verifies or _HOST_NAME.fullmatch(name) else None,
        is_required=policy.is_required,
        check=rung.check,
        policy=policy,
    )
