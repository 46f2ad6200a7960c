"""Whatever somebody has written: it is carried over, or there is a word about it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.load import parse_config
from mta.errors import ConfigError
from mta.imports import interfaces, plugins, zone_mta, zones
from mta.imports.report import Where
from mta.imports.source import grow
from mta.imports.write import write_yaml
from mta.imports.zone_mta import translate

DOOR = (
    *(
        *interfaces.DOOR,
        "enabled",
        "host",
        "starttls",
        "secure",
        "cert",
        "key",
        "colour",
    ),
    *("sniOptions", "ciphers", "minVersion", "authentication", "authOptional"),
    *("authMethods", "disabledCommands", "hideSize"),
)
ZONE = (
    *(*zones.ZONE, "connections", "processes", "throttling", "pool", "poolHash"),
    *("interface", "disabled", "senderDomains", "originAddresses", "routingHeaders"),
)
PLUGIN = ("enabled", "ordering", "url", "allowRoutingHeaders", "addMissing", "colour")
PLUGINS = ("core/http-auth", "core/default-headers", *plugins.PLUGINS, "my/own")
NAMES = ("a", "A", "api", "maintenance", "default", "a.b", "", "é", "x" * 60)
WORDS = (
    *("", "localhost", "0.0.0.0", "192.0.2.1", "::", "a.test", "*.a", "-1", "9" * 20),
    *("5/s", "1/2/3", "nan", "a\nb", "https://[", "https://u@a/?b", "x/../y", "a"),
    *("PLAIN", "AUTH", "STARTTLS", "${HOME}", "TLSv1.2"),
)
LEAF = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(-1e300, 1e300)),
    *(st.sampled_from(WORDS), st.sampled_from(WORDS)),
)
VALUE = st.one_of(
    LEAF,
    st.lists(LEAF, max_size=3),
    st.dictionaries(st.sampled_from(("address", "name", "ratio", "ttl")), LEAF),
    st.lists(st.dictionaries(st.sampled_from(("address", "ratio")), LEAF), max_size=3),
)


def section(keys):
    return st.dictionaries(st.sampled_from(sorted(keys)), VALUE, max_size=6)


def sections(names, keys):
    return st.dictionaries(st.sampled_from(names), section(keys) | LEAF, max_size=4)


TREE = st.fixed_dictionaries(
    {},
    optional={
        "smtpInterfaces": sections(NAMES, DOOR),
        "zones": sections(NAMES, ZONE),
        "pools": section(NAMES),
        "domainConfig": sections(
            ("a.test", "default", "defaults", "*.x"), zones.DOMAIN
        ),
        "plugins": sections(PLUGINS, PLUGIN),
        "dns": section({*zone_mta.DNS, "caching", "nameservers"}),
        "queue": section({*zone_mta.QUEUE, "defaultZone", "maxQueueTime"}),
        "api": section({*zone_mta.API, "maildrop"}),
        "log": section({*zone_mta.LOG, "level"}),
        "blacklist": section({"ttl"}),
        "nameservers": VALUE,
        **dict.fromkeys(zone_mta.REST, VALUE),
    },
)


@settings(max_examples=50, deadline=None)
@given(TREE)
def test_nothing_is_passed_over(data):
    """Each value that says something is in the new file, or in the report."""
    target = translate(grow(data, "a.json"))

    told = {note.where.key for note in target.notes}
    told |= {where.key for where in target.origins.values()}
    said = set(values(data, Where("a.json", "")))
    assert {key for key in said if not any(are_near(key, at) for at in told)} == set()


@settings(max_examples=50, deadline=None)
@given(TREE)
def test_every_mistake_is_the_operators(data):
    """What is written is YAML; our loader takes it, or names a value of it."""
    target = translate(grow(data, "a.json"))
    text = write_yaml(target.tree, "")

    assert "is not YAML" not in problems(text, target)


def problems(text, target):
    try:
        parse_config("zones.yaml", text.encode(), target.environ, dict)
    except ConfigError as error:
        return str(error)
    return ""


def values(data, where):
    """The keys of what says something, and is not merely off."""
    for key, value in data.items():
        is_plugins = where.key.startswith("plugins") and key == "enabled"
        if isinstance(value, dict) and value:
            yield from values(value, where.at(key))
        elif value and not is_plugins:
            yield where.at(key).key


def are_near(key, place):
    """One is within the other."""
    shorter, longer = sorted((key.replace("[", "."), place.replace("[", ".")), key=len)
    return bool(shorter) and (longer == shorter or longer.startswith(f"{shorter}."))
