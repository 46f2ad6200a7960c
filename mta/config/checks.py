"""What no value alone can tell: whether the parts of the file fit each other.

Each check looks only at what the file says for sure, so a mistake noted before
causes no second problem here.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeAlias

from mta.config.dkim_draft import check_dkim
from mta.config.document import Document, Path, format_path
from mta.config.draft import Draft
from mta.config.limit_checks import check_limits
from mta.config.lines import CLAIMS
from mta.config.pools import Pool
from mta.config.sections import Read
from mta.config.shaping_checks import check_shaping
from mta.config.values import HostPort, IPAddress, is_loopback
from mta.config.wording import join_words, shorten, suggest
from mta.config.zones import (
    ApiConfig,
    DnsConfig,
    DomainLimits,
    FlowerConfig,
    Interface,
    Zone,
)

API_KEY = "MTA_API_KEY"
FLOWER_LOGIN = "MTA_FLOWER_BASIC_AUTH"

Door: TypeAlias = Read[ApiConfig] | Read[FlowerConfig] | Read[Interface]

_TOKEN_METHODS = frozenset({"XOAUTH2", "OAUTHBEARER"})
_ALL_OF_IT = 1 - 1e-9  # floats that add up to one may fall short by a hair


def check_all(document: Document, draft: Draft, environ: Mapping[str, str]) -> None:
    """Note every problem between the parts of a file."""
    _check_doors(document, draft, environ)
    _check_ports(document, draft)
    for name, pool in draft.pools.items():
        _check_pool(document, ("pools", name), pool)
    for zone in draft.zones.values():
        _check_zone_pool(document, draft, zone)
        _check_families(document, zone)
        _check_tls(document, zone)
    _check_families(document, draft.dns)
    for domain in draft.domains.values():
        _check_families(document, domain)
    _check_reports(document, draft)
    _check_srs(document, draft)
    _check_relays(document, draft)
    _check_default_zone(document, draft)
    _check_claims(document, draft)
    check_limits(document, draft)
    check_shaping(document, draft)
    check_dkim(document, draft.dkim)


def _check_doors(document: Document, draft: Draft, environ: Mapping[str, str]) -> None:
    """A door that others can reach must know whom to let in."""
    api, flower = draft.api, draft.flower
    if not is_loopback(api.value.host) and not environ.get(API_KEY):
        message = f"others than this machine can reach it; {API_KEY} must be set"
        document.note((*api.path, "host"), message)
    is_open = flower.value.enabled and not is_loopback(flower.value.host)
    if is_open and flower.is_sure("enabled") and not environ.get(FLOWER_LOGIN):
        message = f"others than this machine can reach it; set {FLOWER_LOGIN}=USER:PASS"
        document.note((*flower.path, "host"), message)
    for door in draft.interfaces.values():
        _check_interface(document, door)
        _check_tokens(document, draft, door)


def _check_interface(document: Document, door: Read[Interface]) -> None:
    """Who may send mail must be said, and what it takes must be there."""
    interface, path = door.value, door.path
    is_open = not is_loopback(interface.host) and interface.takes_strangers
    if is_open and door.is_sure("host", "allowed_networks", "authentication"):
        message = (
            "others than this machine can reach it; name allowed_networks, "
            "or set authentication: true"
        )
        document.note((*path, "host"), message)
    if interface.has_tls and interface.tls is None and door.is_sure("tls"):
        key = "secure" if interface.secure else "starttls"
        document.note((*path, key), "needs tls: {certificate: FILE, key: FILE}")
    if interface.secure and interface.starttls:
        message = "is for connections that begin in clear, and secure is on"
        document.note((*path, "starttls"), message)
    if interface.authentication and not interface.has_tls:
        is_said = door.is_sure("starttls", "secure", "allow_insecure_auth")
        if not interface.allow_insecure_auth and is_said:
            message = (
                "needs starttls or secure: passwords are not taken in clear, "
                "unless allow_insecure_auth is true"
            )
            document.note((*path, "authentication"), message)


def _check_tokens(document: Document, draft: Draft, door: Read[Interface]) -> None:
    """The store of users knows passwords, and no tokens."""
    if not door.value.authentication or draft.users.value.http_auth:
        return
    for index, method in enumerate(door.value.auth_methods):
        if method in _TOKEN_METHODS and draft.users.is_sure("http_auth"):
            message = f"{method} needs users: {{http_auth: ...}}"
            document.note(door.path_of("auth_methods", index), message)


def _check_ports(document: Document, draft: Draft) -> None:
    """Two doors cannot listen on one port."""
    flower = [draft.flower] if draft.flower.value.enabled else []
    doors: list[Door] = [draft.api, *flower, *draft.interfaces.values()]
    taken: dict[HostPort, str] = {}
    for place, path in _listeners(doors):
        if place in taken:
            message = f"{place} is that of {taken[place]} already"
            document.note((*path, "port"), message)
        taken.setdefault(place, format_path(path))


def _listeners(doors: Iterable[Door]) -> Iterator[tuple[HostPort, Path]]:
    for door in doors:
        if door.value.port and door.is_sure("host", "port"):
            yield HostPort(door.value.host, door.value.port), door.path


def _check_pool(document: Document, path: Path, pool: Pool) -> None:
    seen: set[IPAddress] = set()
    for entry in pool:
        address, index = entry.value.address, entry.path[-1]
        if address in seen:
            message = f"{address} is in this pool twice"
            document.note((*path, index, "address"), message)
        seen.add(address)
        if address.is_unspecified or address.is_multicast:
            message = f"no mail can leave from {address}"
            document.note((*path, index, "address"), message)
    for version in (4, 6):
        family = tuple(e for e in pool if e.value.address.version == version)
        if family and all(entry.is_sure("ratio") for entry in family):
            _check_ratios(document, path, family, f"IPv{version}")


def _check_ratios(document: Document, path: Path, pool: Pool, family: str) -> None:
    ratios = [entry.value.ratio for entry in pool]
    given = [ratio for ratio in ratios if ratio is not None]
    if len(given) == len(ratios) and not any(given):
        message = f"every {family} address has the ratio 0; none would be used"
        document.note_key(path, message)
    elif len(given) < len(ratios) and sum(given) >= _ALL_OF_IT:
        message = f"the ratios of {family} leave nothing for addresses without one"
        document.note_key(path, message)


def _check_zone_pool(document: Document, draft: Draft, zone: Read[Zone]) -> None:
    name = zone.value.pool
    path = (*zone.path, "pool")
    if name is None or "pools" in draft.doubtful:
        return
    pool = draft.pools.get(name)
    if pool is None:
        hint = "" if document.is_full else suggest(name, draft.pools)
        hint = hint or _there_are(draft.pools, "pools")
        document.note(path, f"no pool is called {shorten(name)}; {hint}")
        return
    if not _ignores_ipv6(draft, zone):
        return
    if pool and all(entry.value.address.version == 6 for entry in pool):
        message = "this pool has only IPv6 addresses, and the zone ignores IPv6"
        document.note(path, message)


def _ignores_ipv6(draft: Draft, zone: Read[Zone]) -> bool:
    own = zone.value.ignore_ipv6
    return draft.dns.value.ignore_ipv6 if own is None else own


def _check_relays(document: Document, draft: Draft) -> None:
    """A zone must not hand its mail to one of our own doors."""
    doors = dict(_listeners(draft.interfaces.values()))
    for zone in draft.zones.values():
        _check_login(document, zone)
        if zone.value.host is None or not zone.is_sure("port"):
            continue
        if ":" in zone.value.host and _ignores_ipv6(draft, zone):
            message = "is an IPv6 address, and the zone ignores IPv6"
            document.note((*zone.path, "host"), message)
        relay = HostPort(zone.value.host, zone.value.port)
        if relay in doors:
            own = format_path(doors[relay])
            message = f"{relay} is our own {own}: mail would run in circles"
            document.note((*zone.path, "host"), message)


def _check_login(document: Document, zone: Read[Zone]) -> None:
    """What is for a relay alone, and what a login cannot do without."""
    value, login = zone.value, zone.value.auth
    others = (value.host, login, value.lmtp, value.secure)
    if value.http is not None and any(others):
        message = "is another way to deliver than host, with what belongs to it"
        document.note((*zone.path, "http"), message)
        return
    if value.secure and (value.ignore_tls or value.tls in ("ignore", "opportunistic")):
        message = "is TLS from the first octet; say tls: require or verify, or nothing"
        document.note((*zone.path, "secure"), message)
    flags = {"auth": login is not None, "lmtp": value.lmtp, "secure": value.secure}
    for key, is_said in flags.items():
        if is_said and value.host is None and zone.is_sure("host"):
            document.note((*zone.path, key), "is for a zone with a host")
    if login is None or not zone.is_sure("auth"):
        return
    if bool(login.password) == bool(login.token):
        message = "needs a password or a token, and not both"
        document.note((*zone.path, "auth"), message)
    if value.tls not in (None, "verify") or value.ignore_tls:
        message = "no login without a verified certificate; say tls: verify, or nothing"
        document.note((*zone.path, "auth"), message)


def _check_srs(document: Document, draft: Draft) -> None:
    srs = draft.srs
    if srs.is_sure("secret", "domain") and bool(srs.value.secret) != bool(
        srs.value.domain
    ):
        message = "needs both a secret and a domain"
        document.note_key(srs.path, message)
    for name in srs.value.interfaces:
        if (
            name not in ("api", *draft.interfaces)
            and "interfaces" not in draft.doubtful
        ):
            hint = suggest(name, draft.interfaces)
            text = f"no interface is called {shorten(name)}" + (
                f"; {hint}" if hint else ""
            )
            document.note((*srs.path, "interfaces"), text)


def _check_families(
    document: Document, part: Read[Zone] | Read[DnsConfig] | Read[DomainLimits]
) -> None:
    if part.value.ignore_ipv6 and part.value.prefer_ipv6:
        message = "IPv6 cannot be ignored and preferred"
        document.note((*part.path, "prefer_ipv6"), message)


def _check_tls(document: Document, zone: Read[Zone]) -> None:
    """One of two words for the same thing is enough."""
    level = zone.value.tls
    if zone.value.ignore_tls and level not in (None, "ignore"):
        message = f"is {level}, and ignore_tls: true says the opposite; remove one"
        document.note((*zone.path, "tls"), message)


def _check_reports(document: Document, draft: Draft) -> None:
    """Whoever says whose reports they are wants them sent."""
    report = draft.tls_report.value
    is_wanted = report.organization or report.contact
    if report.sender is None and is_wanted and draft.tls_report.is_sure("from"):
        message = "needs from: an address that reports are sent from"
        document.note_key(draft.tls_report.path, message)


def _check_default_zone(document: Document, draft: Draft) -> None:
    name = draft.queue.value.default_zone
    if "zones" in draft.doubtful or not draft.queue.is_sure("default_zone"):
        return
    path: Path = (*draft.queue.path, "default_zone")
    zone = draft.zones.get(name)
    if zone is None:
        hint = suggest(name, draft.zones) or "add it under zones"
        message = f"no zone is called {shorten(name)}; {hint}"
    elif zone.value.disabled:
        message = f"zone {name} is disabled"
    else:
        return
    # Without a line of its own, the place to look at is that of the zones.
    at = path if path in document.places else ("zones",)
    document.note_at(document.place(at).value, path, message)


def _check_claims(document: Document, draft: Draft) -> None:
    """What two zones claim would go to one of them, and the other would wonder."""
    claimed: dict[tuple[str, Hashable], str] = {}
    for zone in draft.zones.values():
        if zone.value.disabled:
            continue
        own: set[tuple[str, Hashable]] = set()
        for path, claim, shown in _claims(zone):
            other = claimed.get(claim)
            if other is not None:
                message = f"{shorten(shown)} is claimed by zone {other} already"
                document.note(path, message)
            own.add(claim)
        for claim in own - claimed.keys():
            claimed[claim] = zone.value.name


def _claims(zone: Read[Zone]) -> Iterator[tuple[Path, tuple[str, Hashable], str]]:
    for key in CLAIMS:
        for index, value in enumerate(getattr(zone.value, key)):
            yield zone.path_of(key, index), (key, value), str(value)
    for name, value in zone.value.routing_headers.items():
        # Compared without regard to case, as headers are when mail is routed.
        claim = ("routing_headers", (name, value.lower()))
        yield (*zone.path, "routing_headers"), claim, f"{name}: {value}"


def _there_are(names: Mapping[str, object], plural: str) -> str:
    if not names:
        return f"there are no {plural}"
    return f"there are {join_words(sorted(names)[:10], 'and')}"
