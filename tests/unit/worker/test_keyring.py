"""Which keys sign for a domain, and what becomes of files that change."""

import logging

import pytest

from mta.config.live import Live
from mta.config.signing_key import ED25519
from mta.config.zones import DkimConfig, DkimKey
from mta.errors import KeyUnusable
from mta.operate.dkim import make_pem
from mta.store.dkim_keys import SecretKey
from mta.worker.keyring import KNOWN_FOR_S, LOOK_EVERY_S, Keyring


class Stored:
    """Keys in MongoDB, by domain; counts how often it is asked."""

    def __init__(self, **keys):
        self.keys = {name.replace("_", "."): pem for name, pem in keys.items()}
        self.asked = 0

    def active(self, domain):
        self.asked += 1
        pem = self.keys.get(domain)
        if pem is None:
            return ()
        return (SecretKey(f"m1._domainkey.{domain}", domain, "m1", pem),)


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def key_file(tmp_path):
    def write(name="key.pem", content=None):
        path = tmp_path / name
        path.write_bytes(content or make_pem(ED25519, 0))
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def keyring(clock):
    def build(keys, stored=None):
        build.config = Live(DkimConfig(keys=keys))
        return Keyring(build.config, stored or Stored(), monotonic=lambda: clock[0])

    return build


def said(path, selector="s1", **more):
    return DkimKey(selector=selector, path=str(path), **more)


def names(signers):
    return [f"{signer.selector}@{signer.domain}" for signer in signers]


def test_a_domain_has_the_keys_of_its_name(keyring, key_file):
    """The first one in the file ends on top."""
    path = key_file()
    keys = keyring({"a.test": (said(path, "s1"), said(path, "s2"))})

    assert names(keys.find("a.test")) == ["s1@a.test", "s2@a.test"]
    assert keys.find("b.a.test") == ()


def test_another_domain_may_vouch(keyring, key_file):
    keys = keyring({"news.a.test": (said(key_file(), domain="a.test"),)})

    assert names(keys.find("news.a.test")) == ["s1@a.test"]


def test_the_star_is_for_those_who_have_no_key(keyring, key_file):
    """In their own name, unless it is said in whose."""
    path = key_file()
    both = (said(path, "any"), said(path, "esp", domain="esp.test"))
    keys = keyring(
        {"a.test": (said(path),), "*": both}, Stored(m_test=make_pem(ED25519, 0))
    )

    assert names(keys.find("a.test")) == ["s1@a.test"]
    assert names(keys.find("m.test")) == ["m1@m.test"]
    assert names(keys.find("b.test")) == ["any@b.test", "esp@esp.test"]
    assert names(keys.find("")) == ["esp@esp.test"]


def test_keys_of_the_file_and_of_mongodb_sign_both(keyring, key_file):
    """Who moves from one to the other has both for a time."""
    keys = keyring({"a.test": (said(key_file()),)}, Stored(a_test=make_pem(ED25519, 0)))

    assert names(keys.find("a.test")) == ["s1@a.test", "m1@a.test"]


def test_one_record_is_one_signature(keyring, key_file):
    """The file goes first."""
    stored = Stored(a_test=make_pem(ED25519, 0))
    keys = keyring({"a.test": (said(key_file(), "m1"),)}, stored)

    assert names(keys.find("a.test")) == ["m1@a.test"]


def test_mongodb_is_asked_twice_a_minute(keyring, clock):
    stored = Stored(a_test=make_pem(ED25519, 0))
    keys = keyring({}, stored)

    for _ in range(3):
        keys.find("a.test")
        keys.find("b.test")
    before = stored.asked
    clock[0] += KNOWN_FOR_S
    stored.keys.clear()
    after = keys.find("a.test")

    assert (before, stored.asked, after) == (2, 3, ())


def test_a_stored_key_that_is_none_is_unusable(keyring):
    """Mail has to wait: without it would be sent unsigned."""
    keys = keyring({}, Stored(a_test=b"junk"))

    with pytest.raises(KeyUnusable, match=r"m1._domainkey.a.test in MongoDB is not"):
        keys.find("a.test")


def test_a_file_that_changes_is_read_again(keyring, key_file, clock):
    path = key_file()
    keys = keyring({"a.test": (said(path),)})

    (old,) = keys.find("a.test")
    key_file(content=make_pem(ED25519, 0))
    (same,) = keys.find("a.test")
    clock[0] += LOOK_EVERY_S
    (new,) = keys.find("a.test")

    assert old.key is same.key
    assert new.key.public != old.key.public


def test_a_file_that_is_no_good_any_more_leaves_the_old_key(
    keyring, key_file, clock, caplog
):
    """Said once, and not with each message."""
    path = key_file()
    keys = keyring({"a.test": (said(path),)})
    (old,) = keys.find("a.test")

    path.write_text("half of a key")
    found = []
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            clock[0] += LOOK_EVERY_S
            found += keys.find("a.test")

    assert found == [old] * 3
    assert len(caplog.records) == 1
    assert "is not a private key in PEM" in caplog.text


def test_a_file_that_was_never_any_good_is_read_once_it_is(keyring, key_file, clock):
    """Also if only its mode was wrong, which changes no time."""
    path = key_file()
    path.chmod(0o644)
    keys = keyring({"a.test": (said(path),)})

    with pytest.raises(KeyUnusable, match="is open to others"):
        keys.find("a.test")
    path.chmod(0o600)
    clock[0] += LOOK_EVERY_S

    assert names(keys.find("a.test")) == ["s1@a.test"]


def test_a_reload_forgets_keys_that_are_not_named_any_more(keyring, key_file):
    """Private keys do not stay in memory for nothing."""
    keys = keyring({"a.test": (said(key_file()),)})
    keys.find("a.test")

    keyring.config.replace(DkimConfig(keys={"b.test": (said(key_file(), "s2"),)}))

    assert keys.find("a.test") == ()
    assert names(keys.find("b.test")) == ["s2@b.test"]
    assert [key.selector for key in keys._read] == ["s2"]
