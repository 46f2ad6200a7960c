import pytest

ZONES = "zones: {default: {connections: 10}, bounces: }\n"


def test_every_mistake_is_told_at_once(problems):
    """Of the schema and between the parts, in the order of the file."""
    told = problems(
        """\
        api: {host: 0.0.0.0, maxSize: 1 MiB}
        plugins: {gmail.com: {max_connections: 5}}
        interfaces:
          feeder: {procesess: 3, socket_timeout: 10}
          Other: {port: 2525, authentication: true}
        pools:
          empty: []
        zones:
          default: {connections: ten, pool: emty}
          bounces: {throttling: 100 per minute}
        queue: {default_zone: defualt, lease: 1s}
        """
    )

    assert told == [
        "zones.yaml:1:13: api.host: others than this machine can reach it; "
        "MTA_API_KEY must be set",
        "zones.yaml:1:22: api.maxSize: unknown key; did you mean 'max_size'?",
        "zones.yaml:2:1: plugins: is not available in this version",
        "zones.yaml:4:12: interfaces.feeder.procesess: unknown key; "
        "did you mean 'processes'?",
        "zones.yaml:4:42: interfaces.feeder.socket_timeout: '10' has no unit; "
        "if seconds are meant, write 10s",
        "zones.yaml:5:3: interfaces.Other: names of interfaces have only a to z, "
        "0 to 9, _ and -, at most 50 of them; write 'other'",
        "zones.yaml:5:17: interfaces.Other.port: 127.0.0.1:2525 is that of "
        "interfaces.feeder already",
        "zones.yaml:5:39: interfaces.Other.authentication: needs starttls or secure: "
        "passwords are not taken in clear, unless allow_insecure_auth is true",
        "zones.yaml:7:3: pools.empty: has no addresses; list them, or remove the pool",
        "zones.yaml:9:26: zones.default.connections: 'ten' is not a whole number; "
        "write it in digits, unquoted",
        "zones.yaml:9:37: zones.default.pool: no pool is called 'emty'; "
        "did you mean 'empty'?",
        "zones.yaml:10:25: zones.bounces.throttling: '100 per minute' is not a rate; "
        "write COUNT/PERIOD, as in 10/s, 100/minute or 5000/day",
        "zones.yaml:11:23: queue.default_zone: no zone is called 'defualt'; "
        "did you mean 'default'?",
        "zones.yaml:11:39: queue.lease: '1s' is out of range; it must be from 5s to 1h",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zone: {}", "1:1: zone: unknown key; did you mean 'zones'?"),
        ("colour: {}", "1:1: colour: unknown key; known here: api, flower, dns"),
        ("plugins: {}", "1:1: plugins: is not available in this version"),
        ("api: 5", "1:6: api: '5' is not a mapping"),
        ("api: {port: }", "1:13: api.port: is empty; give it a value"),
        ("api: {port: 70000}", "1:13: api.port: '70000' is out of range"),
        ("api: {port: true}", "1:13: api.port: 'true' is not a whole number"),
        ("api: {host: localhost}", "1:13: api.host: 'localhost' is a name"),
        ("api: {host: 127}", "1:13: api.host: '127' is not text; put it in quotes"),
        ("queue: {lease: 5 parsecs}", "1:16: queue.lease: '5 parsecs' is not a time"),
        ("queue: {defer_times: []}", "1:22: queue.defer_times: this needs at least"),
        ("queue: {defer_times: 5m}", "1:22: queue.defer_times: '5m' is not a list"),
        ("queue: {defer_times: [5m, 0s]}", "1:27: queue.defer_times[1]: '0s' is out"),
        (
            "dns: {nameservers: [dns.example]}",
            "1:21: dns.nameservers[0]: 'dns.example'",
        ),
        ("dns: {cache_ttl: 600}", "1:18: dns.cache_ttl: '600' has no unit"),
        ("interfaces: {api: {port: 1}}", "1:14: interfaces.api: no interface can"),
        ("interfaces: {a: {name: b}}", "1:18: interfaces.a.name: the name is the key"),
        ("interfaces: {a: {max_size: []}}", "1:28: interfaces.a.max_size: this is not"),
        (
            "interfaces: {a: {starttls: 0}}",
            "1:28: interfaces.a.starttls: '0' is none of",
        ),
        (
            "interfaces: {a: {banner: ä}}",
            "1:26: interfaces.a.banner: 'ä' is not a line",
        ),
        ("pools: {p: 192.0.2.1}", "1:12: pools.p: is not a list"),
        ("pools: {p: [{name: a.example}]}", "1:13: pools.p[0].address: is missing"),
        ("pools: {p: [5]}", "1:13: pools.p[0]: '5' is not a mapping"),
        ("pools: {p: [0.0.0.0]}", "1:13: pools.p[0].address: no mail can leave"),
        (
            "pools: {p: [{address: 192.0.2.1, ratio: 3/2}]}",
            "1:41: pools.p[0].ratio: '3/2' is more than 1",
        ),
    ],
)
def test_a_wrong_value_is_told_in_the_operators_words(only_problem, text, expected):
    """Where, which, what is wrong, and what would be right."""
    assert only_problem(text).startswith(f"zones.yaml:{expected}")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("maxConnections: 5", "unknown key; did you mean 'connections'?"),
        ("recipientDomains: []", "unknown key; did you mean 'recipient_domains'?"),
        ("ignoreTLS: true", "unknown key; did you mean 'ignore_tls'?"),
        ("ignoreIPv6: true", "unknown key; did you mean 'ignore_ipv6'?"),
        ("auth: {}", "user: is missing"),
        ("auth: {user: a, password: b}", "is for a zone with a host"),
        ("lmtp: true", "is for a zone with a host"),
        ("http: {url: 'ftp://a.test'}", "is not a web address"),
        ("http: {url: 'https://a.test/a b'}", "has blanks"),
        ("http: {url: 'https://a.test'}, lmtp: true", "is another way to deliver"),
        ("secure: true", "is for a zone with a host"),
        ("host: 192.0.2.1, secure: true, tls: ignore", "TLS from the first octet"),
        ("host: 192.0.2.1, auth: {user: a}", "needs a password or a token"),
        (
            "host: 192.0.2.1, tls: require, auth: {user: a, password: b}",
            "no login without",
        ),
        ("addresses: [192.0.2.1]", "list addresses under pools"),
        ("pool_hash: form", "'form' is none of 'message' or 'from'"),
        ("connections: 0", "it must be from 1 to 10000"),
        ("pool: main", "no pool is called 'main'; there are no pools"),
        ("host: localhost", "write 127.0.0.1"),
        ("host: 127.0.0.1, port: 2525", "is our own interfaces.feeder"),
        ("ignore_ipv6: true, prefer_ipv6: true", "ignored and preferred"),
        ("ignore_ipv6: true, host: '2001:db8::1'", "the zone ignores IPv6"),
        ("connection_cache: 5s", "'5s' is not a mapping"),
        ("connection_cache: {reuse: 1}", "known here: ttl and reuse_count"),
        ("sender_domains: ['*']", "'*.example.com' is every name below"),
        ("from_domains: ['a.*.example']", "'*.example.com' is every name below"),
        ("recipient_domains: ['*.a@b.example']", "write its domain alone"),
        ("sender_domains: a.example", "is not a list; write [one, two]"),
        ("origin_addresses: [10.1.2.3/8]", "write 10.0.0.0/8, or /32"),
        ("routing_headers: {x-user-id: 123}", "'123' is not text; put it in quotes"),
        ("routing_headers: {'a b': c}", "is not the name of a header field"),
        ("routing_headers: []", "is not a mapping"),
    ],
)
def test_a_wrong_zone_is_told_in_the_operators_words(only_problem, zone, expected):
    """ZoneMTA's names lead to ours."""
    problem = only_problem(f"zones: {{default: {{{zone}}}, bounces: }}")

    assert expected in problem


@pytest.mark.parametrize(
    ("name", "better"),
    [("Bulk", "bulk"), ("bulk.mail", "bulk-mail"), ("-x", "x"), ("a b", "a-b")],
)
def test_a_zones_name_is_lower_case_without_dots(only_problem, name, better):
    """It becomes part of queue, process and worker names."""
    problem = only_problem(f"zones: {{default: , bounces: , {name!r}: }}")

    assert problem.endswith(f"write '{better}'")


def test_a_zone_cannot_be_called_as_the_housekeeping_worker(only_problem):
    """Two Celery workers of one name would answer for each other."""
    problem = only_problem("zones: {default: , bounces: , maintenance: }")

    assert "zones.maintenance: no zone can have this name" in problem


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("api: {host: 0.0.0.0}", "MTA_API_KEY"),
        ("api: {host: '::'}", "MTA_API_KEY"),
        ("flower: {host: 192.0.2.1}", "MTA_FLOWER_BASIC_AUTH"),
    ],
)
def test_a_door_to_the_world_needs_its_secret(only_problem, load, text, variable):
    """Neither knows users; the network must not be the only wall."""
    assert variable in only_problem(text)

    load(text, **{variable: "user:secret"})


def test_flower_that_is_off_needs_no_secret(load):
    """It listens nowhere."""
    load("flower: {enabled: false, host: 0.0.0.0}")


def test_an_interface_to_the_world_names_its_clients(only_problem, load):
    """An open relay must be asked for in so many words."""
    text = "interfaces: {feeder: {host: 0.0.0.0%s}}"

    assert "name allowed_networks" in only_problem(text % "")
    load(text % ", allowed_networks: [10.0.0.0/8]")
    load(text % ", authentication: true, allow_insecure_auth: true")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("starttls: true", "starttls: needs tls: {certificate: FILE, key: FILE}"),
        ("secure: true", "secure: needs tls: {certificate: FILE, key: FILE}"),
        (
            "secure: true, starttls: true, tls: {certificate: /c.pem}",
            "starttls: is for connections that begin in clear, and secure is on",
        ),
        ("tls: {certificate: c.pem}", "tls.certificate: 'c.pem' is not an absolute"),
        (
            "tls: {certificate: /c.pem, names: {'*': {certificate: /d.pem}}}",
            "tls.names.*: this key is a pattern",
        ),
        (
            "authentication: true, allow_insecure_auth: true, auth_methods: [XOAUTH2]",
            "auth_methods[0]: XOAUTH2 needs users: {http_auth: ...}",
        ),
        ("auth_methods: [CRAM-MD5]", "auth_methods[0]: 'CRAM-MD5' is none of"),
        ("disabled_commands: [DATA]", "disabled_commands[0]: 'DATA' is none of"),
        ("connection_rate: 10", "connection_rate: '10' has no period"),
    ],
)
def test_an_interface_has_what_it_promises(only_problem, text, problem):
    """It would refuse every client, or fail at its start."""
    told = only_problem(f"interfaces: {{a: {{{text}}}}}")

    assert f"interfaces.a.{problem}" in told


def test_a_callout_has_no_password_in_its_address(only_problem):
    """Addresses are shown and logged."""
    told = only_problem("users: {http_auth: 'https://u:p@auth.test/'}")

    assert "users.http_auth:" in told
    assert "without a name and a password" in told


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("interfaces: {a: {port: 2525}, b: {port: 2525}}", "interfaces.a"),
        ("interfaces: {a: {port: 12080}}", "api"),
        ("flower: {port: 12080}", "api"),
    ],
)
def test_two_doors_cannot_share_a_port(only_problem, text, owner):
    """The second would not start, or get half of the clients."""
    assert f"is that of {owner} already" in only_problem(text)


def test_free_ports_and_other_hosts_do_not_collide(load):
    """Port 0 is any free port, as often as it is said."""
    load(
        "interfaces: {a: {port: 0}, b: {port: 0}, "
        "c: {port: 25}, d: {port: 25, host: 127.0.0.2}}"
    )


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("[]", "has no addresses"),
        ("", "has no addresses"),
        ("[{address: 192.0.2.1, ratio: 0}]", "every IPv4 address has the ratio 0"),
        (
            "[{address: 192.0.2.1, ratio: 100%}, {address: 192.0.2.2}]",
            "the ratios of IPv4 leave nothing",
        ),
        ("[192.0.2.1, {address: 192.0.2.1}]", "192.0.2.1 is in this pool twice"),
    ],
)
def test_a_pool_must_be_of_use(only_problem, pool, expected):
    """Every address in it can be chosen."""
    assert expected in only_problem(f"pools: {{p: {pool}}}")


def test_ratios_of_the_two_families_are_apart(load):
    """A delivery goes over one of them."""
    load("pools: {p: [{address: 192.0.2.1, ratio: 1}, 2001:db8::1]}")


def test_a_pool_must_fit_the_family_of_its_zone(only_problem):
    """Otherwise no address of it would ever be used."""
    problem = only_problem(
        "dns: {ignore_ipv6: true}\n"
        "pools: {p: [2001:db8::1]}\n"
        "zones: {default: {pool: p}, bounces: }"
    )

    assert "only IPv6 addresses, and the zone ignores IPv6" in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zones: {bulk: }", "queue.default_zone: no zone is called 'default'"),
        ("zones: {}", "queue.default_zone: no zone is called 'default'"),
        (ZONES + "queue: {default_zone: defualt}", "did you mean 'default'?"),
        ("zones: {default: {disabled: true}, bounces: }", "zone default is disabled"),
    ],
)
def test_the_queues_zones_must_be_there(problems, text, expected):
    """Mail that nobody claims must have somewhere to go."""
    assert any(expected in problem for problem in problems(text))


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        ("sender_domains: [a.example]", "sender_domains: [A.Example.]", "'a.example'"),
        (
            "recipient_domains: [ü.example]",
            "recipient_domains: [xn--tda.example]",
            "xn",
        ),
        ("origin_addresses: [192.0.2.1]", "origin_addresses: [192.0.2.1/32]", "192."),
        ("routing_headers: {X-A: b}", "routing_headers: {x-a: B}", "'x-a: B'"),
    ],
)
def test_two_zones_cannot_claim_the_same(only_problem, load, one, two, what):
    """One of them would never see its mail; a disabled zone claims nothing."""
    text = "zones: {default: , bounces: , one: {%s}, two: {%s%s}}"

    problem = only_problem(text % (one, two, ""))

    assert "zones.two." in problem
    assert what in problem
    assert problem.endswith("is claimed by zone one already")
    load(text % (one, two, ", disabled: true"))


def test_different_rules_may_name_the_same_domain(load):
    """Mail from it and mail to it are different mail."""
    load(
        "zones: {default: {sender_domains: [a.example]}, "
        "bounces: {recipient_domains: [a.example], origin_addresses: [10.0.0.0/8]}, "
        "one: {origin_addresses: [10.1.0.0/16]}}"
    )


def test_a_list_with_one_bad_item_still_claims_the_others(problems):
    """So that the second mistake is told with the first, at its own place."""
    told = problems(
        """\
        zones:
          default: {sender_domains: ["*", c.example]}
          bounces: {sender_domains: [5, 6, c.example]}
        """
    )

    assert [problem.split(": ")[0] for problem in told] == [
        "zones.yaml:2:30",
        "zones.yaml:3:30",
        "zones.yaml:3:33",
        "zones.yaml:3:36",
    ]


def test_what_could_not_be_read_causes_no_second_problem(only_problem):
    """A default in its place is nothing that anybody wrote."""
    only_problem("interfaces: {a: {port: x}, b: }\n" + ZONES)
    only_problem("zones: 5")
    only_problem("pools: 5\nzones: {default: {pool: p}, bounces: }")
