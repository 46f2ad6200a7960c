"""Logins to relays, LMTP, and how long next hops are waited for."""

from datetime import timedelta

import pytest

from mta.config.difference import compare
from mta.config.live import Live
from mta.config.load import parse_config
from mta.config.next_hop import RelayLogin, TimeoutsConfig
from mta.config.zones import Config, Zone
from mta.relay.manner import BY_SMTP, Manner, manner_of
from mta.relay.wire import Timeouts
from mta.smtp.login_client import Credentials
from mta.wiring_relay import live_timeouts

SECRET = "opensesame"
HOST = "host: relay.test"
LOGIN = f"{{user: ada, password: {SECRET}}}"


def read(zone: str, **environ: str) -> Config:
    text = f"zones: {{default: {{{zone}}}}}"
    return parse_config("zones.yaml", text.encode(), environ)


@pytest.fixture
def zone_problems(problems):
    """What is wrong with a zone of these settings; never with a secret in it."""

    def told(zone: str) -> list[str]:
        found = problems(f"zones: {{default: {{{zone}}}}}")
        assert SECRET not in "\n".join(found)
        return [problem.partition("zones.default.")[2] for problem in found]

    return told


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        pytest.param(f"{HOST}, auth: {{}}", "auth.user: is missing", id="empty"),
        pytest.param(
            f"{HOST}, auth: {{password: {SECRET}}}",
            "auth.user: is missing",
            id="without a user",
        ),
        pytest.param(
            f"{HOST}, auth: {{user: ada}}",
            "auth: needs a password or a token, and not both",
            id="with neither",
        ),
        pytest.param(
            f"{HOST}, auth: {{user: ada, password: {SECRET}, token: t0}}",
            "auth: needs a password or a token, and not both",
            id="with both",
        ),
        pytest.param(
            f"auth: {LOGIN}", "auth: is for a zone with a host", id="without a host"
        ),
        pytest.param(
            f"{HOST}, tls: require, auth: {LOGIN}",
            "auth: no login without a verified certificate; "
            "say tls: verify, or nothing",
            id="with any certificate",
        ),
        pytest.param(
            f"{HOST}, ignore_tls: true, auth: {LOGIN}",
            "auth: no login without a verified certificate; "
            "say tls: verify, or nothing",
            id="in clear",
        ),
        pytest.param(
            f"{HOST}, auth: {{user: ada, password: {SECRET}, method: DIGEST-MD5}}",
            "auth.method: 'DIGEST-MD5' is none of 'SCRAM-SHA-256', 'PLAIN', 'LOGIN', "
            "'CRAM-MD5', 'OAUTHBEARER' or 'XOAUTH2'",
            id="by a method nobody knows",
        ),
        pytest.param("lmtp: true", "lmtp: is for a zone with a host", id="LMTP by MX"),
        pytest.param(
            f"{HOST}, lmtp: 1",
            "lmtp: '1' is neither true nor false; write one of them, unquoted",
            id="LMTP by number",
        ),
    ],
)
def test_a_relay_that_cannot_be_talked_to_is_a_mistake(zone_problems, zone, expected):
    """One mistake, one line."""
    assert zone_problems(zone) == [expected]


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (f"{{user: ada, password: [{SECRET}]}}", "auth.password: this is not text"),
        (f"{{user: ada, password: {SECRET * 200}}}", "auth.password: this has more"),
        (f"{{user: ada, token: {SECRET * 900}}}", "auth.token: this has more than"),
        (f"{{user: ada, pasword: {SECRET}}}", "did you mean 'password'?"),
        (SECRET, "auth: this is not a mapping"),
        (f"[{SECRET}]", "auth: this is not a mapping"),
    ],
    ids=["a list", "too long", "a long token", "another key", "alone", "in a list"],
)
def test_no_mistake_tells_a_secret(zone_problems, auth, expected):
    """Problems are printed, logged, and pasted into tickets."""
    (problem,) = zone_problems(f"{HOST}, auth: {auth}")

    assert expected in problem


def test_a_number_for_a_password_is_not_told(zone_problems):
    """It must be quoted, and may be the password all the same."""
    (problem,) = zone_problems(f"{HOST}, auth: {{user: ada, password: 5551234}}")

    assert problem == "auth.password: this is not text; put it in quotes"


@pytest.mark.parametrize("key", ["password", "token"])
def test_no_repr_tells_a_secret(key):
    """Of the whole configuration, or of what is logged in with."""
    config = read(f"{HOST}, auth: {{user: ada, {key}: {SECRET}}}")
    zone = config.zones["default"]

    told = [repr(config), str(zone), repr(zone.auth), repr(manner_of(zone))]
    assert SECRET not in "".join(told)
    assert all("ada" in text for text in told)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            f"{HOST}, auth: {LOGIN}",
            f"{HOST}, auth: {{user: ada, password: another-{SECRET}}}",
            ["zones.default.auth.password: (secret) -> (secret)"],
            id="another password",
        ),
        pytest.param(
            HOST,
            f"{HOST}, auth: {LOGIN}",
            ["zones.default.auth: none -> {user: ada, password: (secret)}"],
            id="a login that comes",
        ),
        pytest.param(
            f"{HOST}, auth: {LOGIN}",
            HOST,
            ["zones.default.auth: {user: ada, password: (secret)} -> none"],
            id="a login that goes",
        ),
        pytest.param(
            f"{HOST}, auth: {LOGIN}",
            f"{HOST}, auth: {{user: ada, token: {SECRET}}}",
            [
                "zones.default.auth.password: (secret) -> (secret)",
                "zones.default.auth.token: (secret) -> (secret)",
            ],
            id="a token in the place of a password",
        ),
        pytest.param(
            HOST,
            f"{HOST}, lmtp: true",
            ["zones.default.lmtp: false -> true"],
            id="LMTP from now on",
        ),
    ],
)
def test_a_reload_tells_that_a_secret_changes_and_no_more(old, new, expected):
    """As ``mta reload --dry-run`` prints it; none of it needs a restart."""
    assert [str(change) for change in compare(read(old), read(new))] == expected


def test_a_login_of_a_new_zone_is_masked():
    """Also where the whole zone is told as one."""
    old, zone = read(""), f"{HOST}, auth: {LOGIN}"
    text = f"zones: {{default: {{}}, bulk: {{{zone}}}}}"
    new = parse_config("zones.yaml", text.encode(), {})

    (change,) = compare(old, new)

    assert str(change) == (
        "zones.bulk: none -> {host: relay.test, auth: {user: ada, password: (secret)}}"
    )


def test_a_password_may_come_from_the_environment():
    """So that the file can be shown to anybody."""
    config = read(
        f'{HOST}, auth: {{user: ada, password: "${{RELAY_PASSWORD}}"}}',
        RELAY_PASSWORD=SECRET,
    )

    assert config.zones["default"].auth == RelayLogin(user="ada", password=SECRET)


@pytest.mark.parametrize("tls", ["", ", tls: verify"])
def test_a_login_says_by_itself_that_the_certificate_counts(tls):
    """To say so as well is allowed."""
    assert read(f"{HOST}, auth: {LOGIN}{tls}").zones["default"].auth is not None


@pytest.mark.parametrize(
    ("zone", "manner"),
    [
        pytest.param({}, BY_SMTP, id="as usual"),
        pytest.param(
            {"host": "relay.test", "lmtp": True}, Manner(is_lmtp=True), id="by LMTP"
        ),
        pytest.param(
            {"host": "relay.test", "auth": RelayLogin(user="ada", token="t0")},
            Manner(credentials=Credentials("ada", token="t0")),
            id="with a token",
        ),
        pytest.param(
            {
                "host": "relay.test",
                "lmtp": True,
                "auth": RelayLogin(user="ada", password=SECRET, method="PLAIN"),
            },
            Manner(
                is_lmtp=True, credentials=Credentials("ada", SECRET, method="PLAIN")
            ),
            id="by LMTP with a password and one method",
        ),
    ],
)
def test_a_zone_says_how_its_relay_is_talked_to(zone, manner):
    """In the words of those who open sessions."""
    assert manner_of(Zone(name="default", **zone)) == manner


def test_the_sandbox_is_no_relay():
    """It speaks SMTP, and hears no password of somebody else."""
    zone = Zone(
        name="default",
        host="relay.test",
        lmtp=True,
        auth=RelayLogin(user="ada", password=SECRET),
    )

    assert manner_of(zone, in_sandbox=True) == BY_SMTP


@pytest.mark.parametrize("name", TimeoutsConfig.model_fields)
@pytest.mark.parametrize("value", ["0s", "0.5s", "25h"])
def test_a_timeout_out_of_range_is_a_mistake(only_problem, name, value):
    """None at all, or one that outlasts a day, is no patience."""
    problem = only_problem(f"timeouts: {{{name}: {value}}}")

    assert f"timeouts.{name}: " in problem


def test_a_timeout_says_its_range(only_problem):
    """In the units of the file."""
    assert only_problem("timeouts: {quit: 2h}") == (
        "zones.yaml:1:18: timeouts.quit: '2h' is out of range; it must be from 1s to 1h"
    )


def test_a_timeout_without_a_unit_is_a_mistake(only_problem):
    """Nobody knows whether seconds or minutes were meant."""
    assert "if seconds are meant, write 30s" in only_problem("timeouts: {mail: 30}")


def test_defaults_are_those_of_the_session():
    """Said twice, in two places, and the same."""
    timeouts = live_timeouts(Live(Config()))

    assert timeouts.current == Timeouts()


def test_timeouts_change_by_a_reload():
    """Whoever opens a session then asks for those in force."""
    config = Live(Config())
    timeouts = live_timeouts(config)
    before = timeouts.current

    text = b"timeouts: {greeting: 7s}"
    config.replace(parse_config("zones.yaml", text, {}))

    assert timeouts.current.greeting == timedelta(seconds=7)
    assert before.greeting == timedelta(minutes=5)
    assert timeouts.current.mail == before.mail
