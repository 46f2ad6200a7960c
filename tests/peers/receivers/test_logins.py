"""Relays of others that want a login: Postfix, which asks a Dovecot, and Exim."""

import pytest

from tests.peers.mails import TRICKY
from tests.peers.receivers.conftest import PASSWORD, USER, WRONG


@pytest.mark.parametrize(
    ("zone", "mechanism"),
    [
        ("plain", "PLAIN"),
        ("scram", "SCRAM-SHA-256"),
        ("postfixcram", "CRAM-MD5"),
        ("postfixlogin", "LOGIN"),
    ],
)
def test_postfix_lets_us_in(servers, submit, zone, mechanism):
    """By each mechanism of Dovecot's, over TLS with a certificate that is checked."""
    given = submit(f"bob@{zone}.test", TRICKY)

    letter = given.arrived(servers["postfix"].mailbox)

    assert letter.body == TRICKY
    logged = f"sasl_method={mechanism}, sasl_username={USER}"
    assert logged in servers["postfix"].log
    assert b"with ESMTPSA id" in letter.header


@pytest.mark.parametrize(
    ("zone", "logged"), [("login", "A=plain_server:"), ("cram", "A=cram_server:")]
)
def test_exim_lets_us_in(servers, submit, zone, logged):
    given = submit(f"bob@{zone}.test", TRICKY)

    letter = given.arrived(servers["exim"].mailbox)

    assert letter.body == TRICKY
    assert f"{logged}{USER}" in servers["exim"].log
    assert b"with esmtpsa" in letter.header


@pytest.mark.parametrize("zone", ["wrongplain", "wrongscram", "eximwrong"])
def test_wrong_password_makes_mail_wait_and_is_told_to_nobody(
    sender, servers, submit, zone
):
    """It is ours to mend, so nothing bounces; neither log nor transcript has it."""
    given = submit(f"bob@{zone}.test", TRICKY)

    attempt = given.tried()

    assert (attempt["state"], attempt["category"]) == ("deferred", "auth")
    assert attempt["code"] == 454
    path = f"/v1/deliveries/{given.id}.001/transcripts"
    told = str(sender.get(path)) + str(attempt)
    for secret in (WRONG, PASSWORD):
        assert secret not in told + sender.log_file.read_text()
