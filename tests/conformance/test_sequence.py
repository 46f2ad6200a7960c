"""Which command may come when, and what each of them leaves behind."""

from tests.conformance.harness import Case, each


@each(
    Case("5321 4.1.4", "NOOP before EHLO", "NOOP -> 250 2.0.0", hello=""),
    Case("5321 4.1.4", "RSET before EHLO", "RSET -> 250 2.0.0", hello=""),
    Case("5321 4.1.4", "HELP before EHLO", "HELP -> 214 2.0.0", hello=""),
    Case("5321 4.1.4", "VRFY before EHLO", "VRFY bob -> 252 2.0.0", hello=""),
    Case("5321 4.1.4", "EXPN before EHLO", "EXPN staff -> 502 5.5.1", hello=""),
    Case("5321 4.1.4", "QUIT before EHLO", "QUIT -> 221 2.0.0, EOF", hello=""),
    Case(
        "5321 4.1.4",
        "no mail before EHLO",
        """
        MAIL FROM:<ada@example.test> -> 503 5.5.1
        RCPT TO:<bob@example.test> -> 503 5.5.1
        DATA -> 503 5.5.1
        BDAT 0 LAST -> 503 5.5.1
        """,
        hello="",
    ),
    Case(
        "5321 4.1.4",
        "EHLO once more",
        "EHLO other.test -> 250 mx.test\n@content\n. -> 250 2.0.0",
        takes={"helo": "other.test", "protocol": "ESMTP"},
    ),
    Case(
        "5321 4.1.4",
        "EHLO clears the transaction",
        "@envelope\nEHLO client.test -> 250\nDATA -> 503 5.5.1\nRCPT TO:<> -> 503",
    ),
    Case(
        "5321 4.1.4",
        "HELO clears the transaction, too",
        "@envelope\nHELO client.test -> 250\nDATA -> 503 5.5.1",
    ),
    Case(
        "5321 4.1.1.1",
        "EHLO that is refused changes nothing",
        """
        MAIL FROM:<ada@example.test> -> 250
        EHLO -> 501 5.5.4
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"helo": "client.test", "reverse_path": "ada@example.test"},
    ),
    Case(
        "5321 4.1.1.1",
        "HELO in place of EHLO",
        "@content\nhi\n. -> 250 2.0.0",
        takes={"protocol": "SMTP", "helo": "client.test", "content": "hi\r\n"},
        hello="HELO client.test",
    ),
    Case(
        "5321 3.2",
        "HELO after EHLO was not liked",
        "EHLO -> 501 5.5.4\nHELO client.test -> 250 mx.test\n@content\n. -> 250",
        takes={"protocol": "SMTP"},
        hello="",
    ),
    Case("5321 3.3", "RCPT before MAIL", "RCPT TO:<bob@example.test> -> 503 5.5.1"),
    Case("5321 3.3", "DATA before MAIL", "DATA -> 503 5.5.1"),
    Case(
        "5321 4.1.4",
        "MAIL within a transaction",
        """
        MAIL FROM:<ada@example.test> -> 250
        MAIL FROM:<eve@example.test> -> 503 5.5.1
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"reverse_path": "ada@example.test"},
    ),
    Case(
        "5321 3.3",
        "DATA without a recipient",
        "MAIL FROM:<ada@example.test> -> 250\nDATA -> 554 5.5.1",
    ),
    Case(
        "5321 3.3",
        "DATA after every recipient was refused",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<nobody@example.test> -> 550 5.1.1
        DATA -> 554 5.5.1
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
    Case(
        "5321 3.3",
        "recipients that are refused are left out",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<nobody@example.test> -> 550 5.1.1
        RCPT TO:<bob@example.test> -> 250
        RCPT TO:<busy@example.test> -> 450 4.2.1
        RCPT TO:<cy@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["bob@example.test", "cy@example.test"]},
    ),
    Case(
        "5321 3.3",
        "after a MAIL that was refused",
        "MAIL FROM:<ada> -> 501 5.1.7\nRCPT TO:<bob@example.test> -> 503 5.5.1",
    ),
    Case(
        "5321 4.1.1.4",
        "the buffers are empty after a message",
        """
        @content
        . -> 250 2.0.0
        DATA -> 503 5.5.1
        RCPT TO:<cy@example.test> -> 503 5.5.1
        MAIL FROM:<eve@example.test> -> 250
        RCPT TO:<cy@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes=(
            {"reverse_path": "ada@example.test", "recipients": ["bob@example.test"]},
            {"reverse_path": "eve@example.test", "recipients": ["cy@example.test"]},
        ),
    ),
    Case(
        "5321 4.1.1.5",
        "RSET within a transaction",
        """
        @envelope
        RSET -> 250 2.0.0
        RCPT TO:<cy@example.test> -> 503 5.5.1
        MAIL FROM:<eve@example.test> -> 250
        RCPT TO:<cy@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"reverse_path": "eve@example.test", "recipients": ["cy@example.test"]},
    ),
    Case(
        "5321 4.1.1.5",
        "RSET keeps what EHLO said",
        "RSET -> 250\nRSET -> 250\n@content\n. -> 250",
        takes={"protocol": "ESMTP", "helo": "client.test"},
    ),
    Case(
        "5321 4.1.1.9",
        "NOOP, HELP and VRFY do not touch the transaction",
        """
        MAIL FROM:<ada@example.test> -> 250
        NOOP -> 250 2.0.0
        HELP MAIL -> 214 2.0.0
        VRFY bob -> 252 2.0.0
        EXPN staff -> 502 5.5.1
        XYZZY -> 500 5.5.2
        RCPT TO:<bob@example.test> -> 250
        NOOP -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
    Case(
        "5321 4.1.1.10",
        "QUIT within a transaction gives it up",
        "@envelope\nQUIT -> 221 2.0.0, EOF",
    ),
    Case(
        "5321 4.1.1.3",
        "RCPT after the first chunk of content",
        """
        @envelope
        BDAT 7\\r\\nfirst\\r\\n\\ -> 250 2.0.0
        RCPT TO:<cy@example.test> -> 503 5.5.1
        BDAT 0 LAST -> 250 2.0.0
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
    Case(
        "5321 4.1.1.4",
        "a refusal in place of 354",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<unwanted@example.test> -> 250
        DATA -> 550 5.7.1 Not wanted
        RSET -> 250
        """,
    ),
    Case(
        "5321 4.2.5",
        "a refusal at the end of the content",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<spam@example.test> -> 250
        DATA -> 354
        . -> 554 5.7.1 Looks like spam
        DATA -> 503 5.5.1
        @content
        . -> 250
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
    Case(
        "5321 4.2.5",
        "a store that is away",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<full@example.test> -> 250
        DATA -> 354
        . -> 451 4.3.0
        RCPT TO:<bob@example.test> -> 503 5.5.1
        """,
    ),
    Case(
        "5321 4.2.4",
        "errors of ours are transient and say nothing of us",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<bug@example.test> -> 451 4.3.0
        RCPT TO:<late-bug@example.test> -> 250
        DATA -> 354
        . -> 451 4.3.0
        """,
    ),
)
def test_sequence(play, case):
    """RFC 5321 §4.1.4: out of order is 503, and changes nothing."""
    play(case)


def test_greeting_names_the_host(connect):
    """RFC 5321 §4.2 and §4.3.1: 220, our domain, and ESMTP to tell it from the old."""
    reply = connect("plain").read()

    assert (reply.code, reply.lines) == (220, ("mx.test ESMTP ready",))


def test_ehlo_lists_what_is_offered(connect):
    """RFC 5321 §4.1.1.1: our domain first, then one keyword a line."""
    client = connect("plain")
    client.read()

    reply = client.say("EHLO client.test")

    assert reply.lines == (
        "mx.test",
        "PIPELINING",
        "SIZE 102400",
        "ENHANCEDSTATUSCODES",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "BINARYMIME",
        "DSN",
        "DELIVERBY",
        "FUTURERELEASE 31536000 2027-07-01T12:00:00Z",
        "LIMITS RCPTMAX=100",
    )


def test_helo_is_answered_with_one_line(connect):
    """RFC 5321 §4.1.1.1: extensions are for those who said EHLO."""
    client = connect("plain")
    client.read()

    assert client.say("HELO client.test").lines == ("mx.test",)


def test_a_connection_that_is_cut_leaves_nothing(connect, servers):
    """RFC 5321 §4.1.1.10: a transaction that was not ended is given up."""
    client = connect("plain").greeted()
    client.play("@content\nhalf of it ->", goodbye=False)

    assert client.end_input() == b""
    told = servers("plain").tell()
    assert (told.messages, told.aborted, told.open) == ([], 1, 0)
