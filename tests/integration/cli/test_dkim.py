"""``mta dkim`` on a real MongoDB and a real DNS."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import cli
from mta.config.signing_key import ED25519, RSA, parse_signing_key
from mta.operate.dkim import make_pem
from mta.policy.dkim import KeyState
from mta.store.dkim_keys import DkimKeys
from mta.store.mongo import Mongo
from tests.support.dns import DnsServer

TODAY = f"{datetime.now(UTC):%Y%m%d}"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer({}) as server:
        yield server


@pytest.fixture
def mta(of_this_test, dns, tmp_path) -> Callable[..., Result]:
    """Runs ``mta dkim ...`` on the test's database and nameserver."""
    (tmp_path / "zones.yaml").write_text(f'dns: {{nameservers: ["{dns.address}"]}}\n')
    return lambda *arguments: CliRunner().invoke(cli, ("dkim", *arguments))


@pytest.fixture
def store(db: Mongo) -> DkimKeys:
    return DkimKeys(db)


def publish(dns, result):
    """Put into DNS what a command has printed in its plain form."""
    lines = result.stdout.splitlines()
    for name, text in zip(lines[::2], lines[1::2], strict=True):
        pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
        quoted = " ".join(f'"{piece}"' for piece in pieces)
        dns.records[name] = [("TXT", quoted)]


def test_a_key_is_made_and_its_record_shown(mta, store):
    """The private half is in MongoDB alone."""
    made = mta("keygen", "Bücher.example")

    assert made.exit_code == 0
    name, text = made.stdout.splitlines()
    assert name == f"r{TODAY}._domainkey.xn--bcher-kva.example"
    (key,) = store.find("xn--bcher-kva.example")
    assert (key.state, key.algorithm) == (KeyState.PENDING, RSA)
    assert text == f"v=DKIM1; k=rsa; p={key.public}"
    assert "PRIVATE" not in made.output
    assert "signs once the scheduler has seen it" in made.stderr


def test_a_selector_can_be_chosen_once(mta):
    first = mta("keygen", "a.test", "--selector", "S1", "--algorithm", "ed25519")
    second = mta("keygen", "a.test", "--selector", "s1", "--algorithm", "ed25519")

    assert first.stdout.startswith("s1._domainkey.a.test\nv=DKIM1; k=ed25519; p=")
    assert second.exit_code == 1
    assert "there is a key s1._domainkey.a.test already" in second.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("keygen", "*.a.test"),
        ("keygen", "a@b.test"),
        ("keygen", "a.test", "--selector", "s_1"),
        ("keygen", "a.test", "--bits", "1024"),
        ("keygen", "a.test", "--algorithm", "rsa-sha1"),
    ],
)
def test_what_no_key_can_be_made_for(mta, arguments):
    assert mta(*arguments).exit_code == 2


def test_a_key_for_zones_yaml_goes_to_a_file_of_its_own(mta, store, tmp_path):
    """Which only its owner can read, and which is not there yet."""
    path = tmp_path / "key.pem"

    made = mta("keygen", "a.test", "--selector", "s1", "--out", str(path))
    again = mta("keygen", "a.test", "--selector", "s1", "--out", str(path))

    assert made.exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    key = parse_signing_key(path.read_bytes())
    assert made.stderr == (f"s1._domainkey.a.test\nv=DKIM1; k=rsa; p={key.public}\n")
    assert again.exit_code == 1
    assert "File exists" in again.stderr
    assert store.find() == []


def test_a_key_for_elsewhere_goes_to_stdout(mta):
    made = mta("keygen", "a.test", "--algorithm", "ed25519", "--out", "-")

    key = parse_signing_key(made.stdout.encode())
    assert key.algorithm == ED25519
    assert f"p={key.public}" in made.stderr


def test_records_for_a_zone_file(mta):
    """No string is longer than 255 octets, and together they are the record."""
    made = mta("keygen", "a.test", "--selector", "s1")
    mta("keygen", "a.test", "--selector", "s2", "--algorithm", "ed25519")

    shown = mta("dns", "a.test", "--selector", "s1", "--format", "bind")

    first, *strings = shown.stdout.splitlines()
    assert first == "s1._domainkey.a.test. 3600 IN TXT ("
    pieces = [string.strip(' ")') for string in strings]
    assert max(map(len, pieces)) <= 255
    assert "".join(pieces) == made.stdout.splitlines()[1]
    assert len(json.loads(mta("dns", "a.test", "--json").stdout)) == 2
    assert mta("dns", "a.test").stdout.startswith(made.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("dns", "a.test"),
        ("verify", "a.test"),
        ("list", "a.test"),
        ("remove", "a.test", "s1", "--yes"),
    ],
)
def test_a_domain_without_a_key(mta, arguments):
    result = mta(*arguments)

    assert result.exit_code == 3
    assert "a.test" in result.stderr


def test_verify_asks_our_nameservers(mta, dns):
    made = mta("keygen", "a.test", "--selector", "s1")
    before = mta("verify", "a.test")
    publish(dns, made)
    after = mta("verify")
    dns.records["s1._domainkey.a.test"] = [("TXT", '"v=DKIM1; p=QUJD"')]
    other = mta("verify", "--json")

    assert (before.exit_code, after.exit_code, other.exit_code) == (1, 0, 1)
    assert before.stdout == "s1._domainkey.a.test  pending  there is no record\n"
    assert after.stdout == "s1._domainkey.a.test  pending  ok\n"
    (document,) = json.loads(other.stdout)
    assert document["problem"] == "the record has another key"


def test_keys_of_zones_yaml_are_shown_and_checked(mta, dns, tmp_path):
    path = tmp_path / "key.pem"
    made = mta("keygen", "a.test", "--selector", "s1", "--out", str(path))
    with (tmp_path / "zones.yaml").open("a") as file:
        file.write(f"dkim: {{keys: {{a.test: [{{selector: s1, path: {path}}}]}}}}\n")

    shown, verified = mta("dns", "a.test"), mta("verify", "a.test")

    assert shown.stdout == made.stderr
    assert verified.stdout == "s1._domainkey.a.test  zones.yaml  there is no record\n"
    assert mta("list").stdout == "s1._domainkey.a.test  rsa  signs, of zones.yaml\n"
    path.chmod(0o644)
    assert f"{path} is open to others" in mta("list").stderr


def test_rotation_on_the_command_line(mta, store, dns):
    """Made, shown in the list, and not made twice."""
    mta("keygen", "a.test", "--selector", "s1", "--algorithm", "ed25519")
    early = mta("rotate", "a.test")
    (old,) = store.find("a.test")
    store.change(old, KeyState.ACTIVE, datetime(2026, 3, 1, tzinfo=UTC))

    made = mta("rotate", "a.test")
    listed = mta("list", "a.test")

    assert early.exit_code == 1
    assert "has no active key in MongoDB; mta dkim keygen makes one" in early.stderr
    assert made.stdout.startswith(f"e{TODAY}._domainkey.a.test\nv=DKIM1; k=ed25519")
    first, second = listed.stdout.splitlines()
    assert first == "s1._domainkey.a.test  ed25519  active: signs since 2026-03-01"
    assert "pending: made" in second
    assert mta("rotate", "a.test").exit_code == 1


def test_the_list_tells_how_long_records_must_stay(mta, store):
    mta("keygen", "a.test", "--selector", "s1", "--algorithm", "ed25519")
    for state in (KeyState.ACTIVE, KeyState.RETIRING):
        (key,) = store.find("a.test")
        store.change(key, state, datetime(2026, 3, 1, tzinfo=UTC))
    retiring = mta("list")
    (key,) = store.find("a.test")
    store.change(key, KeyState.RETIRED, datetime(2026, 3, 8, tzinfo=UTC))

    retired = mta("list")

    assert "retiring: keep its record until 2026-03-08" in retiring.stdout
    assert "retired: its record may go since 2026-03-08" in retired.stdout
    (document,) = json.loads(mta("list", "--json").stdout)
    assert (document["state"], document["selector"]) == ("retired", "s1")
    assert "private" not in str(document)


def test_a_key_is_removed_at_once(mta, store):
    mta("keygen", "a.test", "--selector", "s1", "--algorithm", "ed25519")

    result = mta("remove", "a.test", "s1", "--yes")

    assert result.exit_code == 0
    assert store.find() == []


def test_no_command_shows_a_private_key(mta, store):
    """Its text is in MongoDB, and there alone."""
    mta("keygen", "a.test", "--selector", "s1", "--algorithm", "ed25519")
    (key,) = store.find()
    store.change(key, KeyState.ACTIVE, datetime(2026, 3, 1, tzinfo=UTC))
    (secret,) = store.active("a.test")
    body = secret.pem.splitlines()[1].decode()

    shown = "".join(
        mta(*arguments).output
        for arguments in (
            ("list",),
            ("list", "--json"),
            ("dns", "a.test"),
            ("dns", "a.test", "--json"),
            ("verify", "a.test", "--json"),
        )
    )

    assert len(body) > 40
    assert body not in shown


def test_the_file_is_checked_with_its_keys(mta, tmp_path):
    """`mta check` names the line, and warns of a short key."""
    path = tmp_path / "key.pem"
    path.write_bytes(make_pem(RSA, 1024))
    path.chmod(0o600)
    (tmp_path / "zones.yaml").write_text(
        f"dkim:\n  keys:\n    a.test:\n      - {{selector: s1, path: {path}}}\n"
    )

    warned = CliRunner().invoke(cli, ("check",))
    path.chmod(0o604)
    refused = CliRunner().invoke(cli, ("check",))

    assert warned.exit_code == 0
    assert (
        "warning: zones.yaml:4:1: dkim.keys.a.test.s1: has 1024 bits" in warned.stderr
    )
    assert refused.exit_code == 2
    assert f"zones.yaml:4:1: dkim.keys.a.test.s1: {path} is open" in refused.stderr
