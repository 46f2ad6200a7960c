"""No option of ZoneMTA is forgotten: not by the import, and not by the documents.

Each one is in the reference under its name here, or among those that are not carried
over, with the reason.
"""

import re
from pathlib import Path

import pytest

from mta.imports import interfaces, zone_mta, zones
from mta.imports.report import Kind

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = (DOCS / "reference/zones-yaml.md").read_text()
HOW_TO = (DOCS / "how-to/move-from-zonemta.md").read_text()

# An option with a value, and where the reference has it: the chapter, the row, and what
# the chapter says below that.
CARRIED = [
    ("zones.z.secure = true", "zones.secure"),
    ("zones.z.disabled = true", "zones.disabled"),
    ("zones.z.processes = 2", "zones.connections"),
    ("zones.z.connections = 2", "zones.connections"),
    ("zones.z.pool = 'p'", "zones.pool"),
    ("zones.z.interface = 'eth0'", "pools.interface"),
    ("zones.z.poolHash = 'from'", "zones.pool_hash"),
    ("zones.z.host = 'relay.test'", "zones.host"),
    ("zones.z.port = 26", "zones.port"),
    ("zones.z.ignoreTLS = true", "zones.ignore_tls"),
    ("zones.z.preferIPv6 = true", "zones.prefer_ipv6"),
    ("zones.z.ignoreIPv6 = true", "zones.ignore_ipv6"),
    ("zones.z.blockLocalAddresses = true", "zones.block_local_addresses"),
    ("zones.z.throttling = '10/minute'", "zones.connection_throttling"),
    ("zones.z.throttling = '1/hour'", "zones.throttling"),
    ("zones.z.connectionCache.ttl = 9", "zones.connection_cache.ttl"),
    ("zones.z.connectionCache.reuseCount = 9", "zones.connection_cache.reuse_count"),
    ("zones.z.senderDomains = ['a.test']", "zones.sender_domains"),
    ("zones.z.recipientDomains = ['a.test']", "zones.recipient_domains"),
    ("zones.z.originAddresses = ['192.0.2.1']", "zones.origin_addresses"),
    ("zones.z.routingHeaders.x-a = 'b'", "zones.routing_headers"),
    ("pools.p = ['192.0.2.1']", "pools.address"),
    ("pools.p = [{address = '192.0.2.1'}]", "pools.address"),
    ("pools.p = [{address = '192.0.2.1', name = 'a.test'}]", "pools.name"),
    ("pools.p = [{address = '192.0.2.1', ratio = 0.1}]", "pools.ratio"),
    ("domainConfig.default.maxConnections = 9", "domains.max_connections.default"),
    ("domainConfig.'b.test'.maxConnections = 9", "domains.max_connections"),
    (
        "domainConfig.'b.test'.disabledAddresses = ['192.0.2.1']",
        "domains.disabled_addresses",
    ),
    ("dns.caching = false", "dns.cache_ttl"),
    ("dns.cacheTTL = 60", "dns.cache_ttl"),
    ("dns.nameservers = ['192.0.2.53']", "dns.nameservers"),
    ("nameservers = ['192.0.2.53']", "dns.nameservers"),
    ("dns.blockLocalAddresses = true", "dns.block_local_addresses"),
    ("dns.preferIPv6 = true", "dns.prefer_ipv6"),
    ("dns.ignoreIPv6 = true", "dns.ignore_ipv6"),
    ("queue.defaultZone = 'z'", "queue.default_zone"),
    ("queue.maxQueueTime = 60000", "queue.max_queue_time"),
    ("queue.deferTimes = [60000]", "queue.defer_times"),
    ("blacklist.ttl = 60000", "shaping.duration"),
    ("mtaSts.enabled = true", "tls.mta_sts"),
    ("dkim.enabled = true", "dkim.enabled"),
    ("api.host = '127.0.0.1'", "api.host"),
    ("api.port = 12081", "api.port"),
    ("smtpInterfaces.a.host = '127.0.0.1'", "interfaces.host"),
    ("smtpInterfaces.a.port = 2526", "interfaces.port"),
    ("smtpInterfaces.a.processes = 3", "interfaces.processes"),
    ("smtpInterfaces.a.maxSize = 1048576", "interfaces.max_size"),
    ("smtpInterfaces.a.maxRecipients = 9", "interfaces.max_recipients"),
    ("smtpInterfaces.a.maxClients = 9", "interfaces.max_clients"),
    ("smtpInterfaces.a.socketTimeout = 60000", "interfaces.socket_timeout"),
    ("smtpInterfaces.a.hostname = 'a.test'", "interfaces.hostname"),
    ("smtpInterfaces.a.banner = 'hello'", "interfaces.banner"),
    ("smtpInterfaces.a.lmtp = true", "interfaces.lmtp"),
    ("smtpInterfaces.a.starttls = true", "interfaces.starttls"),
    ("smtpInterfaces.a.secure = true", "interfaces.secure"),
    ("smtpInterfaces.a.authentication = true", "interfaces.authentication"),
    ("smtpInterfaces.a.authOptional = true", "interfaces.authentication.optional"),
    ("smtpInterfaces.a.authMethods = ['PLAIN']", "interfaces.auth_methods"),
    ("smtpInterfaces.a.allowInsecureAuth = true", "interfaces.allow_insecure_auth"),
    ("smtpInterfaces.a.disabledCommands = ['VRFY']", "interfaces.disabled_commands"),
    ("smtpInterfaces.a.hideSize = true", "interfaces.hidden_extensions.SIZE"),
    (
        "smtpInterfaces.a.hidePIPELINING = true",
        "interfaces.hidden_extensions.PIPELINING",
    ),
    ("smtpInterfaces.a.hide8BITMIME = true", "interfaces.hidden_extensions.8BITMIME"),
    ("smtpInterfaces.a.hideSMTPUTF8 = true", "interfaces.hidden_extensions.SMTPUTF8"),
    ("smtpInterfaces.a.key = '/k.pem'", "interfaces.tls.key"),
    ("smtpInterfaces.a.cert = '/c.pem'", "interfaces.tls.certificate"),
    ("smtpInterfaces.a.sniOptions.'b.test'.cert = '/b.pem'", "interfaces.tls.names"),
    ("smtpInterfaces.a.ciphers = 'ECDHE'", "interfaces.tls.ciphers"),
    ("smtpInterfaces.a.minVersion = 'TLSv1.3'", "interfaces.tls.min_version"),
]

# Likewise, and the row of those that are not carried over: its section and its option.
# "" is what stands in no section.
LEFT = [
    ("zones.z.auth = {user = 'a', pass = 'b', method = 'PLAIN'}", "zones", "auth"),
    ("zones.z.authMethod = 'PLAIN'", "zones", "authMethod"),
    ("zones.z.debug = true", "zones", "debug"),
    ("zones.z.logger = true", "zones", "logger"),
    ("zones.z.requireTLS = true", "zones", "requireTLS"),
    ("zones.z.resolveIp = true", "zones", "resolveIp"),
    ("zones.z.logLevel = 'silly'", "zones", "logLevel"),
    ("domainConfig.a.dnsOptions.preferIPv6 = true", "domainConfig", "dnsOptions"),
    ("domainConfig.a.dnsOptions.ignoreIPv6 = true", "domainConfig", "dnsOptions"),
    (
        "domainConfig.a.dnsOptions.blockLocalAddresses = true",
        "domainConfig",
        "dnsOptions",
    ),
    ("domainConfig.a.logger = true", "domainConfig", "logger"),
    *(
        (f"{section}.{option} = {value}", section, option)
        for section, options in {
            "queue": {
                "instanceId": "'a'",
                "gfs": "'mail'",
                "collection": "'a'",
                "disableGC": "true",
                "logQueuePolling": "true",
            },
            "dbs": dict.fromkeys(
                ("mongo", "redis", "sender", "gridfs", "users"), "'a'"
            ),
            "api": {
                "maildrop": "false",
                **dict.fromkeys(("hostname", "user", "pass"), "'a'"),
            },
            "queueServer": {
                "enabled": "true",
                "port": "12081",
                "host": "'a'",
                "hostname": "'a'",
            },
            "log": {
                "level": "'info'",
                "queue": "true",
                "remote": "{port = 1}",
                "gelf": "{enabled = true}",
            },
            "dkim": {"hashAlgo": "'sha256'"},
            "uploads": {"userAgent": "'a'"},
        }.items()
        for option, value in options.items()
    ),
    *(
        (f"{option} = 'a'", "", option)
        for option in (
            *("user", "group", "name", "ident"),
            *("bouncesFile", "pluginsPath", "corePluginsPath"),
        )
    ),
    *(
        (f"smtpInterfaces.a.{option} = {value}", "smtpInterfaces", option)
        for option, value in {
            "enabled": "false",
            "name": "'a'",
            "closeTimeout": "1",
            **dict.fromkeys(("disableVersionString", "logger"), "true"),
            **dict.fromkeys(("disableReverseLookup", "secured"), "true"),
            **dict.fromkeys(("useProxy", "useXClient", "useXForward"), "true"),
            "hideSTARTTLS": "true",
            **dict.fromkeys(("ca", "dhparam", "secureProtocol"), "'a'"),
            "secureOptions": "1",
        }.items()
    ),
]
REASONS = (Kind.LEFT_OUT, Kind.BY_HAND, Kind.ENVIRONMENT, Kind.NO_EFFECT)


def chapter(page, title):
    return f"{page}\n## ".split(f"\n## {title}\n")[1].split("\n## ")[0]


def not_carried():
    """The rows of the list, each option with its reason."""
    rows = re.findall(
        r"^\| (?:`(\w+)`|at the top) \| (.*?) \| (.*) \|$",
        chapter(HOW_TO, "What is not carried over, and why"),
        re.MULTILINE,
    )
    return {
        (section, option): reason
        for section, options, reason in rows
        for option in re.findall(r"`(\w+)`", options)
    }


def about(notes, text):
    """Of the notes, those on the option, on a part of it, or on what it is part of."""
    option = text.partition(" =")[0].replace("'", '"')
    keys = {key: key.replace("[", ".[") for key in notes}
    return [
        key
        for key, path in keys.items()
        if f"{option}.".startswith(f"{path}.") or f"{path}.".startswith(f"{option}.")
    ]


def with_rest(text):
    """What an option of an interface or a zone needs to mean anything."""
    lines = ["pools.q = ['192.0.2.9']"]
    if text.startswith("zones."):
        lines.append("pools.p = ['192.0.2.8']")
    if text.startswith("smtpInterfaces."):
        lines += [
            "smtpInterfaces.a.starttls = true",
            "smtpInterfaces.a.cert = '/c.pem'",
        ]
    option = text.partition(" =")[0]
    return "\n".join([text, *(line for line in lines if not line.startswith(option))])


@pytest.mark.parametrize(
    ("text", "place"), CARRIED, ids=lambda value: value.partition(" = ")[0]
)
def test_what_is_carried_over_has_its_row_in_the_reference(imported, text, place):
    """And the import says of none that it is not known, or does nothing."""
    title, row, *parts = place.split(".")
    page = chapter(REFERENCE, title)
    found = imported(with_rest(text))

    assert f"\n| `{row}` |" in page
    assert [part for part in parts if f"`{part}`" not in page] == []
    for kind in (Kind.UNKNOWN, Kind.LEFT_OUT, Kind.NO_EFFECT):
        assert about(found.notes(kind), text) == []


@pytest.mark.parametrize(
    ("text", "section", "option"), LEFT, ids=lambda value: value.partition(" = ")[0]
)
def test_what_is_not_carried_over_has_its_row_with_a_reason(
    imported, text, section, option
):
    """And the import tells whoever has set it."""
    found = imported(with_rest(text))

    assert not_carried().get((section, option))
    assert [key for kind in REASONS for key in about(found.notes(kind), text)]


def test_the_list_names_nothing_else():
    """A row without an option here would be one that nobody has tried."""
    assert not_carried().keys() == {(section, option) for _, section, option in LEFT}


@pytest.mark.parametrize(
    ("section", "rules"),
    [
        ("", zone_mta.REST),
        (r"api\.", zone_mta.API),
        (r"dns\.", zone_mta.DNS),
        (r"dkim\.", zone_mta.DKIM),
        (r"mtaSts\.", zone_mta.MTA_STS),
        (r"log\.", zone_mta.LOG),
        (r"queue\.", zone_mta.QUEUE),
        (r"zones\.z\.", zones.ZONE),
        (r"domainConfig\..*\.", zones.DOMAIN),
        (r"smtpInterfaces\.a\.", interfaces.DOOR),
    ],
)
def test_every_rule_of_the_import_is_among_these(section, rules):
    """Whoever adds one adds a row."""
    texts = [text for text, *_ in (*CARRIED, *LEFT)]

    forgotten = [
        key
        for key in rules
        if not any(re.match(rf"{section}{key}\b", text) for text in texts)
    ]

    assert forgotten == []
