"""LMTP: LHLO, and a reply for each recipient."""

from base64 import b64encode

from tests.conformance.harness import Case, each

SERVER = "lmtp"
LHLO = "LHLO client.test"
TWO = """
MAIL FROM:<ada@example.test> -> 250 2.1.0
RCPT TO:<bob@example.test> -> 250 2.1.5
RCPT TO:<cy@example.test> -> 250 2.1.5
"""


@each(
    Case(
        "2033 4.2",
        "a reply for each recipient",
        f"{TWO}DATA -> 354\nhello\n. -> 250 2.0.0, 250 2.0.0",
        takes={
            "recipients": ["bob@example.test", "cy@example.test"],
            "content": "hello\r\n",
            "protocol": "LMTP",
        },
        hello=LHLO,
    ),
    Case(
        "2033 4.2",
        "none for a recipient that was refused",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<nobody@example.test> -> 550
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["bob@example.test"]},
        hello=LHLO,
    ),
    Case(
        "2033 4.2",
        "one for each RCPT, also of the same recipient",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<bob@example.test> -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250, 250
        """,
        takes={"recipients": ["bob@example.test"]},
        hello=LHLO,
    ),
    Case(
        "2033 4.2",
        "a refusal for each recipient",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<spam@example.test> -> 250
        RCPT TO:<cy@example.test> -> 250
        DATA -> 354
        . -> 554 5.7.1, 554 5.7.1
        """,
        hello=LHLO,
    ),
    Case(
        "2033 4.2",
        "a message that is too big",
        f"{TWO}DATA -> 354\n{'x' * 103_000}\n. -> 552 5.3.4, 552 5.3.4",
        hello=LHLO,
    ),
    Case(
        "2033 4.2",
        "DATA without MAIL",
        "DATA -> 503 5.5.1",
        hello=LHLO,
    ),
    Case(
        "2033 4.2",
        "DATA without a recipient is 503",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<nobody@example.test> -> 550
        DATA -> 503 5.5.1
        """,
        hello=LHLO,
    ),
    Case(
        "2033 4.3",
        "BDAT without a recipient is 503",
        "MAIL FROM:<ada@example.test> -> 250\nBDAT 6 LAST\nQUIT -> 503 5.5.1",
        hello=LHLO,
    ),
    Case(
        "2033 4.3",
        "one reply for a chunk, and one for each recipient at the end",
        f"{TWO}BDAT 7\nhello -> 250 2.0.0 7 octets\nBDAT 0 LAST -> 250, 250",
        takes={"content": "hello\r\n"},
        hello=LHLO,
    ),
    Case(
        "2033 4.3",
        "a refusal for each recipient at the end",
        f"{TWO}BDAT {103_000} LAST\\r\\n{'x' * 103_000}\\ -> 552 5.3.4, 552 5.3.4",
        hello=LHLO,
    ),
    Case(
        "2033 4.2",
        "replies are counted anew for each message",
        f"{TWO}DATA -> 354\n. -> 250, 250\n@content\n. -> 250\n"
        f"{TWO}RSET -> 250\n@content\n. -> 250",
        takes=({}, {}, {}),
        hello=LHLO,
    ),
    Case("2033 4.1", "EHLO is refused", "EHLO client.test -> 500", hello=""),
    Case("2033 4.1", "HELO is refused", "HELO client.test -> 500", hello=""),
    Case(
        "2033 4.1", "no mail after EHLO", "EHLO a -> 500\nMAIL FROM:<> -> 503", hello=""
    ),
    Case("2033 4.1", "no mail before LHLO", "MAIL FROM:<> -> 503 5.5.1", hello=""),
    Case("2033 4.1", "LHLO without a name", "LHLO -> 501 5.5.4", hello=""),
    Case(
        "2033 4.1",
        "LHLO clears the transaction",
        f"{TWO}{LHLO} -> 250\nDATA -> 503",
        hello=LHLO,
    ),
    Case("2033 4.1", "SMTP has no LHLO", "LHLO a -> 500", server="plain", hello=""),
    Case(
        "2033 4.2",
        "a transaction in one go",
        """
        MAIL FROM:<ada@example.test>
        RCPT TO:<bob@example.test>
        RCPT TO:<nobody@example.test>
        RCPT TO:<cy@example.test>
        DATA -> 250, 250, 550, 250, 354
        .
        QUIT -> 250, 250, 221, EOF
        """,
        takes={"recipients": ["bob@example.test", "cy@example.test"]},
        hello=LHLO,
    ),
    Case(
        "3848 1",
        "LMTPA",
        f"AUTH PLAIN {b64encode(b'%cada%csecret' % (0, 0)).decode()} -> 235\n"
        "@content\n. -> 250",
        takes={"protocol": "LMTPA", "user": "ada"},
        hello=LHLO,
    ),
    Case(
        "6531 4.3",
        "UTF8LMTP",
        """
        MAIL FROM:<zoë@example.test> SMTPUTF8 -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"protocol": "UTF8LMTP"},
        hello=LHLO,
    ),
)
def test_lmtp(play, case):
    """RFC 2033 §4: so that a server can take a message for some, and not for others."""
    play(case)


def test_what_lmtp_offers(connect):
    """RFC 2033 §5: PIPELINING and ENHANCEDSTATUSCODES must be, 8BITMIME should."""
    client = connect(SERVER)

    assert client.read().lines == ("mx.test LMTP ready",)
    offered = set(client.say(LHLO).lines)
    assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= offered


def test_lmtp_within_tls(connect, trusting, servers):
    """RFC 3848: LMTPS."""
    client = connect(SERVER).greeted(LHLO)
    assert client.say("STARTTLS").begins("220 2.0.0")
    client.encrypt(trusting())

    client.play(f"{LHLO} -> 250\n@content\n. -> 250")

    assert servers(SERVER).tell().message["protocol"] == "LMTPS"
