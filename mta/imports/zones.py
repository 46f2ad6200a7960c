"""Zones and what holds for recipient domains."""

import re
from collections.abc import Callable
from typing import Final

from mta.config.values import parse_address, parse_domain
from mta.config.wording import shorten
from mta.config.zones import Zone, built_in_zones
from mta.imports.names import rename
from mta.imports.pools import Pools
from mta.imports.report import Kind, Where
from mta.imports.rules import (
    Carry,
    Inside,
    Rules,
    apply,
    by_hand,
    flag,
    host,
    is_off,
    left_out,
    listed,
    no_effect,
    number,
    seconds,
    was,
)
from mta.imports.source import Plain, Section
from mta.imports.target import Path, Target

_CACHE: Final[Rules] = {
    "ttl": Carry("ttl", seconds),
    "reuseCount": Carry("reuse_count", number),
}
ZONE: Final[Rules] = {
    "host": Carry("host", host),
    "port": Carry("port", number),
    "ignoreIPv6": Carry("ignore_ipv6", flag),
    "preferIPv6": Carry("prefer_ipv6", flag),
    "blockLocalAddresses": Carry("block_local_addresses", flag),
    "ignoreTLS": Carry("ignore_tls", flag),
    "connectionCache": Inside("connection_cache", _CACHE),
    "auth": by_hand(
        "write auth: {user, password}, best with the password in a variable; it was "
        "not copied"
    ),
    "secure": Carry("secure", flag),
    "logLevel": left_out("set MTA_LOG_LEVEL for the worker of the zone"),
    **dict.fromkeys(
        ("authMethod", "debug", "logger", "requireTLS", "resolveIp"), no_effect()
    ),
}
DOMAIN: Final[Rules] = {
    "maxConnections": Carry("max_connections", number),
    "disabledAddresses": Carry("disabled_addresses", listed),
    "dnsOptions": by_hand(
        "write ignore_ipv6 or prefer_ipv6 of the domain; for local addresses, make a "
        "zone for it (recipient_domains)"
    ),
    "logger": left_out("the timeline of a delivery tells what each server replied"),
}

_ROUTES: Final = (
    ("senderDomains", "sender_domains", parse_domain),
    ("recipientDomains", "recipient_domains", parse_domain),
    ("originAddresses", "origin_addresses", parse_address),
)
_PATTERN = "ZoneMTA knows no patterns; here *.example.com is all below example.com"
_HEADERS = (
    "with ZoneMTA, any client chooses zones by header; here those of the API, and of "
    "interfaces with allow_routing_headers: true"
)
_EACH_CONNECTION = (
    "ZoneMTA, too, gives it to each connection, and sends at up to twice the rate; if "
    "the zone as a whole was meant, write throttling"
)
_WHOLE_ZONE = "it is slow for one connection, and became the rate of the zone"
_SLOWEST_PER_HOUR: Final = 6  # that connection_throttling takes
_THROTTLING = re.compile(r"\s*([0-9]{1,9})[^/]*/\s*([A-Za-z]?).*", re.ASCII | re.DOTALL)
# ZoneMTA goes by the first letter, and takes anything else for hours.
_UNITS: Final = {"s": "second", "m": "minute", "h": "hour"}


class Zones:
    """The zones of the new file, by the names of the old one."""

    def __init__(self, target: Target, pools: Pools) -> None:
        self._target = target
        self._pools = pools
        self._ours: dict[str, str] = {}
        self._claimed: dict[tuple[str, str], str] = {}

    def read(self, section: Section | None) -> None:
        """Take over all zones."""
        if section is None:
            return
        self._ours = rename(section.rest())
        for name in section.rest():
            where, ours = section.where_is(name), self._ours[name]
            if ours != name:
                self._target.note(Kind.DIFFERS, where, f"is called {ours} here")
            zone = section.enter(name)
            if zone is None:
                section.take(name)
                self._target.note(Kind.NO_EFFECT, where, "it is not a mapping")
            else:
                self._zone(zone, ours)

    def name(self, name: str) -> str:
        """What a zone of the old file is called, or would be."""
        ours = self._ours.get(name) or self._ours.get(name.lower())
        return ours or rename([name])[name]

    def ensure(self, name: str, where: Where) -> None:
        """Have the zone that all other mail goes to."""
        known = self._ours.values() if self._ours else built_in_zones()
        if name not in known:
            self._target.put(("zones", name, "connections"), 10, where, "added")
            text = f"there is no zone {name}, where all other mail goes; it was added"
            self._target.note(Kind.DIFFERS, where, text)

    def _zone(self, zone: Section, name: str) -> None:
        path = ("zones", name)
        where = zone.where_is("disabled")
        is_disabled = flag(zone.take("disabled"))
        if is_disabled is not None:
            self._target.put((*path, "disabled"), is_disabled, where)
        total = self._connections(zone, path)
        self._throttling(zone, path, total)
        self._pool(zone, path, name)
        drop_preference(self._target, zone)
        for theirs, ours, parse in _ROUTES:
            self._route(zone, theirs, (*path, ours), parse, bool(is_disabled))
        self._header_routes(zone, path, bool(is_disabled))
        apply(self._target, zone, path, ZONE)
        self._target.arrange(path, Zone.model_fields)

    def _connections(self, zone: Section, path: Path) -> Plain:
        """Those of all processes together, of which there may be any number here."""
        where = zone.where_is("connections")
        total = number(zone.take("connections")) or 1
        processes = number(zone.take("processes"))
        comment = ""
        if isinstance(total, int) and isinstance(processes, int) and processes > 1:
            comment = f"processes = {processes}, connections = {total}"
            total *= processes
            text = (
                f"the {total} connections of all processes of an instance are those of "
                "all workers and hosts together"
            )
            self._target.note(Kind.DIFFERS, zone.where_is("processes"), text)
        elif processes is not None:
            self._target.note(Kind.SAME, zone.where_is("processes"), "")
        self._target.put((*path, "connections"), total, where, comment)
        return total

    def _throttling(self, zone: Section, path: Path, total: Plain) -> None:
        where, value = zone.where_is("throttling"), zone.take("throttling")
        if is_off(value):
            return
        match = _THROTTLING.fullmatch(value) if isinstance(value, str) else None
        if match is None or not int(match[1]):
            text = "it is no rate, such as 100 messages/minute"
            self._target.note(Kind.NO_EFFECT, where, text)
            return
        count, letter = int(match[1]), match[2].lower()
        unit = _UNITS.get(letter, "hour")
        together = count * total if isinstance(total, int) else count
        # A connection that waits longer than this would be of no use to us.
        is_slow = unit == "hour" and count < _SLOWEST_PER_HOUR
        key, own = "connection_throttling", f"{count}/{unit}"
        if is_slow:
            key, own = "throttling", f"{together}/{unit}"
        self._target.put((*path, key), own, where, was("throttling", value))
        text = _WHOLE_ZONE if is_slow else _EACH_CONNECTION
        if together > count:
            text += f"; {total} connections may send {together}/{unit} together"
        if letter not in _UNITS:
            text += "; the unit is an hour, which ZoneMTA takes unknown ones for"
        self._target.note(Kind.DIFFERS, where, text)

    def _pool(self, zone: Section, path: Path, name: str) -> None:
        where, value = zone.where_is("pool"), zone.take("pool")
        pool = None if is_off(value) else self._pools.find(value, name, where)
        nic_at, nic = zone.where_is("interface"), zone.take("interface")
        if not is_off(nic):
            pool = self._pools.with_interface(pool, nic, name, nic_at)
        if pool is not None:
            comment = "" if pool == value else "its own pool"
            self._target.put((*path, "pool"), pool, where, comment)
        where, value = zone.where_is("poolHash"), zone.take("poolHash")
        if value == "from":
            self._target.put((*path, "pool_hash"), value, where)
        elif not is_off(value):
            text = "only from means something; addresses are chosen by message"
            self._target.note(Kind.NO_EFFECT, where, text)

    def _route(
        self,
        zone: Section,
        theirs: str,
        path: Path,
        parse: Callable[[str], object],
        is_disabled: bool,
    ) -> None:
        where, kept = zone.where_is(theirs), list[Plain]()
        for index, value in enumerate(listed(zone.take(theirs))):
            try:
                claim = str(parse(str(value)))
            except ValueError as error:
                text = _PATTERN if "*" in str(value) else f"it {error}"
                self._target.note(Kind.NO_EFFECT, where.at(index), text)
                continue
            if self._claim(path, claim, where.at(index), is_disabled):
                kept.append(value)
        if kept:
            self._target.put(path, kept, where)

    def _header_routes(self, zone: Section, path: Path, is_disabled: bool) -> None:
        headers = zone.enter("routingHeaders")
        if headers is None:
            return
        self._target.note(Kind.BY_HAND, headers.where, _HEADERS)
        for key in headers.rest():
            where, values = headers.where_is(key), listed(headers.take(key))
            name = key.strip().lower()
            for value in values[1:]:
                text = f"a zone has one value of a header, so not {shorten(str(value))}"
                self._target.note(Kind.BY_HAND, where, text)
            for value in values[:1]:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                inner = (*path, "routing_headers", name)
                if self._claim(inner, text.strip().lower(), where, is_disabled):
                    self._target.put(inner, text.strip(), where)

    def _claim(self, path: Path, claim: str, where: Where, is_disabled: bool) -> bool:
        """Say that a zone has it, if no zone before it has."""
        name, key = path[1], (".".join(path[2:]), claim)
        owner = self._claimed.get(key)
        if owner is None or is_disabled:
            if not is_disabled:
                self._claimed[key] = name
            return True
        text = "it is there twice" if owner == name else f"zone {owner} claims it first"
        self._target.note(Kind.NO_EFFECT, where, text)
        return False


def drop_preference(target: Target, section: Section) -> None:
    """Of a zone, or of dns, that ignores IPv6 and prefers it: it ignores it."""
    if flag(section.look("ignoreIPv6")) is True and flag(section.look("preferIPv6")):
        where = section.where_is("preferIPv6")
        section.take("preferIPv6")
        target.note(Kind.NO_EFFECT, where, "IPv6 is ignored")


def read_domains(target: Target, section: Section | None) -> None:
    """Take over what holds for recipient domains."""
    if section is None:
        return
    for name in _in_effect(target, section):
        where, domain = section.where_is(name), section.enter(name)
        ours = "default" if name == "defaults" else name
        try:
            parse_domain(ours)
        except ValueError as error:
            section.take(name)
            target.note(Kind.NO_EFFECT, where, f"it {error}")
            continue
        if domain is None:
            section.take(name)
            target.note(Kind.NO_EFFECT, where, "it is not a mapping")
        else:
            target.open(("domains", ours), where)
            apply(target, domain, ("domains", ours), DOMAIN)


def _in_effect(target: Target, section: Section) -> list[str]:
    """The names; of ``default`` and ``defaults``, the one that ZoneMTA reads."""
    names = list(section.rest())
    if "default" in names:
        where = section.where_is("default")
        if "defaults" in names:
            section.take("default")
            target.note(Kind.NO_EFFECT, where, "ZoneMTA reads defaults")
            names.remove("default")
        else:
            text = "ZoneMTA never reads it; here it holds for all domains"
            target.note(Kind.DIFFERS, where, text)
    return names
