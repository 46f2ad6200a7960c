"""What our server says, line by line."""

import pytest

from mta.reply import make_reply
from mta.smtp.events import ContentEnded, ContentStarted, MailReceived, RcptReceived

HELLO = """
    S: 220 mx.test ESMTP ready
    C: EHLO client.test
    S*: 250
"""


def test_a_message_from_greeting_to_goodbye(talk):
    """The whole of RFC 5321 appendix D.1."""
    it = talk(
        HELLO
        + """
    C: MAIL FROM:<ada@example.test> SIZE=100 BODY=8BITMIME
    S: 250 2.1.0 OK
    C: RCPT TO:<Bob@EXAMPLE.test>
    S: 250 2.1.5 OK
    C: DATA
    S: 354 End data with <CR><LF>.<CR><LF>
    C: Subject: hello
    C:
    C: ..dot
    C: .
    S: 250 2.0.0 Message queued as 1
    C: QUIT
    S: 221 2.0.0 Bye
    """
    )

    [(started, content)] = it.taken
    assert content == b"Subject: hello\r\n\r\n.dot\r\n"
    assert started.reverse_path == "ada@example.test"
    assert started.recipients == ("Bob@example.test",)
    assert (started.protocol, started.helo) == ("ESMTP", "client.test")
    assert started.mail.body_8bit
    assert not started.mail.smtputf8
    assert it.has_ended


def test_null_reverse_path_is_accepted(talk):
    """MAIL FROM:<> is how DSNs travel; refusing it loses bounces (RFC 5321 §4.5.5)."""
    talk(
        """
        S: 220 *
        C: EHLO client.test
        S*: 250
        C: MAIL FROM:<>
        S: 250 2.1.0 *
        C: RCPT TO:<ada@example.test>
        S: 250 2.1.5 *
        """
    )


def test_helo_gets_one_line(talk):
    """RFC 5321 §4.1.1.1: HELO knows no extensions; the mail is "with SMTP"."""
    it = talk(
        """
        S: 220 *
        C: helo client.test
        S: 250 mx.test
        C: mail from:<ada@example.test>
        S: 250 2.1.0 *
        C: rcpt to:<bob@example.test>
        S: 250 2.1.5 *
        C: data
        S: 354 *
        C: .
        S: 250 2.0.0 *
        """
    )

    [(started, content)] = it.taken
    assert started.protocol == "SMTP"
    assert content == b""


def test_commands_that_need_no_hello(talk):
    """RFC 5321 §4.1.4: these work from the first moment."""
    talk(
        """
        S: 220 *
        C: NOOP
        S: 250 2.0.0 *
        C: NOOP any string
        S: 250 2.0.0 *
        C: RSET
        S: 250 2.0.0 *
        C: HELP
        S: 214 2.0.0 *
        C: VRFY ada
        S: 252 2.0.0 *
        C: QUIT
        S: 221 2.0.0 *
        """
    )


def test_commands_out_of_sequence(talk):
    """503, and 554 for content that is for nobody (RFC 5321 §3.3, §4.1.4)."""
    talk(
        """
        S: 220 *
        C: MAIL FROM:<ada@example.test>
        S: 503 5.5.1 *
        C: RCPT TO:<bob@example.test>
        S: 503 5.5.1 *
        C: DATA
        S: 503 5.5.1 *
        C: HELO client.test
        S: 250 mx.test
        C: RCPT TO:<bob@example.test>
        S: 503 5.5.1 *
        C: DATA
        S: 503 5.5.1 *
        C: MAIL FROM:<ada@example.test>
        S: 250 2.1.0 *
        C: MAIL FROM:<eve@example.test>
        S: 503 5.5.1 *
        C: DATA
        S: 554 5.5.1 *
        """
    )


@pytest.mark.parametrize("command", ["RSET", "HELO client.test", "EHLO client.test"])
def test_transaction_is_given_up(peer, command):
    """RSET and a second hello forget it (RFC 5321 §4.1.1.5, §4.1.4)."""
    it = peer()
    it.send(b"EHLO a\r\nMAIL FROM:<ada@example.test>\r\nRCPT TO:<bob@example.test>\r\n")

    assert it.send(command.encode() + b"\r\n")[-1].startswith("250")
    assert it.resets == 1
    assert it.send(b"RCPT TO:<bob@example.test>\r\n") == ["503 5.5.1 Send MAIL first"]


def test_two_messages_in_one_session(peer):
    """Nothing of the first is left for the second."""
    it = peer()
    group = b"MAIL FROM:<>\r\nRCPT TO:<%b@example.test>\r\nDATA\r\n%b\r\n.\r\n"
    it.send(b"EHLO client.test\r\n")
    it.send(group % (b"ada", b"one"))
    it.send(group % (b"bob", b"two"))

    facts = [(started.recipients, content) for started, content in it.taken]
    assert facts == [
        (("ada@example.test",), b"one\r\n"),
        (("bob@example.test",), b"two\r\n"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "RSET now",
        "QUIT now",
        "DATA now",
        "VRFY",
        "EHLO",
        "HELO",
        "MAIL",
        "MAIL ada@example.test",
        "MAIL FROM:<ada@example.test> SIZE=x",
    ],
)
def test_bad_arguments_are_501(peer, line):
    """And the session goes on."""
    it = peer()
    it.send(b"HELO client.test\r\n")

    [reply] = it.send(line.encode() + b"\r\n")

    assert reply.startswith(("501 5.5.4 ", "501 5.5.2 "))
    assert it.send(b"NOOP\r\n") == ["250 2.0.0 OK"]


@pytest.mark.parametrize(
    "verb", ["EXPN x", "TURN", "AUTH PLAIN", "STARTTLS", "XCLIENT"]
)
def test_commands_we_do_not_have_are_502(peer, verb):
    """RFC 5321 §4.2.4: known, but not here."""
    assert peer().send(verb.encode() + b"\r\n") == ["502 5.5.1 Command not implemented"]


@pytest.mark.parametrize("line", ["", " NOOP", "FOO", "NOOPS"])
def test_unknown_commands_are_500(peer, line):
    """RFC 5321 §4.2.4, and nobody may tell us who they are."""
    assert peer().send(line.encode() + b"\r\n") == ["500 5.5.2 Command not recognized"]


def test_tenth_unknown_command_is_the_last(peer):
    """Who does not speak SMTP is not here to send mail."""
    it = peer()

    replies = it.send(b"FOO\r\n" * 12)

    assert [reply[:3] for reply in replies] == ["500"] * 9 + ["421"]
    assert it.has_ended


def test_fruitless_commands_come_to_an_end(peer):
    """A flood of NOOP is no use to anybody (X03)."""
    it = peer()

    replies = it.send(b"NOOP\r\n" * 200)

    assert [reply[:3] for reply in replies] == ["250"] * 99 + ["421"]


def test_http_is_sent_away_at_once(peer):
    """None of a browser's header lines is executed as SMTP (C28)."""
    it = peer()

    replies = it.send(b"POST / HTTP/1.1\r\nHELO x\r\nMAIL FROM:<>\r\n")

    assert replies == ["421 4.7.0 This is SMTP, not HTTP"]
    assert it.has_ended


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (
            b"EHLO a\x00b\r\n",
            "501 5.5.2 Control characters are not allowed in commands",
        ),
        (b"EHLO a\rb\r\n", "501 5.5.2 Control characters are not allowed in commands"),
        (b"NOOP " + b"x" * 13_000 + b"\r\n", "500 5.5.2 Line too long"),
    ],
)
def test_bad_lines_cost_one_reply(peer, line, reply):
    """And nothing of them comes back to the client or into a log."""
    it = peer()

    assert it.send(line + b"NOOP\r\n") == [reply, "250 2.0.0 OK"]


def test_bare_lf_ends_the_session(peer):
    """What follows it may be a second command, smuggled in (SM90)."""
    it = peer()

    replies = it.send(b"MAIL FROM:<ada@example.test>\nRCPT TO:<x@y.test>\r\nNOOP\r\n")

    assert replies == ["521 5.5.2 Lines end with CRLF, not with LF alone"]
    assert it.has_ended


def test_replies_come_in_order(peer):
    """One group, one piece of replies, errors in their place (RFC 2920 §3.2)."""
    it = peer()
    it.send(b"EHLO client.test\r\n")

    replies = it.send(
        b"MAIL FROM:<ada@example.test>\r\nRCPT TO:<bad>\r\nFOO\r\n"
        b"RCPT TO:<bob@example.test>\r\nRSET\r\nNOOP\r\nQUIT\r\nNOOP\r\n"
    )

    codes = [reply[:3] for reply in replies]
    assert codes == ["250", "553", "500", "250", "250", "250", "221"]


def test_group_with_content_is_one_message(peer):
    """A client that does not wait for 354 is out of line, but clear (P05)."""
    it = peer()

    replies = it.send(
        b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
        b"MAIL FROM:<>\r\n.\r\nQUIT\r\n"
    )

    assert [reply[:4] for reply in replies[-5:]] == [
        "250 ",
        "250 ",
        "354 ",
        "250 ",
        "221 ",
    ]
    assert [content for _, content in it.taken] == [b"MAIL FROM:<>\r\n"]


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 30 FIRST\r\n"])
def test_content_that_was_refused_is_not_executed(peer, command):
    """What came along with it can only be content: the session ends (B01)."""
    it = peer()
    it.send(b"EHLO client.test\r\n")

    replies = it.send(command + b"MAIL FROM:<eve@example.test>\r\nQUIT\r\n")

    assert [reply[:3] for reply in replies][1:] == ["421"]
    assert it.has_ended


def test_a_chunk_that_was_refused_is_skipped_to_the_octet(peer):
    """Its length is known; what follows is a command again (B01)."""
    it = peer()
    it.send(b"EHLO client.test\r\n")

    replies = it.send(b"BDAT 30 LAST\r\nMAIL FROM:<eve@example.test>\r\nQUIT\r\n")

    assert [reply[:3] for reply in replies] == ["503", "221"]


def test_announced_size_over_the_limit(talk):
    """RFC 1870 §6.1: refused at MAIL, which leaves no transaction open."""
    talk(
        HELLO
        + """
    C: MAIL FROM:<ada@example.test> SIZE=101
    S: 552 5.3.4 Message too big: the limit is 100 octets
    C: RCPT TO:<bob@example.test>
    S: 503 5.5.1 *
    C: MAIL FROM:<ada@example.test> SIZE=99999999999999999999
    S: 552 5.3.4 *
    C: MAIL FROM:<ada@example.test> SIZE=100
    S: 250 2.1.0 *
    """,
        max_size=100,
    )


def test_counted_size_over_the_limit(peer):
    """RFC 1870 §6.3: read to the end, refused with both figures, forgotten."""
    it = peer(max_size=100)
    it.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")

    assert it.send(b"x" * 98) == []
    assert it.send(b"x" * 98 + b"\r\nQUIT\r\n") == []
    assert it.resets == 1
    assert it.send(b".\r\nNOOP\r\n") == [
        "552 5.3.4 Message too big: 204 octets, the limit is 100",
        "250 2.0.0 OK",
    ]
    assert it.taken == []
    assert it.send(b"DATA\r\n") == ["503 5.5.1 Send MAIL first"]


def test_content_at_the_limit_is_taken(peer):
    """The CRLF of the last line counts, the dots of transparency do not."""
    it = peer(max_size=100)
    it.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")

    [reply] = it.send(b".." + b"x" * 97 + b"\r\n.\r\n")

    assert reply == "250 2.0.0 Message queued as 1"


def test_too_many_recipients(talk):
    """RFC 5321 §4.5.3.1.10: 452, and those before it stay."""
    it = talk(
        HELLO
        + """
    C: MAIL FROM:<ada@example.test>
    S: 250 2.1.0 *
    C: RCPT TO:<a@example.test>
    C: RCPT TO:<b@example.test>
    C: RCPT TO:<c@example.test>
    C: RCPT TO:<A@example.test>
    S: 250 2.1.5 *
    S: 250 2.1.5 *
    S: 452 4.5.3 Too many recipients
    S: 250 2.1.5 *
    C: DATA
    S: 354 *
    C: .
    S: 250 2.0.0 *
    """,
        max_recipients=2,
    )

    [(started, _)] = it.taken
    assert started.recipients == ("A@example.test", "b@example.test")


def test_recipients_past_the_limit_do_not_end_the_session(peer):
    """A client with a long list sends the rest in another transaction."""
    it = peer(max_recipients=100)
    it.send(b"EHLO a\r\nMAIL FROM:<>\r\n")

    lines = b"".join(b"RCPT TO:<%d@example.test>\r\n" % n for n in range(5000))
    codes = [reply[:9] for reply in it.send(lines)]

    assert codes == ["250 2.1.5"] * 100 + ["452 4.5.3"] * 4900


def test_address_beyond_ascii(talk):
    """RFC 6531: 553 5.6.7 without SMTPUTF8; with it, "with UTF8SMTP"."""
    it = talk(
        HELLO
        + r"""
    C: MAIL FROM:<zo\xc3\xab@example.test>
    S: 553 5.6.7 *
    C: MAIL FROM:<ada@example.test>
    S: 250 2.1.0 *
    C: RCPT TO:<zo\xc3\xab@b\xc3\xbccher.test>
    S: 553 5.6.7 *
    C: RSET
    S: 250 2.0.0 *
    C: MAIL FROM:<zo\xc3\xab@example.test> SMTPUTF8
    S: 250 2.1.0 *
    C: RCPT TO:<ada@b\xc3\xbccher.test>
    S: 250 2.1.5 *
    C: RCPT TO:<ada@\xcc\x88.test>
    S: 553 5.1.3 *
    C: DATA
    S: 354 *
    C: .
    S: 250 2.0.0 *
    """
    )

    [(started, _)] = it.taken
    assert started.protocol == "UTF8SMTP"
    assert started.mail.smtputf8
    assert started.reverse_path == "zoë@example.test"
    assert started.recipients == ("ada@xn--bcher-kva.test",)


def test_postmaster_is_ours(peer):
    """RFC 5321 §4.5.1: without a domain it is the one of this host."""
    it = peer()
    it.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n.\r\n")

    [(started, _)] = it.taken
    assert started.recipients == ("Postmaster@mx.test",)


@pytest.mark.parametrize(
    ("question", "codes"),
    [
        (MailReceived, ["550", "503", "503"]),
        (RcptReceived, ["250", "550", "554"]),
        (ContentStarted, ["250", "250", "550"]),
    ],
)
def test_driver_may_refuse_at_every_step(peer, question, codes):
    """What follows finds the state as if the command had not been sent."""
    it = peer({question: make_reply(550, "5.7.1", "Not for us")})
    it.send(b"EHLO client.test\r\n")

    replies = it.send(b"MAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")

    assert [reply[:3] for reply in replies] == codes
    assert it.send(b"RSET\r\n") == ["250 2.0.0 OK"]


def test_driver_may_refuse_the_message(peer):
    """The next transaction starts afresh."""
    it = peer({ContentEnded: make_reply(451, "4.3.0", "Try later")})
    it.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")

    assert it.send(b"x\r\n.\r\n") == ["451 4.3.0 Try later"]
    assert it.send(b"MAIL FROM:<>\r\n") == ["250 2.1.0 OK"]


def test_421_ends_the_session(peer):
    """RFC 5321 §3.8: the server says 421 and closes."""
    it = peer({RcptReceived: make_reply(421, "4.3.2", "Going down")})

    replies = it.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nNOOP\r\n")

    assert replies[-1] == "421 4.3.2 Going down"
    assert it.has_ended


def test_replies_from_elsewhere_keep_the_rules(peer):
    """An enhanced status is added, long lines are cut (RFC 2034, §4.5.3.1.5)."""
    it = peer({RcptReceived: make_reply(550, None, "x" * 600, "é")})
    it.send(b"EHLO a\r\nMAIL FROM:<>\r\n")

    first, second = it.send(b"RCPT TO:<a@b.test>\r\n")

    assert first.startswith("550-5.0.0 xxx")
    assert len(first) == 510
    assert second == "550 5.0.0 \\xe9"


def test_all_replies_fit_and_carry_a_status(peer):
    """RFC 2034 §4: every reply of ours but greeting, HELO and EHLO has one."""
    it = peer()
    script = (
        b"VRFY a\r\nEXPN a\r\nHELP\r\nNOOP\r\nRSET x\r\nFOO\r\nMAIL\r\nDATA\r\n"
        b"EHLO\r\n\x00\r\n" + b"y" * 5000 + b"\r\nBDAT 1\r\n"
    )

    for reply in it.send(script):
        code, status, _ = reply.split(" ", 2)
        assert status.split(".")[0] == code[0]
