"""Postfix, Exim, OpenSMTPD and Dovecot as our next hops: what lies in the mailbox.

The body there is the one that was submitted, octet by octet, but for the line ends of
the mailbox: see ``mailbox``.
"""

import re

import pytest

from tests.e2e.test_reload import wait_until
from tests.peers.mails import EIGHT_BIT, TRICKY
from tests.peers.receivers.conftest import SERVERS

MIB = 1024 * 1024
LONGEST = b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n" + b"." + b"y" * 997 + b"\r\n"
LARGE = (b".." + b"z" * 74 + b"\r\n") * (3 * MIB // 78)
BODIES = {
    "dots and blanks": TRICKY,
    "lines of 998 octets": LONGEST,
    "empty": b"",
    "one dot": b".\r\n",
    "only line ends": b"\r\n\r\n\r\n",
    "dots in a row": b".\r\n" * 40_000,
    "no line end at the end": b"the end",
    "3 MiB": LARGE,
}
# Of those that mean it: Debian's OpenSMTPD 6.8 cannot do TLS with OpenSSL 3.
ENCRYPTING = ("postfix", "exim")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("server", SERVERS)
def test_body_is_the_one_that_was_submitted(servers, submit, server, body):
    """In clear, by DATA or BDAT."""
    given = submit(f"bob@clear.{server}.test", body)

    letter = given.arrived(servers[server].mailbox)

    assert letter.body == whole_lines(body)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_by_lmtp_is_the_one_that_was_submitted(servers, submit, body):
    given = submit("bob@dovecot.test", body)

    letter = given.arrived(servers["dovecot"].mailbox)

    assert letter.body == whole_lines(body)
    assert b"with LMTP" in letter.header


@pytest.mark.parametrize("level", ["may", "must", "sure"])
@pytest.mark.parametrize("server", ENCRYPTING)
def test_mail_is_encrypted(servers, submit, server, level):
    """Where it is offered, where that is demanded, and where the name is checked."""
    given = submit(f"bob@{level}.{server}.test", LARGE)

    letter = given.arrived(servers[server].mailbox)

    assert letter.body == LARGE
    assert re.search(rb"with ESMTPS id|with esmtps", letter.header)
    assert given.tried()["tls"] == "TLSv1.3"


def test_broken_tls_does_not_keep_mail_that_may_go_in_clear(servers, submit):
    """Debian's OpenSMTPD offers STARTTLS, and no handshake ever succeeds there."""
    given = submit("bob@may.opensmtpd.test", TRICKY)

    letter = given.arrived(servers["opensmtpd"].mailbox)

    assert letter.body == TRICKY
    assert given.tried()["tls"] == ""
    assert "io-error" in servers["opensmtpd"].log


@pytest.mark.parametrize("level", ["must", "sure"])
def test_broken_tls_keeps_mail_that_may_not(servers, submit, level):
    given = submit(f"bob@{level}.opensmtpd.test", TRICKY)

    attempt = given.tried()

    assert (attempt["state"], attempt["category"]) == ("deferred", "policy")
    assert not servers["opensmtpd"].mailbox.has(given.message_id)


@pytest.mark.parametrize("server", [*SERVERS, "dovecot"])
def test_eight_bits_stay_eight_bits(servers, submit, server):
    """All four offer 8BITMIME; nobody re-encodes."""
    given = submit(to(server), EIGHT_BIT, "BODY=8BITMIME")

    letter = given.arrived(servers[server].mailbox)

    assert letter.body == EIGHT_BIT


@pytest.mark.parametrize("server", ENCRYPTING)
def test_addresses_and_fields_beyond_ascii(servers, submit, server):
    """Postfix and Exim offer SMTPUTF8 (RFC 6531)."""
    given = submit(
        f"böb@clear.{server}.test",
        EIGHT_BIT,
        *("SMTPUTF8", "BODY=8BITMIME"),
        fields="Subject: Grüße\r\n".encode(),
        sender="jörg@sender.test",
    )

    letter = given.arrived(servers[server].mailbox)

    assert letter.body == EIGHT_BIT
    assert "\r\nSubject: Grüße".encode() in letter.header
    assert "<jörg@sender.test>".encode() in letter.header


@pytest.mark.parametrize("server", ["opensmtpd", "dovecot"])
def test_who_knows_no_smtputf8_gets_no_such_mail(servers, submit, server):
    """It bounces, with the status that says why (RFC 6531 §3.2)."""
    given = submit(
        to(server).replace("bob", "böb"),
        EIGHT_BIT,
        *("SMTPUTF8", "BODY=8BITMIME"),
        sender="jörg@sender.test",
    )

    delivery = given.finished()

    assert delivery["state"] == "bounced"
    assert "5.6.7" in str(delivery["timeline"])
    assert not servers[server].mailbox.has(given.message_id)


def test_large_mail_goes_to_postfix_in_pieces(servers, submit):
    """CHUNKING: its log counts the commands of each session."""
    given = submit("bob@clear.postfix.test", LARGE)
    assert given.arrived(servers["postfix"].mailbox).body == LARGE

    def pieces() -> list[int]:
        found = re.findall(r"disconnect from .* bdat=(\d+)", servers["postfix"].log)
        return [int(count) for count in found]

    # It counts once the session has ended, which may carry more than one message.
    wait_until(lambda: max(pieces(), default=0) >= 3)


def test_large_mail_goes_to_exim_in_pieces(servers, submit):
    """It marks what came by BDAT with a K."""
    given = submit("bob@clear.exim.test", LARGE)
    assert given.arrived(servers["exim"].mailbox).body == LARGE

    (line,) = (
        line
        for line in servers["exim"].log.splitlines()
        if f"id={given.message_id.decode()[1:-1]} " in line and " <= " in line
    )
    assert " K " in line


def test_commands_go_to_postfix_together(servers, submit, server_tap):
    """PIPELINING: one read gives the whole envelope; with reuse, RSET as well."""
    given = submit("bob@tapped.test", TRICKY)
    assert given.arrived(servers["postfix"].mailbox).body == TRICKY

    (group,) = server_tap.pieces_with("RCPT TO:<bob@tapped.test>")

    assert group.startswith(b"MAIL FROM:<ada@sender.test>")
    assert group.endswith(b"\r\nDATA\r\n")


def to(server: str) -> str:
    return "bob@dovecot.test" if server == "dovecot" else f"bob@clear.{server}.test"


def whole_lines(body: bytes) -> bytes:
    """A text that does not end its last line is given the end that SMTP demands."""
    return body if not body or body.endswith(b"\r\n") else body + b"\r\n"
