"""The form of commands: verbs, blanks, arguments, and octets that may not be there."""

import pytest

from tests.conformance.harness import Case, each


@each(
    Case("5321 2.4", "verbs in any case", "nOoP -> 250\nrset -> 250\nVrFy bob -> 252"),
    Case(
        "5321 2.4",
        "keywords of arguments in any case",
        """
        mail from:<ada@example.test> body=8bitmime size=10 -> 250
        rcpt to:<bob@example.test> notify=never -> 250
        data -> 354
        . -> 250
        """,
        takes={"body_8bit": True, "notices": {"bob@example.test": [["NEVER"], ""]}},
    ),
    Case(
        "5321 4.1.1",
        "blanks at the end of a line",
        r"""
        NOOP\x20 -> 250
        RSET\x20\x20 -> 250
        MAIL FROM:<ada@example.test>\x20 -> 250
        RCPT TO:<bob@example.test>\x20\x20 -> 250
        DATA\x20 -> 354
        . -> 250
        QUIT\x20 -> 221, EOF
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
    Case("5321 4.2.4", "a verb that nobody knows", "XYZZY -> 500 5.5.2"),
    Case("5321 4.2.4", "a verb with something glued to it", "NOOPS -> 500 5.5.2"),
    Case("5321 4.2.4", "an empty line", r"\r\n\ -> 500 5.5.2"),
    Case("5321 4.2.4", "a blank before the verb", r"\x20NOOP -> 500 5.5.2"),
    Case("5321 4.2.4", "verbs we know and do not have", "EXPN x -> 502\nETRN x -> 502"),
    Case(
        "5321 F.1",
        "verbs of the past",
        "TURN -> 502\nSEND FROM:<a@b.test> -> 502\nSOML -> 502\nSAML -> 502",
    ),
    Case("5321 4.1.1.1", "EHLO without a name", "EHLO -> 501 5.5.4", hello=""),
    Case("5321 4.1.1.1", "HELO without a name", "HELO -> 501 5.5.4", hello=""),
    Case("5321 4.1.1.1", "EHLO with two names", "EHLO a b -> 501 5.5.4", hello=""),
    Case(
        "5321 4.1.3", "EHLO with an IPv4 literal", "EHLO [192.0.2.1] -> 250", hello=""
    ),
    Case(
        "5321 4.1.3",
        "EHLO with an IPv6 literal",
        "EHLO [IPv6:2001:db8::1] -> 250\n@content\n. -> 250",
        takes={"helo": "[IPv6:2001:db8::1]"},
        hello="",
    ),
    Case(
        "6531 3.7.1", "EHLO beyond ASCII", r"EHLO b\xc3\xbccher.test -> 501", hello=""
    ),
    Case("5321 4.1.1.2", "MAIL alone", "MAIL -> 501 5.5.4"),
    Case("5321 4.1.1.2", "MAIL FROM alone", "MAIL FROM: -> 501 5.5.4"),
    Case("5321 4.1.1.2", "MAIL TO", "MAIL TO:<ada@example.test> -> 501 5.5.4"),
    Case("5321 4.1.1.2", "MAIL without a colon", "MAIL FROM <a@b.test> -> 501 5.5.4"),
    Case("5321 4.1.1.2", "MAIL without brackets", "MAIL FROM:a@b.test -> 501 5.5.4"),
    Case(
        "5321 4.1.1.2", "MAIL with half a bracket", "MAIL FROM:<a@b.test -> 501 5.5.4"
    ),
    Case("5321 4.1.1.2", "MAIL with text behind", "MAIL FROM:<a@b.test>x -> 501 5.5.4"),
    Case(
        "5321 4.1.1.2",
        "a parameter without a blank before it",
        "MAIL FROM:<a@b.test>SIZE=1 -> 501 5.5.4",
    ),
    Case("5321 4.1.1.3", "RCPT alone", "MAIL FROM:<> -> 250\nRCPT -> 501 5.5.4"),
    Case(
        "5321 4.1.1.3", "RCPT FROM", "MAIL FROM:<> -> 250\nRCPT FROM:<a@b.test> -> 501"
    ),
    Case(
        "5321 4.1.1.3",
        "two recipients in one command",
        "MAIL FROM:<> -> 250\nRCPT TO:<a@b.test>\\x2c<c@d.test> -> 501 5.5.4",
    ),
    Case(
        "5321 4.1.1.11",
        "a parameter of MAIL that nobody knows",
        "MAIL FROM:<a@b.test> XYZZY=1 -> 555 5.5.4\nRCPT TO:<c@d.test> -> 503 5.5.1",
    ),
    Case(
        "5321 4.1.1.11",
        "a parameter of RCPT that nobody knows",
        """
        @envelope
        RCPT TO:<cy@example.test> XYZZY -> 555 5.5.4
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
    Case(
        "5321 4.1.1.11",
        "parameters of MAIL are not RCPT's",
        "MAIL FROM:<a@b.test> -> 250\nRCPT TO:<c@d.test> SIZE=1 -> 555 5.5.4",
    ),
    Case(
        "5321 4.1.1.11",
        "parameters of RCPT are not MAIL's",
        "MAIL FROM:<a@b.test> NOTIFY=NEVER -> 555 5.5.4",
    ),
    Case("5321 4.1.2", "a parameter twice", "MAIL FROM:<> SIZE=1 SIZE=1 -> 501 5.5.4"),
    Case("5321 4.1.2", "a parameter's value empty", "MAIL FROM:<> SIZE= -> 501 5.5.4"),
    Case("5321 4.1.2", "a parameter without a name", "MAIL FROM:<> =1 -> 501 5.5.4"),
    Case(
        "5321 4.1.2", "a parameter's value with =", "MAIL FROM:<> SIZE=1=2 -> 501 5.5.4"
    ),
    Case("5321 4.1.1.4", "DATA with an argument", "@envelope\nDATA now -> 501 5.5.4"),
    Case("5321 4.1.1.5", "RSET with an argument", "RSET now -> 501 5.5.4"),
    Case(
        "5321 4.1.1.10", "QUIT with an argument", "QUIT now -> 501 5.5.4\nNOOP -> 250"
    ),
    Case("5321 4.1.1.6", "VRFY without an argument", "VRFY -> 501 5.5.4"),
    Case("5321 4.1.1.8", "HELP with an argument", "HELP DATA -> 214 2.0.0"),
    Case("5321 4.1.1.9", "NOOP with any string", 'NOOP "a b" <c> -> 250 2.0.0'),
    Case(
        "5321 3.5.3",
        "VRFY never tells who is here",
        "VRFY bob -> 252\nVRFY nobody -> 252",
    ),
    Case("6531 3.7.4.2", "VRFY beyond ASCII", r"VRFY zo\xc3\xab SMTPUTF8 -> 252 2.0.0"),
    Case(
        "5321 4.1.2", "NUL within a command", r"MAIL FROM:<a\x00@b.test> -> 501 5.5.2"
    ),
    Case(
        "5321 4.1.2", "a tab in place of a blank", r"MAIL\tFROM:<a@b.test> -> 501 5.5.2"
    ),
    Case("5321 4.1.2", "controls within a command", r"NOOP \x1b[31m\x07 -> 501 5.5.2"),
    Case("5321 4.1.2", "DEL within a command", r"VRFY a\x7f -> 501 5.5.2"),
    Case("5321 2.3.8", "CR alone within a command", r"NOOP a\rQUIT -> 501 5.5.2"),
    Case(
        "5321 2.3.8",
        "LF alone ends the session",
        r"MAIL FROM:<a@b.test>\nRCPT TO:<c@d.test> -> 521 5.5.2, EOF",
    ),
    Case(
        "5321 2.3.8",
        "what follows LF alone is not executed",
        r"NOOP\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA -> 521 5.5.2, EOF",
    ),
    Case(
        "6531 3.5", "octets that are no UTF-8", r"MAIL FROM:<\xff@b.test> -> 501 5.5.2"
    ),
    Case("5321 2.4", "octets beyond ASCII as a verb", r"\xc3\xa9\xff -> 500 5.5.2"),
    Case("5321 4.2", "a verb is not repeated", r"<script> -> 500 5.5.2 Command not"),
)
def test_syntax(play, case):
    """RFC 5321 §4.2.2: 500 for verbs, 501 for arguments, 502 and 555 if not ours."""
    play(case)


@pytest.mark.parametrize("length", [1, 64, 255])
def test_names_of_any_length_that_a_host_has(connect, length):
    """RFC 5321 §4.5.3.1.2: 255 octets; more is no name."""
    client = connect("plain").greeted("")

    assert client.say("EHLO " + "x" * length).introduces
    assert client.say("EHLO " + "x" * 256).begins("501 5.5.4")


@pytest.mark.parametrize("length", [512, 4096, 12_288])
def test_lines_of_any_length_that_an_extension_asks_for(connect, length):
    """RFC 5321 §4.5.3.1.4 wants 512 octets, CRLF included; RFC 4954 §4 wants 12,288."""
    client = connect("plain").greeted()

    assert client.say("NOOP " + "x" * (length - 7)).begins("250 2.0.0")


def test_a_longer_line_is_refused_once(connect):
    """RFC 5321 §4.5.3.1.9: 500, and the session goes on after it."""
    client = connect("plain").greeted()

    assert client.say("NOOP " + "x" * 12_282).begins("500 5.5.2")
    client.play("NOOP -> 250")


def test_a_line_without_an_end_costs_nothing(connect):
    """RFC 5321 §4.5.3.1.4: 16 MiB of one are dropped as they come (C14)."""
    client = connect("plain").greeted()
    block = b"x" * 1024 * 1024

    for _ in range(16):
        client.send(block)

    client.expect("500 5.5.2")
    client.play(r"\r\nNOOP -> 250")


@pytest.mark.parametrize("verb", ["GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS"])
def test_a_browser_is_turned_away(connect, verb):
    """RFC 5321 §7: not one line of a form's headers and body is executed (C28)."""
    client = connect("plain").greeted("")

    client.send(f"{verb} / HTTP/1.1\r\nNOOP\r\nMAIL FROM:<a@b.test>\r\n\r\n".encode())

    client.expect("421 4.7.0")
    client.expect("EOF")


def test_tls_without_starttls_is_no_command(connect):
    """RFC 3207 §4: a client's first TLS record is junk, and harmless (C31)."""
    client = connect("plain").greeted("")

    client.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n")

    client.expect("501 5.5.2")
    client.play("NOOP -> 250")
