"""A configuration of ZoneMTA as a zones.yaml: the parts that are not lists of things.

What ZoneMTA does without being told is not written down, unless it is less safe or
other than what this system does; then the report says so.
"""

from datetime import timedelta
from typing import Final

from mta.config.shaping import BLACKLIST
from mta.config.values import format_duration
from mta.config.zones import Config, DnsConfig, QueueConfig
from mta.imports.interfaces import is_reached, read_interfaces
from mta.imports.plugins import Plugins
from mta.imports.pools import Pools
from mta.imports.report import Kind, Where
from mta.imports.rules import (
    Carry,
    Inside,
    Rules,
    apply,
    by_hand,
    environment,
    flag,
    host,
    is_off,
    left_out,
    listed,
    milliseconds,
    number,
    seconds,
    was,
)
from mta.imports.source import Branch, Plain, Section
from mta.imports.target import Target
from mta.imports.zones import Zones, drop_preference, read_domains

BUILT_IN: Final = "not said"
LONGEST: Final = timedelta(days=365)  # of max_queue_time
LONGEST_TTL: Final = timedelta(hours=1)  # of cache_ttl

_LOCAL = (
    "ZoneMTA sends to hosts at loopback or private addresses unless told otherwise; "
    "here that has to be allowed: allow_addresses, or block_local_addresses: false"
)

QUEUE: Final[Rules] = {
    "deferTimes": Carry("defer_times", lambda v: [*map(milliseconds, listed(v))]),
    "instanceId": left_out("deliveries belong to no instance; any worker takes them"),
    "gfs": left_out("names in the database are fixed"),
    "collection": left_out("names in the database are fixed"),
    "disableGC": left_out("keep_content and keep_records say how long things are kept"),
    "logQueuePolling": left_out("nothing polls the queue"),
}
DNS: Final[Rules] = {
    "blockLocalAddresses": Carry("block_local_addresses", flag),
    "cacheTTL": Carry("cache_ttl", seconds),
    "ignoreIPv6": Carry("ignore_ipv6", flag),
    "preferIPv6": Carry("prefer_ipv6", flag),
}
API: Final[Rules] = {
    "host": Carry("host", host),
    "port": Carry("port", number),
    "hostname": left_out("nothing has to find the API by a name"),
    "user": left_out("only /test-auth knew it; clients show MTA_API_KEY"),
    "pass": left_out("only /test-auth knew it; clients show MTA_API_KEY"),
}
DKIM: Final[Rules] = {
    "enabled": Carry("enabled", flag),
    "hashAlgo": left_out("signatures are by SHA-256, the one that RFC 8301 leaves"),
}
MTA_STS: Final[Rules] = {
    "enabled": Carry(
        "mta_sts",
        flag,
        "where no host fits a policy that is enforced, mail waits, and is not refused",
    ),
}
LOG: Final[Rules] = {
    "queue": left_out("contents are never logged"),
    "remote": left_out("have what stderr says collected (MTA_LOG_FORMAT=json)"),
    "gelf": left_out("have what stderr says collected (MTA_LOG_FORMAT=json)"),
}
_DATABASES: Final[Rules] = {
    "mongo": environment(
        "set MTA_MONGO_URI, with a database of its own; what waits in ZoneMTA's queue "
        "is not taken over"
    ),
    "redis": environment(
        "set MTA_BROKER_URL, and MTA_REDIS_URL for the limits; take databases that "
        "ZoneMTA does not use"
    ),
    "sender": left_out("the queue is in the database of MTA_MONGO_URI"),
    "gridfs": left_out("bodies are in the database of MTA_MONGO_URI"),
    "users": left_out("users are in the database of MTA_MONGO_URI; see mta user"),
}
REST: Final[Rules] = {
    "dbs": Inside("", _DATABASES),
    "queueServer": left_out("there is no such server; mail is sent where workers run"),
    "mtaSts": Inside("tls", MTA_STS),
    "dkim": Inside("dkim", DKIM),
    "uploads": left_out("deliveries by HTTP are not available in this version"),
    "bouncesFile": left_out("the rules are built in; mta check-bounce tries them"),
    "pluginsPath": left_out("JavaScript does not run here"),
    "corePluginsPath": left_out("JavaScript does not run here"),
    "name": left_out("Received fields name this system"),
    "ident": left_out("processes are named by MTA_PROCESS_NAME"),
    "user": by_hand("start the processes as this user; see deploy/"),
    "group": by_hand("start the processes as this group; see deploy/"),
}
_LEVELS: Final = {
    "silly": "debug",
    "verbose": "debug",
    "info": "info",
    "error": "error",
}


def translate(root: Branch) -> Target:
    """Make a zones.yaml of all that the files say, and notes of the rest."""
    target, source = Target(), Section(root, Where(root.file, ""))
    plugins, pools = Plugins(target), Pools(target)
    plugins.read(source.enter("plugins"))
    _api(target, source.enter("api"))
    _dns(target, source)
    doors = source.enter("smtpInterfaces")
    read_interfaces(target, doors, plugins.routed, has_service=plugins.has_service)
    pools.read(source.enter("pools"))
    zones = Zones(target, pools)
    zones.read(source.enter("zones"))
    _queue(target, source.enter("queue"), zones)
    read_domains(target, source.enter("domainConfig"))
    _blacklist(target, source)
    _log_level(target, source.enter("log"))
    apply(target, source, (), REST)
    target.arrange(("dns",), DnsConfig.model_fields)
    target.arrange(("queue",), QueueConfig.model_fields)
    target.arrange((), Config.model_fields)
    return target


def _api(target: Target, section: Section | None) -> None:
    if section is None:
        return
    value, where = host(section.look("host")), section.where_is("host")
    if is_reached(value):
        text = "set MTA_API_KEY, which clients have to show: others can reach the API"
        target.note(Kind.ENVIRONMENT, where, text)
    where = section.where_is("maildrop")
    maildrop = section.take("maildrop")
    if maildrop is not None and is_off(maildrop):
        text = "/send cannot be switched off; set MTA_API_KEY, and give it to nobody"
        target.note(Kind.BY_HAND, where, text)
    elif maildrop is not None:
        target.note(Kind.SAME, where, "")
    apply(target, section, ("api",), API)


def _dns(target: Target, source: Section) -> None:
    top, value = source.where_is("nameservers"), source.take("nameservers")
    section = source.enter("dns") or Section(Branch(BUILT_IN), Where(BUILT_IN, "dns"))
    where, inner = section.where_is("nameservers"), section.take("nameservers")
    if not is_off(value):
        target.put(("dns", "nameservers"), listed(value), top)
        if not is_off(inner):
            text = "the nameservers beside dns are asked, and not these"
            target.note(Kind.NO_EFFECT, where, text)
    elif not is_off(inner):
        target.put(("dns", "nameservers"), listed(inner), where)
        text = "ZoneMTA never asks them; here they are asked"
        target.note(Kind.DIFFERS, where, text)
    if section.look("blockLocalAddresses") is None:
        where = section.where_is("blockLocalAddresses")
        target.note(Kind.DIFFERS, where, _LOCAL)
    _caching(target, section)
    drop_preference(target, section)
    apply(target, section, ("dns",), DNS)


def _caching(target: Target, section: Section) -> None:
    where, caching = section.where_is("caching"), section.take("caching")
    ttl_at, ttl = section.where_is("cacheTTL"), number(section.look("cacheTTL"))
    path = ("dns", "cache_ttl")
    if caching is not None and is_off(caching):
        target.put(path, "0s", where, "caching = false")
        if section.take("cacheTTL") is not None:
            target.note(Kind.NO_EFFECT, ttl_at, "caching is off")
        return
    if caching is not None:
        target.note(Kind.SAME, where, "")
    if isinstance(ttl, int | float) and ttl > LONGEST_TTL.total_seconds():
        comment = was("cacheTTL", section.take("cacheTTL"))
        target.put(path, format_duration(LONGEST_TTL), ttl_at, comment)
        target.note(Kind.DIFFERS, ttl_at, "no answer is cached for more than an hour")


def _queue(target: Target, section: Section | None, zones: Zones) -> None:
    default = "default"
    section = section or Section(Branch(BUILT_IN), Where(BUILT_IN, "queue"))
    where, name = section.where_is("defaultZone"), section.take("defaultZone")
    if not is_off(name):
        default = zones.name(str(name))
        target.put(("queue", "default_zone"), default, where)
    zones.ensure(default, where)
    where, value = section.where_is("maxQueueTime"), section.take("maxQueueTime")
    if value is not None:
        _lifetime(target, where, value)
    apply(target, section, ("queue",), QUEUE)


def _lifetime(target: Target, where: Where, value: Plain) -> None:
    """How long mail is tried; here it always has an end."""
    made, count = milliseconds(value), number(value)
    longest = LONGEST // timedelta(milliseconds=1)
    if count is None or (isinstance(count, int | float) and not 0 < count <= longest):
        made = format_duration(LONGEST)
        text = f"nothing is tried for longer than {made}"
        target.note(Kind.DIFFERS, where, text)
    target.put(("queue", "max_queue_time"), made, where, was("maxQueueTime", value))
    text = "what is older is not dropped in silence, but shown as expired"
    target.note(Kind.DIFFERS, where, text)


def _blacklist(target: Target, source: Section) -> None:
    """How long an address rests that a domain has on its blacklist."""
    section = source.enter("blacklist")
    where = section.where_is("ttl") if section else Where(BUILT_IN, "blacklist.ttl")
    value = section.take("ttl") if section else None
    path = ("shaping", BLACKLIST)
    if is_off(value):
        text = "an address that is refused as blacklisted rests for 6h, and not for 1h"
        target.note(Kind.DIFFERS, where, text)
    else:
        target.put((*path, "category"), [BLACKLIST], where)
        target.put((*path, "action"), "rest", where)
        comment = was("ttl", value)
        target.put((*path, "duration"), milliseconds(value), where, comment)
    if section:
        apply(target, section, path, {})


def _log_level(target: Target, section: Section | None) -> None:
    if section is None:
        return
    where, level = section.where_is("level"), section.take("level")
    if level is not None:
        ours = _LEVELS.get(str(level), "LEVEL")
        target.note(Kind.ENVIRONMENT, where, f"set MTA_LOG_LEVEL={ours}")
    apply(target, section, (), LOG)
