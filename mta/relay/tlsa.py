"""What hosts publish of their certificates in DNS, where DNS can be relied on (DANE).

Asked only for hosts that were themselves found by answers that were validated: else
whoever forges those names a host of his own. Whether an answer was validated, the
resolver says, which knows what nameservers are trusted with that.

RFC 7672 §2.1 (what secure means; what failed is not "none"), §2.2 (which names).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from mta.errors import AttemptFailed, TransientFailure
from mta.policy.dane import Tlsa, usable
from mta.policy.targets import MX
from mta.relay.resolver import Answer, Finding, Kind
from mta.reply import make_reply

log = logging.getLogger(__name__)

# Answers without one that was validated, after which that is worth a line in the log.
SUSPICIOUS = 50


class Answers(Protocol):
    """The part of the resolver that is needed here."""

    @property
    def can_validate(self) -> bool: ...

    def find_answer(self, name: str, kind: Kind) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Published:
    """What a host publishes.

    Attributes:
        records: Those that can be used; none: TLS, with whoever it is (§2.2).
        names: Of which its certificate must bear one (§3.2.2), the first for SNI.
    """

    records: tuple[Tlsa, ...]
    names: tuple[str, ...]


@dataclass(slots=True)
class Dane:
    """Asks DNS about hosts."""

    names: Answers
    _asked: int = field(default=0, init=False)
    _has_validated: bool = field(default=False, init=False)

    @property
    def can_be_used(self) -> bool:
        """Some nameserver is trusted with validating."""
        return self.names.can_validate

    def look(
        self, domain: str | None, host: str, port: int
    ) -> tuple[Published | None, str]:
        """Find what a host publishes; None: nothing that could be relied on, and why.

        Args:
            domain: The one whose mail it takes by its MX records; None: the operator
                has named the host.

        Raises:
            TransientFailure: Nobody could tell, or somebody is in the way (§2.1.2).
        """
        try:
            return self._look(domain, host, port)
        except AttemptFailed as failure:
            failure.host = failure.host or host
            failure.is_next_host_worth_trying = True
            raise

    def _look(
        self, domain: str | None, host: str, port: int
    ) -> tuple[Published | None, str]:
        if domain is not None and not self._is_named(domain, host):
            return None, f"the MX records of {domain} are not validated (DNSSEC)"
        bases = tuple(self._bases(host))
        for name in bases:
            place = f"_{port}._tcp.{name}"
            answer = self.names.find_answer(place, "TLSA")
            records = [r for r in answer.records if isinstance(r, Tlsa)]
            if records and answer.is_secure:
                names = tuple(dict.fromkeys(filter(None, (name, host, domain))))
                kept = usable(records)
                known = f"{len(records)} records at {place}, {len(kept)} to be used"
                return Published(kept, names), known
        if bases:
            return None, f"no records for {host}"
        return None, f"the addresses of {host} are not validated (DNSSEC)"

    def _is_named(self, domain: str, host: str) -> bool:
        """Whether DNS says, so that it can be relied on, that it is the domain's host.

        Raises:
            TransientFailure: It says that another one is.
        """
        answer = self.names.find_answer(domain, "MX")
        self._watch(answer)
        if not answer.is_secure:
            return False
        hosts = {r.host for r in answer.records if isinstance(r, MX)} or {domain}
        if host not in hosts:
            text = f"DNS Error: the hosts of {domain} have changed"
            raise TransientFailure(make_reply(450, "4.4.3", text), category="dns")
        return True

    def _bases(self, host: str) -> Iterator[str]:
        """Yield the names that records may stand at, the best one first (§2.2.2)."""
        answer = self.names.find_answer(host, "A")
        if answer.finding is not Finding.RECORDS:
            answer = self.names.find_answer(host, "AAAA")
        if answer.is_secure:
            if answer.name != host:
                yield answer.name
            yield host
            return
        # An alias may be secure although what it leads to is not.
        alias = self.names.find_answer(host, "CNAME")
        if alias.is_secure and alias.finding is Finding.RECORDS:
            yield host

    def _watch(self, answer: Answer) -> None:
        """Say once that nothing is validated, if it seems so."""
        if self._has_validated or answer.is_secure:
            self._has_validated = True
            return
        self._asked += 1
        if self._asked == SUSPICIOUS:
            log.warning(
                "dane is of no use: none of %d answers was validated; do the "
                "nameservers validate (DNSSEC)?",
                SUSPICIOUS,
            )
