"""What EHLO offers and what a server offered."""

from mta.reply import parse_reply
from mta.smtp.extensions import parse_ehlo_reply


def a_reply(*lines):
    return parse_reply([line.encode() for line in lines])


def test_first_line_is_a_name():
    """A server called SIZE offers no SIZE."""
    assert parse_ehlo_reply(a_reply("250 SIZE 1000")) == {}


def test_keywords_are_upper_case():
    """RFC 5321 §2.4: keywords have no case."""
    assert parse_ehlo_reply(a_reply("250-mx", "250 StartTls")) == {"STARTTLS": ""}


def test_old_form_of_auth():
    """Servers from before RFC 2554 put an equals sign in place of the blank."""
    reply = a_reply("250-mx", "250-AUTH=LOGIN PLAIN", "250 AUTH CRAM-MD5")

    assert parse_ehlo_reply(reply) == {"AUTH": "LOGIN PLAIN"}


def test_lines_that_are_no_extension_are_skipped():
    """Greetings and worse are found in the wild."""
    reply = a_reply("250-mx", "250-", "250-*** welcome ***", "250 SIZE")

    assert parse_ehlo_reply(reply) == {"SIZE": ""}
