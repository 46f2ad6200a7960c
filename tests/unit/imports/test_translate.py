"""What becomes of each option of ZoneMTA."""

import pytest

from mta.imports.report import Kind

INTERFACE = "[smtpInterfaces.a]\nstarttls = true\ncert = '/c.pem'\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("api.port = 12081", {"api.port": 12081}),
        ("api.host = 'localhost'", {"api.host": "127.0.0.1"}),
        ("dns.cacheTTL = 300", {"dns.cache_ttl": "5m"}),
        ("dns.cacheTTL = 86400", {"dns.cache_ttl": "1h"}),
        ("dns.caching = false", {"dns.cache_ttl": "0s"}),
        ("dns.nameservers = ['192.0.2.53']", {"dns.nameservers": ["192.0.2.53"]}),
        ("nameservers = '192.0.2.53'", {"dns.nameservers": ["192.0.2.53"]}),
        ("dns.blockLocalAddresses = true", {"dns.block_local_addresses": True}),
        ("dns.preferIPv6 = true", {"dns.prefer_ipv6": True}),
        ("dns.ignoreIPv6 = 1", {"dns.ignore_ipv6": True}),
        (
            "dns = {ignoreIPv6 = true, preferIPv6 = true}",
            {"dns.ignore_ipv6": True},
        ),
        (
            "queue.defaultZone = 'Main'",
            {"queue.default_zone": "main", "zones.main.connections": 10},
        ),
        ("queue.maxQueueTime = 432000000", {"queue.max_queue_time": "5d"}),
        ("queue.maxQueueTime = 0", {"queue.max_queue_time": "365d"}),
        ("queue.maxQueueTime = -1", {"queue.max_queue_time": "365d"}),
        ("queue.maxQueueTime = 99999999999", {"queue.max_queue_time": "365d"}),
        ("queue.deferTimes = [300000, 90000]", {"queue.defer_times": ["5m", "90s"]}),
        ("queue.deferTimes = [1500]", {"queue.defer_times": ["1500ms"]}),
        (
            "blacklist.ttl = 3600000",
            {
                "shaping.blacklist.category": ["blacklist"],
                "shaping.blacklist.action": "rest",
                "shaping.blacklist.duration": "1h",
            },
        ),
        (
            "[domainConfig.'a.test']\nmaxConnections = 9",
            {"domains.a.test.max_connections": 9},
        ),
        (
            "[domainConfig.defaults]\nmaxConnections = 9",
            {"domains.default.max_connections": 9},
        ),
        (
            "[domainConfig.'a.test']\ndisabledAddresses = ['192.0.2.1']",
            {"domains.a.test.disabled_addresses": ["192.0.2.1"]},
        ),
        (
            "[plugins.'core/default-headers']\n"
            "addMissing = ['Date', 'to']\nfutureDate = true",
            {"queue.add_missing": ["date", "to"], "queue.future_date": True},
        ),
        (
            "plugins.'core/default-headers' = false",
            {"queue.add_missing": [], "queue.x_originating_ip": False},
        ),
        (
            "[plugins.'core/http-auth']\nurl = 'https://a.test/login'",
            {"users.http_auth": "https://a.test/login"},
        ),
        (
            "[plugins.'core/dkim']\nselector = 's1'\npath = '/k.pem'\n"
            "domain = 'esp.test'\nheaderFields = ['From', 'To']\n"
            "signTransportDomain = true\nsignatureExpireIn = 86400",
            {
                "dkim.keys.*": [
                    {"selector": "s1", "path": "/k.pem", "domain": "esp.test"}
                ],
                "dkim.header_fields": ["from", "to"],
                "dkim.sign_transport_domain": True,
                "dkim.signature_expire_in": "1d",
            },
        ),
        ("dkim.enabled = false", {"dkim.enabled": False}),
        ("mtaSts.enabled = false", {"tls.mta_sts": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_are_carried_over(imported, text, values):
    """In our words and units."""
    assert imported(text).values == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("port = 25", {"port": 25}),
        ("processes = 4", {"processes": 4}),
        ("maxSize = 31457280", {"max_size": "30 MiB"}),
        ("maxSize = 1000000", {"max_size": "1000000 bytes"}),
        ("maxSize = '26214400'", {"max_size": "25 MiB"}),
        ("maxRecipients = 50", {"max_recipients": 50}),
        ("hostname = 'mx.a.test'", {"hostname": "mx.a.test"}),
        ("banner = 'hello'", {"banner": "hello"}),
        ("lmtp = true", {"lmtp": True}),
        ("socketTimeout = 600000", {"socket_timeout": "10m"}),
        ("maxClients = 9", {"max_clients": 9}),
        ("authentication = true", {"authentication": True}),
        (
            "authentication = true\nauthOptional = true",
            {"authentication": "optional"},
        ),
        ("authMethods = ['plain', 'CRAM-MD5']", {"auth_methods": ["PLAIN"]}),
        ("allowInsecureAuth = true", {"allow_insecure_auth": True}),
        ("disabledCommands = ['VRFY', 'STAR']", {"disabled_commands": ["VRFY"]}),
        (
            "hideSize = true\nhide8BITMIME = true\nhideSMTPUTF8 = false",
            {"hidden_extensions": ["SIZE", "8BITMIME"]},
        ),
        ("key = '/k.pem'", {"tls.key": "/k.pem"}),
        ("minVersion = 'TLSv1.3'", {"tls.min_version": "TLSv1.3"}),
        ("minVersion = 'TLSv1'", {}),
        ("ciphers = 'ECDHE'", {"tls.ciphers": "ECDHE"}),
        (
            "sniOptions.'b.test' = {cert = '/b.pem', key = '/b.key'}",
            {"tls.names.b.test": {"certificate": "/b.pem", "key": "/b.key"}},
        ),
        ("host = '127.0.0.1'", {"host": "127.0.0.1"}),
        ("host = '0.0.0.0'", {"host": "127.0.0.1"}),
        (
            "host = '0.0.0.0'\nauthentication = true",
            {"host": "0.0.0.0", "authentication": True},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_doors_are_carried_over(imported, text, values):
    """Of an interface that has a certificate."""
    found = imported(INTERFACE + text).values

    assert found == {
        "interfaces.a.starttls": True,
        "interfaces.a.tls.certificate": "/c.pem",
        **{f"interfaces.a.{key}": value for key, value in values.items()},
    }


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {"connections": 1}),
        ("connections = 7", {"connections": 7}),
        ("connections = 7\nprocesses = 3", {"connections": 21}),
        ("disabled = true", {"connections": 1, "disabled": True}),
        ("poolHash = 'from'", {"connections": 1, "pool_hash": "from"}),
        (
            "host = 'r.test'\nport = 587",
            {"connections": 1, "host": "r.test", "port": 587},
        ),
        ("ignoreTLS = true", {"connections": 1, "ignore_tls": True}),
        ("preferIPv6 = true", {"connections": 1, "prefer_ipv6": True}),
        (
            "ignoreIPv6 = true\npreferIPv6 = true",
            {"connections": 1, "ignore_ipv6": True},
        ),
        (
            "blockLocalAddresses = true",
            {"connections": 1, "block_local_addresses": True},
        ),
        (
            "connectionCache = {ttl = 5, reuseCount = 20}",
            {
                "connections": 1,
                "connection_cache.ttl": "5s",
                "connection_cache.reuse_count": 20,
            },
        ),
        (
            "originAddresses = ['192.0.2.1']",
            {"connections": 1, "origin_addresses": ["192.0.2.1"]},
        ),
        (
            "recipientDomains = 'b.test'",
            {"connections": 1, "recipient_domains": ["b.test"]},
        ),
        (
            "routingHeaders = {X-Id = 12}",
            {"connections": 1, "routing_headers.x-id": "12"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_zones_are_carried_over(imported, text, values):
    """Connections are always said: the defaults are not the same everywhere."""
    found = imported(f"[zones.default]\n{text}").values

    assert found == {f"zones.default.{key}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100 messages/minute", "100/minute"),
        ("5/s", "5/second"),
        ("3000 messages/hour", "3000/hour"),
        ("10 mails / Min", "10/minute"),
        ("9000/day", "9000/hour"),
        ("7/", "7/hour"),
    ],
)
def test_throttling_goes_by_the_first_letter(imported, text, rate):
    """Of the unit; what ZoneMTA does not know, it takes for an hour."""
    found = imported(f"[zones.default]\nthrottling = {text!r}")

    assert found.values["zones.default.connection_throttling"] == rate


@pytest.mark.parametrize("text", ["'fast'", "'0/minute'", "100"])
def test_throttling_that_is_no_rate_has_no_effect(imported, text):
    """Nor had it any there."""
    found = imported(f"[zones.default]\nthrottling = {text}")

    assert "zones.default.connection_throttling" not in found.values
    assert "zones.default.throttling" in found.notes(Kind.NO_EFFECT)


def test_a_rate_of_connections_says_what_it_comes_to(imported):
    """Since somebody may have meant the zone."""
    text = "[zones.default]\nconnections = 4\nprocesses = 2\nthrottling = '10/minute'"

    note = imported(text).notes(Kind.DIFFERS)["zones.default.throttling"]

    assert "; 8 connections may send 80/minute together" in note


def test_what_is_slow_for_a_connection_is_the_rate_of_the_zone(imported):
    """A connection that rests for more than ten minutes is none."""
    text = "[zones.default]\nconnections = 3\nthrottling = '5/hour'"

    values = imported(text).values

    assert values == {
        "zones.default.connections": 3,
        "zones.default.throttling": "15/hour",
    }


def test_a_translated_value_says_what_it_was(imported):
    """Beside it, as a comment."""
    found = imported(
        "queue.maxQueueTime = 60000\n[zones.default]\nprocesses = 2\nconnections = 3"
    )

    assert found.comments == {
        "queue.max_queue_time": "maxQueueTime = 60000",
        "zones.default.connections": "processes = 2, connections = 3",
    }


@pytest.mark.parametrize(
    ("entries", "pool"),
    [
        ("['192.0.2.1']", ["192.0.2.1"]),
        ("'192.0.2.1'", ["192.0.2.1"]),
        (
            "[{address = '192.0.2.1', name = 'a.test', ratio = '0.25'}]",
            [{"address": "192.0.2.1", "name": "a.test", "ratio": 0.25}],
        ),
        (
            "[{address = '192.0.2.1', ratio = 7}]",
            [{"address": "192.0.2.1", "ratio": 1}],
        ),
        ("[{address = '192.0.2.1', ratio = 0}]", ["192.0.2.1"]),
        ("['192.0.2.1', '192.0.2.1']", ["192.0.2.1"]),
        ("['192.0.2.1', '0.0.0.0', '::']", ["192.0.2.1"]),
        (
            "[{address = '192.0.2.1', ratio = 1}, '192.0.2.2', '2001:db8::1']",
            [
                {"address": "192.0.2.1", "ratio": 1},
                {"address": "192.0.2.2", "ratio": 0},
                "2001:db8::1",
            ],
        ),
    ],
    ids=["list", "one", "share", "more than all", "zero", "twice", "any", "no rest"],
)
def test_pools_are_carried_over(imported, entries, pool):
    """With the shares that ZoneMTA really gives."""
    assert imported(f"pools.p = {entries}").values == {"pools.p": pool}


@pytest.mark.parametrize(
    ("zone", "pool", "entries"),
    [
        ("pool = 'p'", "p", ["192.0.2.1"]),
        ("pool = '192.0.2.9'", "z", ["192.0.2.9"]),
        ("pool = {address = '192.0.2.9'}", "z", ["192.0.2.9"]),
        ("interface = 'eth0'", "z", [{"interface": "eth0"}]),
        ("pool = 'p'\ninterface = 'eth0'", "z", ["192.0.2.1", {"interface": "eth0"}]),
        ("pool = 'empty'", None, None),
        ("pool = 'nowhere'", None, None),
        ("pool = false", None, None),
    ],
    ids=["name", "address", "inline", "interface", "both", "empty", "unknown", "off"],
)
def test_a_zone_has_a_pool_by_name(imported, zone, pool, entries):
    """One of its own, if it has its addresses right there."""
    found = imported(f"pools = {{p = ['192.0.2.1'], empty = []}}\n[zones.z]\n{zone}")

    assert found.values.get("zones.z.pool") == pool
    assert found.values.get(f"pools.{pool}") == entries


def test_names_become_ones_that_we_take(imported):
    """Each its own, and those that are right keep theirs."""
    found = imported(
        """
        queue.defaultZone = "Bulk Mail"
        [zones]
        "Bulk Mail" = {connections = 1}
        bulk-mail = {connections = 2}
        maintenance = {connections = 3}
        "!" = {connections = 4}
        """
    )

    assert found.values == {
        "queue.default_zone": "bulk-mail-2",
        "zones.bulk-mail-2.connections": 1,
        "zones.bulk-mail.connections": 2,
        "zones.maintenance-zone.connections": 3,
        "zones.unnamed.connections": 4,
    }


def test_the_zone_of_all_other_mail_is_there(imported):
    """ZoneMTA would park what it is for."""
    found = imported("[zones.bulk]\nconnections = 2")

    assert found.values["zones.default.connections"] == 10


def test_the_first_zone_to_claim_keeps_it(imported):
    """As in ZoneMTA; a zone that is disabled claims nothing."""
    found = imported(
        """
        [zones.off]
        disabled = true
        senderDomains = ["a.test"]
        [zones.default]
        senderDomains = ["A.test", "a.test", "b.test"]
        routingHeaders = {X-A = "One"}
        [zones.late]
        senderDomains = ["b.test", "*.c.test", "no domain"]
        routingHeaders = {x-a = "one"}
        """
    )

    assert found.values["zones.off.sender_domains"] == ["a.test"]
    assert found.values["zones.default.sender_domains"] == ["A.test", "b.test"]
    assert "zones.late.sender_domains" not in found.values
    assert "zones.late.routing_headers.x-a" not in found.values
    assert set(found.notes(Kind.NO_EFFECT)) == {
        "zones.default.senderDomains[1]",
        "zones.late.senderDomains[0]",
        "zones.late.senderDomains[1]",
        "zones.late.senderDomains[2]",
        "zones.late.routingHeaders.x-a",
    }


def test_defaults_is_what_zone_mta_reads(imported):
    """And ``default`` is not, where both are said."""
    found = imported(
        "[domainConfig]\ndefault.maxConnections = 1\ndefaults.maxConnections = 2"
    )

    assert found.values == {"domains.default.max_connections": 2}


def test_doors_that_are_off_are_left_out(imported):
    """If all are, there are none; without the section there is ours."""
    assert imported("[smtpInterfaces.a]\nenabled = false").target.tree == {
        "interfaces": {}
    }
    assert imported("").target.tree == {}


def test_the_door_that_nobody_speaks_of_is_there(imported):
    """ZoneMTA has a feeder, too."""
    text = "plugins.'core/default-headers'.allowRoutingHeaders = ['feeder', 'x']"

    found = imported(text)

    assert found.values == {"interfaces.feeder.allow_routing_headers": True}
    (key,) = found.notes(Kind.NO_EFFECT)
    assert key.endswith("allowRoutingHeaders[1]")


def test_clients_who_may_choose_zones_still_may(imported):
    """Those of the interfaces that core/default-headers names."""
    found = imported(
        """
        plugins."core/default-headers".allowRoutingHeaders = ["api", "A"]
        [smtpInterfaces.A]
        [smtpInterfaces.b]
        """
    )

    assert found.values == {"interfaces.a.allow_routing_headers": True}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "starttls = true",
            {"starttls": True, "tls.certificate": "/etc/mta/tls/a.pem"},
        ),
        (
            "secure = true\nstarttls = true\ncert = 'keys/c.pem'",
            {"secure": True, "tls.certificate": "/etc/mta/tls/c.pem"},
        ),
        (
            'secure = true\ncert = "-----BEGIN\\nC"\nkey = "-----BEGIN\\nK"',
            {
                "secure": True,
                "tls.certificate": "/etc/mta/tls/a.pem",
                "tls.key": "/etc/mta/tls/a.key",
            },
        ),
        ("cert = '/c.pem'", {}),
        (
            "authentication = true",
            {"authentication": True, "allow_insecure_auth": True},
        ),
        ("authentication = true\ndisabledCommands = ['AUTH']", {}),
        ("starttls = true\ndisabledCommands = ['STARTTLS']", {}),
    ],
    ids=[
        "built in",
        "relative",
        "texts",
        "unused",
        "in clear",
        "no AUTH",
        "no STARTTLS",
    ],
)
def test_encryption_is_carried_over(imported, text, values):
    """As it was in effect, and with files that have absolute paths."""
    found = imported(f"[smtpInterfaces.a]\n{text}").values

    assert found == {f"interfaces.a.{key}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("user = 'mta'", Kind.BY_HAND, "user"),
        ("name = 'x'", Kind.LEFT_OUT, "name"),
        ("ident = 'x'", Kind.LEFT_OUT, "ident"),
        ("group = 'mta'", Kind.BY_HAND, "group"),
        ("dbs.mongo = 'x'", Kind.ENVIRONMENT, "dbs.mongo"),
        ("dbs.redis = {host = 'x'}", Kind.ENVIRONMENT, "dbs.redis"),
        ("dbs.sender = 'x'", Kind.LEFT_OUT, "dbs.sender"),
        ("dbs.gridfs = 'x'", Kind.LEFT_OUT, "dbs.gridfs"),
        ("dbs.users = 'x'", Kind.LEFT_OUT, "dbs.users"),
        ("queue.instanceId = 'x'", Kind.LEFT_OUT, "queue.instanceId"),
        ("queue.gfs = 'x'", Kind.LEFT_OUT, "queue.gfs"),
        ("queue.collection = 'x'", Kind.LEFT_OUT, "queue.collection"),
        ("queue.disableGC = true", Kind.LEFT_OUT, "queue.disableGC"),
        ("queue.logQueuePolling = true", Kind.LEFT_OUT, "queue.logQueuePolling"),
        ("pluginsPath = './p'", Kind.LEFT_OUT, "pluginsPath"),
        ("corePluginsPath = './p'", Kind.LEFT_OUT, "corePluginsPath"),
        ("bouncesFile = 'x'", Kind.LEFT_OUT, "bouncesFile"),
        ("mtaSts.enabled = true", Kind.DIFFERS, "mtaSts.enabled"),
        ("api.hostname = 'x'", Kind.LEFT_OUT, "api.hostname"),
        ("api.maildrop = false", Kind.BY_HAND, "api.maildrop"),
        ("api.user = 'x'", Kind.LEFT_OUT, "api.user"),
        ("api.pass = 'x'", Kind.LEFT_OUT, "api.pass"),
        ("api.host = '0.0.0.0'", Kind.ENVIRONMENT, "api.host"),
        ("queueServer.port = 1", Kind.LEFT_OUT, "queueServer"),
        ("api.maildrop = true", Kind.SAME, "api.maildrop"),
        ("dns.caching = true", Kind.SAME, "dns.caching"),
        ("domainConfig.'*.x'.maxConnections = 1", Kind.NO_EFFECT, 'domainConfig."*.x"'),
        ("pools.p = [{name = 'a.test'}]", Kind.NO_EFFECT, "pools.p[0]"),
        ("log.level = 'silly'", Kind.ENVIRONMENT, "log.level"),
        ("log.queue = true", Kind.LEFT_OUT, "log.queue"),
        ("log.remote.port = 1", Kind.LEFT_OUT, "log.remote"),
        ("log.remote = false", Kind.NO_EFFECT, "log.remote"),
        ("log.gelf.enabled = true", Kind.LEFT_OUT, "log.gelf"),
        ("dkim.hashAlgo = 'sha1'", Kind.LEFT_OUT, "dkim.hashAlgo"),
        ("uploads.userAgent = 'x'", Kind.LEFT_OUT, "uploads"),
        ("dns.blockLocalAddresses = true", Kind.DIFFERS, "blacklist.ttl"),
        ("x = 1", Kind.DIFFERS, "dns.blockLocalAddresses"),
        ("dns.nameservers = ['192.0.2.1']", Kind.DIFFERS, "dns.nameservers"),
        ("plugins.'core/dkim'.enabled = true", Kind.BY_HAND, 'plugins."core/dkim"'),
        ("plugins.'my/own' = true", Kind.LEFT_OUT, 'plugins."my/own"'),
        ("plugins.'my/own' = false", Kind.NO_EFFECT, 'plugins."my/own"'),
        (
            "plugins.'core/http-auth'.url = 'https://u:p@a.test/'",
            Kind.BY_HAND,
            'plugins."core/http-auth".url',
        ),
        ("colour = 'red'", Kind.UNKNOWN, "colour"),
        ("dns = 5", Kind.UNKNOWN, "dns"),
        ("zones.a = 5", Kind.NO_EFFECT, "zones.a"),
        ("domainConfig.'a.b'.x = 5", Kind.UNKNOWN, 'domainConfig."a.b".x'),
        ("pools.p = [{address = '192.0.2.1', x = 1}]", Kind.UNKNOWN, "pools.p[0].x"),
        *(
            (f"smtpInterfaces.a.{key}", kind, f"smtpInterfaces.a.{key.split()[0]}")
            for key, kind in [
                ("name = 'x'", Kind.LEFT_OUT),
                ("disableVersionString = true", Kind.LEFT_OUT),
                ("logger = true", Kind.LEFT_OUT),
                ("closeTimeout = 1", Kind.LEFT_OUT),
                ("disableReverseLookup = true", Kind.LEFT_OUT),
                ("useProxy = true", Kind.BY_HAND),
                ("useProxy = ['*']", Kind.BY_HAND),
                ("useXClient = true", Kind.BY_HAND),
                ("useXForward = true", Kind.BY_HAND),
                ("secured = true", Kind.BY_HAND),
                ("ca = ['x']", Kind.NO_EFFECT),
                ("authentication = true", Kind.BY_HAND),
                ("authMethods = ['XOAUTH2']", Kind.BY_HAND),
                ("host = '0.0.0.0'", Kind.BY_HAND),
                ("colour = 1", Kind.UNKNOWN),
            ]
        ),
        *(
            (f"{INTERFACE}{key}", kind, f"smtpInterfaces.a.{key.split()[0]}")
            for key, kind in [
                ("ca = ['x']", Kind.BY_HAND),
                ("hideSTARTTLS = true", Kind.LEFT_OUT),
                ("minVersion = 'TLSv1'", Kind.LEFT_OUT),
                ("dhparam = 'x'", Kind.LEFT_OUT),
                ("secureProtocol = 'x'", Kind.LEFT_OUT),
                ("secureOptions = 1", Kind.LEFT_OUT),
            ]
        ),
        *(
            (f"zones.default.{key}", kind, f"zones.default.{key.split()[0]}")
            for key, kind in [
                ("processes = 2", Kind.DIFFERS),
                ("auth = {user = 'x'}", Kind.BY_HAND),
                ("logLevel = 'x'", Kind.LEFT_OUT),
                ("logger = true", Kind.NO_EFFECT),
                ("requireTLS = true", Kind.NO_EFFECT),
                ("resolveIp = true", Kind.NO_EFFECT),
                ("debug = true", Kind.NO_EFFECT),
                ("authMethod = 'x'", Kind.NO_EFFECT),
                ("poolHash = 'x'", Kind.NO_EFFECT),
                ("routingHeaders = {a = 'x'}", Kind.BY_HAND),
                ("colour = 1", Kind.UNKNOWN),
            ]
        ),
        (
            "domainConfig.a.dnsOptions = {x = 1}",
            Kind.BY_HAND,
            "domainConfig.a.dnsOptions",
        ),
        ("domainConfig.a.logger = true", Kind.LEFT_OUT, "domainConfig.a.logger"),
        ("domainConfig.default.x = 1", Kind.DIFFERS, "domainConfig.default"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_carried_over_is_told(imported, text, kind, key):
    """Under its heading, with its key; an option nobody knows, too."""
    assert key in imported(text).notes(kind)


def test_a_url_with_a_query_stays_in_the_environment(imported):
    """It may hold a token."""
    found = imported("plugins.'core/http-auth'.url = 'https://a.test/?key=hunter2'")

    assert found.values == {"users.http_auth": "${HTTP_AUTH_URL}"}
    assert "hunter2" not in repr((found.target.tree, found.target.notes))
    assert found.target.environ == {"HTTP_AUTH_URL": "https://a.test/?key=hunter2"}


def test_a_login_in_a_host_is_not_copied(imported):
    """Whatever stands before the last at sign."""
    found = imported("[zones.default]\nhost = 'ada:hunter2@relay.test'")

    assert found.values["zones.default.host"] == "relay.test"
    assert "hunter2" not in repr((found.target.tree, found.target.notes))


def test_a_value_that_no_form_understands_stays(imported):
    """Our loader can say what is wrong with it."""
    found = imported("queue.maxQueueTime = 'long'\n[zones.default]\nport = [1]")

    assert found.values["queue.max_queue_time"] == "long"
    assert found.values["zones.default.port"] == [1]
    assert (
        str(found.target.origin("zones.default.port[0]"))
        == "a.toml: zones.default.port"
    )
