"""Questions to nameservers that another process has asked already are not asked again.

Shared is the answer as it came, for as long as its own time to live; so who takes it
reads and checks it exactly as if it had asked that nameserver itself. Not shared is
what a nameserver on this machine says, which has a memory of its own and may be another
on the next machine, and what is believed to be validated: nobody between is trusted.
"""

from dataclasses import dataclass
from typing import Protocol

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from mta.config.values import is_loopback
from mta.config.zones import HostPort
from mta.relay.resolver import Exchange


class Answers(Protocol):
    """Keeps octets for a time; see ``mta.store.dns_answers.DnsAnswers``."""

    def get(self, name: str) -> tuple[bytes, float] | None: ...

    def put(self, name: str, answer: bytes, ttl_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class SharedExchange:
    """Asks a nameserver, unless somebody lately did: an ``Exchange``.

    Attributes:
        max_ttl_s: No answer is shared for longer.
    """

    exchange: Exchange
    answers: Answers
    max_ttl_s: float

    def __call__(
        self, query: dns.message.Message, server: HostPort, timeout_s: float
    ) -> dns.message.Message:
        if is_loopback(server.host) or query.flags & dns.flags.AD:
            return self.exchange(query, server, timeout_s)
        name = _name_of(query, server)
        known = self._find(name, query)
        if known is not None:
            return known
        response = self.exchange(query, server, timeout_s)
        ttl_s = _ttl_of(response)
        if ttl_s > 0:
            wire = response.to_wire(max_size=65_535)
            self.answers.put(name, wire, min(ttl_s, self.max_ttl_s))
        return response

    def _find(
        self, name: str, query: dns.message.Message
    ) -> dns.message.Message | None:
        found = self.answers.get(name)
        if found is None:
            return None
        wire, left_s = found
        try:
            response = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        response.id = query.id
        if not query.is_response(response):
            return None
        for rrset in (*response.answer, *response.authority):
            rrset.ttl = min(rrset.ttl, max(1, int(left_s)))
        return response


def _name_of(query: dns.message.Message, server: HostPort) -> str:
    """Name a question: with all that may make another answer of it."""
    question = query.question[0]
    kind = dns.rdatatype.to_text(question.rdtype)
    flags = f"{int(query.flags):x}.{query.edns}.{int(query.ednsflags):x}"
    return f"{server}:{flags}:{kind}:{question.name.to_text().lower()}"


def _ttl_of(response: dns.message.Message) -> float:
    """How long an answer holds; 0 for one that is not to be kept."""
    if not isinstance(response, dns.message.QueryMessage):
        return 0
    is_answer = response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
    if not is_answer or response.flags & dns.flags.TC:
        return 0
    try:
        result = response.resolve_chaining()
    except dns.exception.DNSException:
        return 0
    has_end = bool(response.answer or response.authority)
    return float(result.minimum_ttl) if has_end else 0
