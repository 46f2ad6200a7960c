"""Our own stub resolver: what the operator's nameservers know, asked, checked, kept.

What the records mean is for others to say (`policy.targets`, `policy.dane`).
It never calls libc, whose lookups would block every greenlet, and asks each
question once however many wait for the answer.

RFC 1034 §5.3.1 (stub), RFC 2308 (negative answers), RFC 5452 (random ids and
ports; answers from elsewhere do not count), RFC 7766 (TCP after truncation),
RFC 9520 (failures are remembered, briefly); RFC 6840 §5.7 and RFC 4035 §4.9.3 (the
AD bit: the nameserver has validated, if it and the way to it are trusted).
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from ipaddress import ip_address
from itertools import cycle, islice
from typing import Literal, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver

from mta.config.live import Live
from mta.config.values import is_loopback
from mta.config.zones import HostPort, IPAddress
from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.policy.dane import Tlsa
from mta.policy.targets import MAX_ADDRESSES, MX
from mta.reply import make_reply
from mta.store.cache import SharedCache

log = logging.getLogger(__name__)

MAX_ENTRIES = 10_000
MAX_RECORDS = 100  # of one answer; a domain with more has no use for them
MAX_CHAIN = 8  # aliases we follow from answer to answer
ROUNDS = 3  # over all nameservers
FAILURE_TTL = timedelta(seconds=5)  # RFC 9520 §3.2: at least 1 s, at most 5 min
PAYLOAD_BYTES = 1232  # of UDP: passes every path unfragmented (DNS flag day 2020)
FIRST_WAIT_S = 2.0  # for one nameserver; later rounds wait longer

Exchange = Callable[[dns.message.Message, HostPort, float], dns.message.Message]
Record = MX | IPAddress | str | Tlsa
Kind = Literal["A", "AAAA", "MX", "PTR", "TXT", "TLSA", "CNAME"]

# Host names as DNS may give them: letters, digits, hyphen, and the underscore that
# real names have.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


class Finding(Enum):
    """What came of a question."""

    RECORDS = "records"
    NO_DATA = "no such record"
    NO_NAME = "no such name"
    FAILED = "no answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        problem: Why there was none, in words.
        name: What the name asked for is an alias of; itself if it is none.
        is_secure: Validated, by somebody who is trusted with that.
    """

    finding: Finding
    records: tuple[Record, ...] = ()
    problem: str = ""
    name: str = ""
    is_secure: bool = False


def ask(
    query: dns.message.Message, server: HostPort, timeout_s: float
) -> dns.message.Message:
    """Ask one nameserver over UDP, and over TCP if the answer did not fit."""
    response, _ = dns.query.udp_with_fallback(
        query,
        server.host,
        timeout=timeout_s,
        port=server.port,
        ignore_unexpected=True,
        ignore_errors=True,
    )
    return response


def system_nameservers() -> tuple[HostPort, ...]:
    """Read resolv.conf; as resolv.conf(5) has it, loopback if that names no server."""
    try:
        found = dns.resolver.Resolver(configure=True).nameservers
    except dns.resolver.NoResolverConfiguration:
        found = []
    # A zone index, as in fe80::1%eth0, is for the system's own calls only.
    hosts = [host for host in map(str, found) if "%" not in host]
    return tuple(HostPort(host=host, port=53) for host in hosts or ["127.0.0.1"])


@dataclass(frozen=True, slots=True)
class LiveAnswers:
    """Asks by the configuration in force."""

    resolver: "Live[Resolver]"

    @property
    def can_validate(self) -> bool:
        return self.resolver.current.can_validate

    def find_texts(self, name: str) -> tuple[str, ...]:
        return self.resolver.current.find_texts(name)

    def find_answer(self, name: str, kind: Kind) -> Answer:
        return self.resolver.current.find_answer(name, kind)


class Resolver:
    """Finds where mail goes, with a cache shared by all who use it.

    Args:
        nameservers: Asked in turn; none means those of the system.
        timeout: For one question, all nameservers and repetitions together.
        cache_ttl: Upper limit of the records' own times to live.
        trust_ad: As in ``DnsConfig``.
    """

    def __init__(
        self,
        nameservers: Sequence[HostPort],
        *,
        timeout: timedelta,
        cache_ttl: timedelta,
        trust_ad: bool | Literal["loopback"] = False,
        exchange: Exchange = ask,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nameservers = tuple(nameservers) or system_nameservers()
        self._trusted = frozenset(
            server
            for server in self._nameservers
            if trust_ad is True or (trust_ad and is_loopback(server.host))
        )
        if trust_ad and not self._trusted:
            log.info(
                "no dane: none of the nameservers %s is trusted with validating "
                "(dns.trust_ad)",
                " ".join(map(str, self._nameservers)),
            )
        self._timeout_s = timeout.total_seconds()
        self._max_ttl_s = cache_ttl.total_seconds()
        self._exchange = exchange
        self._monotonic = monotonic
        self._cache: SharedCache[tuple[str, Kind], Answer] = SharedCache(
            max_entries=MAX_ENTRIES, monotonic=monotonic
        )

    @property
    def can_validate(self) -> bool:
        """Some nameserver is trusted to say that it has validated an answer."""
        return bool(self._trusted)

    def find_mx(self, domain: str) -> tuple[MX, ...]:
        """Return the domain's MX records in no order; none if it has none.

        Args:
            domain: An A-label; not an address literal.

        Raises:
            PermanentFailure: there is no such domain.
            TransientFailure: nobody could tell.
        """
        answer = self._find(domain, "MX")
        if answer.finding is Finding.NO_NAME:
            text = f"DNS Error: domain {domain} does not exist"
            raise PermanentFailure(make_reply(550, "5.1.2", text), category="dns")
        if answer.finding is Finding.FAILED:
            raise _unknown(domain, "MX", answer)
        return cast("tuple[MX, ...]", answer.records)

    def find_addresses(
        self, host: str, *, ignore_ipv6: bool = False, prefer_ipv6: bool = False
    ) -> tuple[IPAddress, ...]:
        """Return the host's addresses, one family after the other; at least one.

        Raises:
            PermanentFailure: the host has no address.
            TransientFailure: nobody could tell.
        """
        kinds: list[Kind] = ["A"] if ignore_ipv6 else ["A", "AAAA"]
        if prefer_ipv6:
            kinds.reverse()
        found: list[IPAddress] = []
        failure: AttemptFailed | None = None
        for kind in kinds:
            answer = self._find(host, kind)
            # Some nameservers deny the name where they only lack the record, so the
            # other family is asked whatever this one said.
            if answer.finding is Finding.FAILED:
                failure = _unknown(host, kind, answer)
            found += cast("tuple[IPAddress, ...]", answer.records)
        if found:
            return tuple(dict.fromkeys(found))[:MAX_ADDRESSES]
        text = f"DNS Error: host {host} has no address"
        no_address = PermanentFailure(make_reply(550, "5.4.4", text), category="dns")
        raise failure or no_address

    def find_names(self, address: IPAddress) -> tuple[str, ...]:
        """Return the names that DNS gives an address; none if it has none.

        Raises:
            TransientFailure: nobody could tell.
        """
        name = address.reverse_pointer
        answer = self._find(name, "PTR")
        if answer.finding is Finding.FAILED:
            raise _unknown(name, "PTR", answer)
        return cast("tuple[str, ...]", answer.records)

    def find_texts(self, name: str) -> tuple[str, ...]:
        """Return the TXT records of a name; none if it has none.

        Raises:
            TransientFailure: nobody could tell.
        """
        return cast("tuple[str, ...]", self.find_answer(name, "TXT").records)

    def find_answer(self, name: str, kind: Kind) -> Answer:
        """Return what there is, and whether it is to be relied on.

        Raises:
            TransientFailure: nobody could tell; or what they told was forged, which
                a nameserver that validates does not tell apart.
        """
        answer = self._find(name, kind)
        if answer.finding is Finding.FAILED:
            raise _unknown(name, kind, answer)
        return answer

    def _find(self, name: str, kind: Kind) -> Answer:
        name = name.lower()
        return self._cache.get((name, kind), lambda: self._look_up(name, kind))

    def _look_up(self, name: str, kind: Kind) -> tuple[Answer, float]:
        if not _NAME.fullmatch(name) or len(name) > 253:
            return Answer(Finding.NO_NAME), 0.0
        deadline = self._monotonic() + self._timeout_s
        target = dns.name.from_text(name)
        ttl_s = self._max_ttl_s
        is_secure = True
        for _ in range(MAX_CHAIN):
            response, is_trusted = self._ask_all(target, kind, deadline)
            if isinstance(response, str):
                return _failed(response)
            is_secure = is_secure and is_trusted and _is_authentic(response)
            try:
                result = response.resolve_chaining()
            except dns.exception.DNSException as error:
                return _failed(f"bad answer: {type(error).__name__}")
            ttl_s = min(ttl_s, result.minimum_ttl)
            known = partial(
                Answer,
                name=result.canonical_name.to_text(omit_final_dot=True).lower(),
                is_secure=is_secure,
            )
            if result.answer is not None:
                records = tuple(_best(_read(result.answer, kind)))
                return known(Finding.RECORDS, records), ttl_s
            if response.rcode() == dns.rcode.NXDOMAIN:
                return known(Finding.NO_NAME), ttl_s
            if result.canonical_name == target:
                return known(Finding.NO_DATA), ttl_s
            # The nameserver left it to us to follow the alias.
            target = result.canonical_name
        return _failed("too many aliases")

    def _ask_all(
        self, target: dns.name.Name, kind: Kind, deadline: float
    ) -> tuple[dns.message.QueryMessage | str, bool]:
        """Ask until one nameserver answers, or say what the last problem was.

        Returns:
            The answer, and whether it is from one who is trusted to validate.
        """
        problem = "timed out"
        use_edns = True
        turns = islice(cycle(self._nameservers), ROUNDS * len(self._nameservers))
        for turn, server in enumerate(turns):
            left = deadline - self._monotonic()
            if left <= 0:
                break
            wait = FIRST_WAIT_S * (1 + turn // len(self._nameservers))
            query = dns.message.make_query(
                target,
                kind,
                use_edns=0 if use_edns else False,
                payload=PAYLOAD_BYTES if use_edns else None,
                # RFC 6840 §5.7: who wants AD says so.
                want_dnssec=use_edns and server in self._trusted,
                flags=_ASKS_FOR_AD if server in self._trusted else _ASKS,
            )
            try:
                response = self._exchange(query, server, min(left, wait))
            except dns.exception.Timeout:
                continue
            except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
                problem = f"{type(error).__name__}"
                continue
            rcode = response.rcode()
            if _is_referral(response):
                problem = "a nameserver that only knows whom to ask"
                continue
            if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                answer = cast("dns.message.QueryMessage", response)
                return answer, server in self._trusted
            use_edns = use_edns and rcode != dns.rcode.FORMERR  # RFC 6891 §7
            problem = dns.rcode.to_text(rcode)
        return problem, False


_ASKS = dns.flags.RD
_ASKS_FOR_AD = dns.flags.RD | dns.flags.AD


def _is_authentic(response: dns.message.Message) -> bool:
    return bool(response.flags & dns.flags.AD)


def _is_referral(response: dns.message.Message) -> bool:
    """Whether it says nothing but who may know: a lame nameserver, or one of others.

    Taken for an answer it would say that there is no such record: mail would bounce.
    """
    if response.rcode() != dns.rcode.NOERROR or response.answer:
        return False
    kinds = {rrset.rdtype for rrset in response.authority}
    is_theirs = bool(response.flags & dns.flags.AA)
    return not is_theirs and kinds == {dns.rdatatype.NS}


def _best(records: Iterable[Record]) -> Iterable[Record]:
    """So many as are of use; of mail hosts, those that come first (RFC 5321 §5.1)."""
    found = list(records)
    exchanges = [record for record in found if isinstance(record, MX)]
    exchanges.sort(key=lambda record: record.preference)
    return islice(exchanges or found, MAX_RECORDS)


def _read(rrset: Iterable[dns.rdata.Rdata], kind: Kind) -> Iterator[Record]:
    for rdata in rrset:
        if kind in ("A", "AAAA"):
            yield ip_address(rdata.to_text())
        elif kind == "MX":
            host = rdata.exchange.to_text(omit_final_dot=True)  # type: ignore[attr-defined]
            yield MX(rdata.preference, host.lower() or ".")  # type: ignore[attr-defined]
        elif kind == "TXT":
            yield b"".join(rdata.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]
        elif kind == "TLSA":
            yield Tlsa(rdata.usage, rdata.selector, rdata.mtype, rdata.cert)  # type: ignore[attr-defined]
        else:
            name = rdata.to_text().rstrip(".")
            if _NAME.fullmatch(name):
                yield name


def _failed(problem: str) -> tuple[Answer, float]:
    return Answer(Finding.FAILED, problem=problem), FAILURE_TTL.total_seconds()


def _unknown(name: str, kind: Kind, answer: Answer) -> TransientFailure:
    # RFC 3463 §3.5: X.4.3, directory server failure.
    text = f"DNS Error: {kind} of {name} not found out ({answer.problem})"
    return TransientFailure(make_reply(450, "4.4.3", text), category="dns")
