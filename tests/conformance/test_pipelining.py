"""Several commands in one go: replies in their order, and none to what was not read."""

import pytest

from tests.conformance.harness import Case, each

GROUP = b"MAIL FROM:<ada@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"


@each(
    Case(
        "2920 3.1",
        "a transaction in one go",
        """
        MAIL FROM:<ada@example.test>
        RCPT TO:<bob@example.test>
        RCPT TO:<cy@example.test>
        DATA -> 250 2.1.0, 250 2.1.5, 250 2.1.5, 354
        . -> 250 2.0.0
        """,
        takes={"recipients": ["bob@example.test", "cy@example.test"]},
    ),
    Case(
        "2920 3.2",
        "errors have their place in the order",
        """
        NOOP
        MAIL FROM:<ada@example.test>
        RCPT TO:<bob>
        XYZZY
        RCPT TO:<nobody@example.test>
        MAIL FROM:<eve@example.test>
        VRFY bob
        RSET -> 250 2.0.0, 250 2.1.0, 553, 500, 550 5.1.1, 503, 252, 250 2.0.0
        """,
    ),
    Case(
        "2920 3.1",
        "every recipient was refused",
        """
        MAIL FROM:<ada@example.test>
        RCPT TO:<nobody@example.test>
        DATA -> 250, 550, 554 5.5.1
        RSET -> 250
        """,
    ),
    Case(
        "2920 3.1",
        "the sender was refused",
        """
        MAIL FROM:<ada>
        RCPT TO:<bob@example.test>
        DATA -> 501, 503, 503
        """,
    ),
    Case(
        "2920 3.1",
        "the next transaction comes along with the end of this one",
        """
        @content
        first
        .
        MAIL FROM:<eve@example.test>
        RCPT TO:<cy@example.test>
        DATA -> 250 2.0.0, 250 2.1.0, 250 2.1.5, 354
        second
        .
        QUIT -> 250 2.0.0, 221, EOF
        """,
        takes=({"content": "first\r\n"}, {"content": "second\r\n"}),
    ),
    Case(
        "2920 3.1",
        "content that did not wait for 354",
        """
        MAIL FROM:<ada@example.test>
        RCPT TO:<bob@example.test>
        DATA
        MAIL FROM:<eve@example.test>
        RSET
        .
        NOOP -> 250, 250, 354, 250 2.0.0, 250 2.0.0
        """,
        takes={"content": "MAIL FROM:<eve@example.test>\r\nRSET\r\n"},
    ),
    Case(
        "2920 3.1",
        "content that did not wait for a refusal",
        """
        MAIL FROM:<ada@example.test>
        RCPT TO:<nobody@example.test>
        DATA
        MAIL FROM:<eve@example.test>
        RCPT TO:<victim@example.test>
        DATA
        . -> 250, 550, 554, 421 4.5.0, EOF
        """,
    ),
    Case(
        "2920 3.1",
        "EHLO in the middle of a group",
        """
        NOOP
        EHLO client.test
        MAIL FROM:<ada@example.test> -> 250 2.0.0, 250 mx.test, 250 2.1.0
        """,
    ),
    Case(
        "2920 3.1",
        "everything at once",
        """
        EHLO client.test
        MAIL FROM:<ada@example.test>
        RCPT TO:<bob@example.test>
        DATA
        hello
        .
        QUIT -> 250 mx.test, 250, 250, 354, 250, 221, EOF
        """,
        takes={"content": "hello\r\n"},
        hello="",
    ),
    Case(
        "5321 4.1.1.10",
        "nothing is executed after QUIT",
        """
        QUIT
        MAIL FROM:<ada@example.test>
        NOOP -> 221 2.0.0, EOF
        """,
    ),
    Case(
        "2920 3.2",
        "a hundred commands in one go",
        "@envelope\n"
        + "RCPT TO:<bob@example.test>\n" * 99
        + "RSET -> "
        + "250 2.1.5, " * 99
        + "250 2.0.0",
    ),
    Case(
        "2920 3.1",
        "chunks along with their envelope",
        """
        MAIL FROM:<ada@example.test>
        RCPT TO:<bob@example.test>
        BDAT 7
        hello
        BDAT 0 LAST
        NOOP -> 250, 250, 250, 250 2.0.0, 250 2.0.0
        """,
        takes={"content": "hello\r\n"},
    ),
    Case(
        "5321 3.8",
        "a command that is disabled, in the middle of a group",
        "HELP\nNOOP -> 502 5.5.1, 250 2.0.0",
        server="bare",
    ),
)
def test_groups(play, case):
    """RFC 2920 §3.2: one reply for each command, in the order of the commands."""
    play(case)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_however_the_octets_are_cut(connect, servers, size):
    """RFC 2920 §3: commands are lines, and not packets."""
    client = connect("plain").greeted()
    data = GROUP + b"hello\r\n..\r\n.\r\nNOOP\r\n"

    for start in range(0, len(data), size):
        client.send(data[start : start + size])

    for wanted in ("250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "250 2.0.0"):
        client.expect(wanted)
    assert servers("plain").tell().message["content"] == "hello\r\n.\r\n"


def test_a_client_that_does_not_read_gets_its_replies(connect):
    """RFC 2920 §3.2: the server must not lose a reply, however many there are."""
    client = connect("plain").greeted()
    client.say("MAIL FROM:<ada@example.test>")

    client.send(b"RCPT TO:<nobody@example.test>\r\n" * 5000)

    for _ in range(5000):
        client.expect("550 5.1.1")
    client.play("RSET -> 250")
