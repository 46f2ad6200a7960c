"""Logging in to a next hop: what is said, and what follows from its answers."""

from base64 import b64encode

import pytest

from mta.relay.failures import LoginRefused
from mta.smtp.login_client import Credentials

ADA = Credentials("ada", "secret")
PLAIN = "AUTH PLAIN " + b64encode(b"\0ada\0secret").decode()


def b64(text):
    return b64encode(text.encode()).decode()


def test_plain_is_said_with_the_command(against):
    def act(peer):
        peer.greet("AUTH PLAIN LOGIN")
        peer.hear(PLAIN)
        peer.say("235 2.7.0 welcome")
        peer.hear("QUIT")

    session = against(act)
    session.open(None)

    session.log_in(ADA)

    assert session.is_usable


def test_login_answers_its_questions(against):
    def act(peer):
        peer.greet("AUTH LOGIN")
        peer.hear("AUTH LOGIN")
        peer.say(f"334 {b64('Username:')}")
        peer.hear(b64("ada"))
        peer.say(f"334 {b64('Password:')}")
        peer.hear(b64("secret"))
        peer.say("235 ok")

    session = against(act)
    session.open(None)
    session.log_in(ADA)


def test_what_does_not_fit_a_command_is_said_after_it(against):
    """RFC 4954 §4: the initial response, to an empty challenge."""
    long = Credentials("ada", "s" * 500)

    def act(peer):
        peer.greet("AUTH PLAIN")
        peer.hear("AUTH PLAIN")
        peer.say("334 ")
        peer.hear(b64("\0ada\0" + "s" * 500))
        peer.say("235 ok")

    session = against(act)
    session.open(None)
    session.log_in(long)


@pytest.mark.parametrize(
    "reply", ["535 5.7.8 no", "454 4.7.0 later", "334 bm8=", "250 ?"]
)
def test_a_refusal_makes_mail_wait(against, reply):
    """Also a permanent one: mail must not bounce for a password of ours."""

    def act(peer):
        peer.greet("AUTH PLAIN")
        peer.hear(PLAIN)
        peer.say(reply)
        peer.hear_end()

    session = against(act)
    session.open(None)

    with pytest.raises(LoginRefused) as raised:
        session.log_in(ADA)

    assert (raised.value.reply.code, raised.value.category) == (454, "auth")
    session.close()


def test_without_a_mechanism_in_common_nothing_is_said(against):
    def act(peer):
        peer.greet("AUTH GSSAPI")
        assert peer.hear_end() == b"QUIT\r\n"

    session = against(act)
    session.open(None)

    with pytest.raises(LoginRefused, match="GSSAPI is offered"):
        session.log_in(ADA)
    session.close()


def test_a_server_that_lets_us_in_without_knowing_the_password_is_left(against):
    """SCRAM shows who the server is, too; without that, nothing more is said."""

    def act(peer):
        peer.greet("AUTH SCRAM-SHA-256")
        peer.hear("AUTH SCRAM-SHA-256 *")
        peer.say("235 welcome, whoever you are")
        assert peer.hear_end() == b""

    session = against(act)
    session.open(None)

    with pytest.raises(LoginRefused, match="did not show"):
        session.log_in(ADA)

    assert not session.is_usable
    session.close()


def test_no_secret_is_in_the_transcript(against):
    def act(peer):
        peer.greet("AUTH LOGIN")
        peer.hear("AUTH LOGIN")
        peer.say("334 VXNlcm5hbWU6")
        peer.read_line()
        peer.say("334 UGFzc3dvcmQ6")
        peer.read_line()
        peer.say("535 5.7.8 no")
        peer.hear_end()

    session = against(act)
    session.open(None)

    with pytest.raises(LoginRefused) as raised:
        session.log_in(ADA)

    told = str(raised.value.talk)
    assert "AUTH LOGIN ***" in told
    assert b64("secret") not in told
    assert b64("ada") not in told
    session.close()
