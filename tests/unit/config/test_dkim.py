"""The section `dkim`, and the keys that it names: what is read, and what is refused."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mta.config.difference import compare
from mta.config.dkim import OVERSIGNED, SIGNED, DkimKey
from mta.config.key_files import check_keys, find_short_keys, load_key
from mta.config.signing_key import ED25519, RSA, parse_signing_key, to_pem
from mta.errors import ConfigError
from mta.operate.dkim import make_pem

RSA_2048 = make_pem(RSA, 2048)
ED_KEY = make_pem(ED25519, 0)
ED_RAW = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="


def pem(private, protection=None, form=PrivateFormat.PKCS8):
    return private.private_bytes(Encoding.PEM, form, protection or NoEncryption())


def public_pem():
    private = rsa.generate_private_key(65537, 2048)
    return private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture
def key_file(tmp_path):
    """Write a key; returns its path."""

    def write(content=ED_KEY, mode=0o600, name="key.pem"):
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


def one_key(text):
    return f"dkim:\n  keys:\n    a.test:\n      - {{{text}}}\n"


def test_the_section_is_read(load, key_file):
    config = load(
        f"""
        dkim:
          sign_transport_domain: true
          additional_header_fields: [X-Campaign]
          oversign: [from, X-Campaign]
          signature_expire_in: 7d
          identity: author
          on_failure: send
          keys:
            Bücher.example:
              - {{selector: S1, path: {key_file()}}}
              - {{selector: s2, algorithm: ed25519-sha256, private_key: "${{ED}}"}}
            '*': [{{selector: s3, path: {key_file()}, domain: esp.example}}]
        """,
        ED=ED_RAW,
    ).dkim

    assert config.enabled
    assert config.add_signature_timestamp
    assert config.sign_transport_domain
    assert (config.identity, config.on_failure) == ("author", "send")
    assert config.signature_expire_in == timedelta(days=7)
    assert config.signed_fields == (*SIGNED, "x-campaign")
    assert config.oversign == ("from", "x-campaign")
    first, second = config.keys["xn--bcher-kva.example"]
    assert (first.selector, first.private_key, first.domain) == ("s1", None, None)
    assert load_key(second).algorithm == "ed25519-sha256"
    assert config.keys["*"][0].domain == "esp.example"


def test_nothing_said_means_no_keys(load):
    """Then nothing is signed, until there are some in MongoDB."""
    config = load("dkim: {}").dkim

    assert (config.enabled, dict(config.keys)) == (True, {})
    assert (config.signed_fields, config.oversign) == (SIGNED, OVERSIGNED)
    assert (config.identity, config.on_failure) == ("domain", "defer")


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("dkim: {keys: [a]}", "dkim.keys", "is not a mapping"),
        ("dkim: {key: {}}", "dkim.key", "did you mean 'keys'?"),
        ("dkim: {keys: {a.test: {selector: s}}}", "dkim.keys.a.test", "is not a list"),
        ("dkim: {keys: {a.test: []}}", "dkim.keys.a.test", "has 0 keys"),
        ("dkim: {keys: {a.test: }}", "dkim.keys.a.test", "is not a list"),
        (
            "dkim: {keys: {default: [{selector: s, path: /k}]}}",
            "dkim.keys.default",
            "stand under '*'",
        ),
        (
            "dkim: {keys: {'*.a.test': [{selector: s, path: /k}]}}",
            "dkim.keys.*.a.test",
            "only whole domains are matched",
        ),
        (one_key("path: /k"), "dkim.keys.a.test[0].selector", "is missing"),
        (
            one_key("selector: s_1, path: /k"),
            "dkim.keys.a.test[0].selector",
            "'s_1' is not a selector",
        ),
        (
            one_key("selector: s, path: k.pem"),
            "dkim.keys.a.test[0].path",
            "is not an absolute path",
        ),
        (one_key("selector: s"), "dkim.keys.a.test[0]", "write path: FILE"),
        (
            one_key("selector: s, path: /k, algorithm: rsa-sha1"),
            "dkim.keys.a.test[0].algorithm",
            "is none of 'rsa-sha256' or 'ed25519-sha256'",
        ),
        (
            one_key("selector: s, path: /k, private: x"),
            "dkim.keys.a.test[0].private",
            "did you mean 'private_key'?",
        ),
        (
            one_key(f"selector: s, private_key: {ED_RAW}"),
            "dkim.keys.a.test[0].private_key",
            'must not stand in this file; write "${NAME}"',
        ),
        (
            one_key('selector: s, private_key: "${ED}", path: /k'),
            "dkim.keys.a.test[0].path",
            "is one key, and private_key is another",
        ),
        (
            one_key('selector: s, algorithm: rsa-sha256, private_key: "${ED}"'),
            "dkim.keys.a.test[0].private_key",
            "${ED} is a key for ed25519-sha256, and algorithm says rsa-sha256",
        ),
        (
            one_key('selector: s, private_key: "${BAD}"'),
            "dkim.keys.a.test[0].private_key",
            "${BAD} is not a private key in PEM",
        ),
        (
            "dkim: {header_fields: [to, subject]}",
            "dkim.header_fields",
            "has no From, which every signature covers",
        ),
        (
            "dkim: {header_fields: [from, Received]}",
            "dkim.header_fields[1]",
            "received is never signed",
        ),
        (
            "dkim: {oversign: [from, x-other]}",
            "dkim.oversign[1]",
            "x-other is not signed; add it to additional_header_fields",
        ),
        ("dkim: {signature_expire_in: 60}", "dkim.signature_expire_in", "has no unit"),
        ("dkim: {signature_expire_in: 1m}", "dkim.signature_expire_in", "from 1h"),
        ("dkim: {on_failure: drop}", "dkim.on_failure", "is none of"),
        ("dkim: {enabled: yes}", "dkim.enabled", "is neither true nor false"),
    ],
)
def test_a_mistake_is_told_where_it_is_and_what_would_be_right(
    only_problem, text, path, words
):
    problem = only_problem(text, ED=ED_RAW, BAD="secret-text")

    assert f": {path}: " in problem
    assert words in problem
    assert "secret-text" not in problem
    assert ED_RAW not in problem


def test_one_selector_is_one_key(problems):
    """Its record in DNS holds one."""
    text = "{selector: s, path: /k}"

    (problem,) = problems(f"dkim: {{keys: {{a.test: [{text}, {text}]}}}}")

    assert "dkim.keys.a.test[1].selector: s is the selector of another key" in problem


def test_a_domain_is_there_once(problems):
    text = "[{selector: s, path: /k}]"

    (problem,) = problems(
        f"dkim: {{keys: {{bücher.test: {text}, xn--bcher-kva.test: {text}}}}}"
    )

    assert "which is there in line 1 already" in problem


def test_a_record_name_that_dns_cannot_hold(only_problem):
    long = ".".join(["x" * 60] * 4)

    problem = only_problem(f"dkim: {{keys: {{{long}: [{{selector: s, path: /k}}]}}}}")

    assert "is too long for DNS" in problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a private key in PEM"),
        (b"hello", "is not a private key in PEM"),
        (b"\xff\x00", "is not a private key in PEM"),
        (RSA_2048[:300] + RSA_2048[400:], "is a damaged key"),
        (public_pem(), "is a public key and not a private key"),
        (
            pem(rsa.generate_private_key(65537, 2048), BestAvailableEncryption(b"pw")),
            "is protected by a passphrase",
        ),
        (
            pem(ec.generate_private_key(ec.SECP256R1())),
            "is neither an RSA nor an Ed25519 key",
        ),
        (pem(dsa.generate_private_key(1024)), "is neither an RSA nor an Ed25519 key"),
    ],
    ids=["empty", "text", "octets", "cut", "public", "protected", "ec", "dsa"],
)
def test_a_file_without_a_usable_key(load, key_file, content, words):
    """The line in zones.yaml is named, and the file."""
    path = key_file(content)
    config = load(one_key(f"selector: s1, path: {path}"))

    with pytest.raises(ConfigError) as caught:
        check_keys(config)

    (problem,) = caught.value.problems
    assert str(problem).startswith(f"zones.yaml:4:1: dkim.keys.a.test.s1: {path} ")
    assert words in problem.message


# Made once, by OpenSSL: the library makes no key of 512 bits.
RSA_512 = b"""-----BEGIN RSA PRIVATE KEY-----
MIIBOgIBAAJBAK/3vRSpmIXK1s5G1eU7YVj3mZWq612pxL3AtulTTn2d75G4O0bA
YpuJhs/J3dC/bp5DJPSGx1GUElEd7Fw8SJMCAwEAAQJAQ5hf+sr3OxXjFBQj4E3C
JGHgjpy8kxs+50FbQh/tO9VHeRLqQsgnc9//pUT1ygjzAW+Cd+WdwA373I9oYDTc
4QIhANcS0nEi39JFgVF+jxnFnXDjqcQs1dmJqQX/OvCfpd5jAiEA0XPms47rjc3B
UO7e3p1aVg0k9MsQ+harDn2PGfZarBECIFuSqAeD0ci1z1njiQpwGZj3VlEwxdzZ
wB3NjkrlrroBAiAT3bJcBYpCAOn9CysIYlRXJRgEP950WgIPdclE5SDkgQIhANYB
NT4YJWzRX+6ohD7wcF8QklOrT6AQzCeDUVQuftvp
-----END RSA PRIVATE KEY-----
"""


def test_an_rsa_key_that_anybody_can_break_is_refused(key_file):
    """Below 1024 bits no verifier takes it for valid (RFC 8301 §3.2)."""
    path = key_file(RSA_512)

    with pytest.raises(ValueError, match=f"{path} has 512 bits; an RSA key has 2048"):
        load_key(DkimKey(selector="s", path=str(path)))


def test_a_short_rsa_key_is_warned_of(load, key_file):
    """Below 2048 bits signers should not go (RFC 8301 §3.2)."""
    path = key_file(make_pem(RSA, 1024))
    config = load(one_key(f"selector: s1, path: {path}"))

    check_keys(config)
    (warning,) = find_short_keys(config)

    assert str(warning) == (
        "zones.yaml:4:1: dkim.keys.a.test.s1: has 1024 bits; have at least 2048"
    )


def test_a_long_rsa_key_is_refused(key_file):
    """Who checks signatures need not know it (RFC 8301 §3.2)."""
    with pytest.raises(ValueError, match="has 4104 bits; who checks signatures"):
        parse_signing_key(make_pem(RSA, 4104), is_trusted=True)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o777])
def test_a_file_that_others_can_read_or_change(key_file, mode):
    """Whoever has the key can sign as us."""
    path = key_file(mode=mode)

    with pytest.raises(ValueError, match=f"is open to others; chmod 600 {path}"):
        load_key(DkimKey(selector="s", path=str(path)))


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_a_file_for_its_owner_and_a_group(key_file, mode):
    said = DkimKey(selector="s", path=str(key_file(mode=mode)))

    assert load_key(said).algorithm == ED25519


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        load_key(DkimKey(selector="s", path=str(tmp_path / "none")))
    with pytest.raises(ValueError, match="is not a file"):
        load_key(DkimKey(selector="s", path=str(tmp_path)))


@pytest.mark.parametrize(
    "text",
    [
        RSA_2048,
        RSA_2048.replace(b"\n", b"\\n"),
        b"".join(RSA_2048.split(b"\n")[1:-2]),
        to_pem(rsa.generate_private_key(65537, 2048)),
        pem(
            rsa.generate_private_key(65537, 2048), form=PrivateFormat.TraditionalOpenSSL
        ),
    ],
    ids=["pem", "escaped", "base64", "pkcs8", "pkcs1"],
)
def test_the_forms_of_an_rsa_key(text):
    """Environments seldom hold line ends as they are."""
    assert (parse_signing_key(text).algorithm, parse_signing_key(text).bits) == (
        RSA,
        2048,
    )


@pytest.mark.parametrize("text", [ED_KEY, ED_RAW.encode()])
def test_the_forms_of_an_ed25519_key(text):
    assert parse_signing_key(text).algorithm == ED25519


def test_a_key_shows_nothing_of_itself(load, key_file):
    """Neither in logs, nor when a reload shows what has changed."""
    text = 'selector: s1, private_key: "${ED}"'
    old = load(one_key(text), ED=ED_RAW)
    new = load(one_key(text), ED=ED_KEY.decode())

    shown = f"{old!r} {old.dkim!r} {parse_signing_key(ED_KEY)!r}"
    (change,) = compare(old, new)

    assert ED_RAW not in shown
    assert ED_RAW not in str(change)
    assert "private_key: (secret)" in str(change)
    assert not change.needs_restart


def test_keys_change_without_a_restart(load, key_file):
    old = load(one_key(f"selector: s1, path: {key_file()}"))
    new = load(one_key(f"selector: s2, path: {key_file()}"))

    (change,) = compare(old, new)

    assert change.path == "dkim.keys.a.test"
    assert not change.needs_restart
