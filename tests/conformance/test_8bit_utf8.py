"""Octets beyond ASCII: announced for the content, allowed in addresses."""

from tests.conformance.harness import Case, each


@each(
    Case(
        "6152 3",
        "eight bits, announced",
        """
        MAIL FROM:<ada@example.test> BODY=8BITMIME -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        café
        . -> 250
        """,
        takes={"content": "caf\xc3\xa9\r\n", "body_8bit": True, "smtputf8": False},
    ),
    Case(
        "6152 3",
        "seven bits, announced",
        """
        MAIL FROM:<ada@example.test> BODY=7BIT -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"body_8bit": False},
    ),
    Case(
        "6152 3", "nothing announced", "@content\n. -> 250", takes={"body_8bit": False}
    ),
    Case("6152 3", "BODY in any case", "MAIL FROM:<> body=8BitMime -> 250"),
    Case("6152 3", "BODY of another kind", "MAIL FROM:<> BODY=9BIT -> 501 5.5.4"),
    Case("6152 3", "BODY without a value", "MAIL FROM:<> BODY -> 501 5.5.4"),
    Case("6152 3", "BODY twice", "MAIL FROM:<> BODY=7BIT BODY=7BIT -> 501 5.5.4"),
    Case(
        "6152 2",
        "BODY where it is not offered",
        "MAIL FROM:<> BODY=8BITMIME -> 555 5.5.4",
        server="bare",
    ),
    Case(
        "6531 3.5",
        "a sender beyond ASCII, unannounced",
        "MAIL FROM:<zoë@example.test> -> 553 5.6.7\nRCPT TO:<a@b.test> -> 503",
    ),
    Case(
        "6531 3.5",
        "a recipient beyond ASCII, unannounced",
        "@envelope\nRCPT TO:<zoë@example.test> -> 553 5.6.7",
    ),
    Case(
        "6531 3.5",
        "a domain beyond ASCII, unannounced",
        "@envelope\nRCPT TO:<bob@bücher.test> -> 553 5.6.7",
    ),
    Case(
        "6531 3.4",
        "sender and recipient beyond ASCII",
        """
        MAIL FROM:<zoë@example.test> SMTPUTF8 -> 250 2.1.0
        RCPT TO:<用户@例子.test> -> 250 2.1.5
        DATA -> 354
        Subject: grüße
        . -> 250
        """,
        takes={
            "smtputf8": True,
            "reverse_path": "zoë@example.test",
            "recipients": ["用户@例子.test"],
            "content": "Subject: gr\xc3\xbc\xc3\x9fe\r\n",
        },
    ),
    Case(
        "6531 3.7.1",
        "a U-label beside an ASCII local part is its A-label",
        """
        MAIL FROM:<ada@bücher.test> SMTPUTF8 -> 250
        RCPT TO:<bob@BÜCHER.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={
            "reverse_path": "ada@xn--bcher-kva.test",
            "recipients": ["bob@xn--bcher-kva.test"],
        },
    ),
    Case(
        "6531 3.4",
        "ASCII addresses and SMTPUTF8, for the header's sake",
        """
        MAIL FROM:<ada@example.test> SMTPUTF8 -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"smtputf8": True, "body_8bit": False},
    ),
    Case(
        "6531 4.3",
        "the protocol's name",
        """
        MAIL FROM:<ada@example.test> SMTPUTF8 BODY=8BITMIME -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"protocol": "UTF8SMTP", "body_8bit": True},
    ),
    Case(
        "6531 3.3",
        "a quoted string beyond ASCII",
        """
        MAIL FROM:<"zoë b"@example.test> SMTPUTF8 -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"reverse_path": '"zoë b"@example.test'},
    ),
    Case("6531 3.4", "SMTPUTF8 has no value", "MAIL FROM:<> SMTPUTF8=1 -> 501 5.5.4"),
    Case("6531 3.4", "SMTPUTF8 twice", "MAIL FROM:<> SMTPUTF8 SMTPUTF8 -> 501 5.5.4"),
    Case(
        "6531 3.4",
        "SMTPUTF8 is for one transaction",
        """
        MAIL FROM:<zoë@example.test> SMTPUTF8 -> 250
        RSET -> 250
        MAIL FROM:<zoë@example.test> -> 553 5.6.7
        """,
    ),
    Case(
        "6531 3.4",
        "SMTPUTF8 is MAIL's",
        "MAIL FROM:<> -> 250\nRCPT TO:<a@b.test> SMTPUTF8 -> 555 5.5.4",
    ),
    Case(
        "6531 3.1",
        "SMTPUTF8 where it is not offered",
        "MAIL FROM:<zoë@example.test> SMTPUTF8 -> 555 5.5.4",
        server="bare",
    ),
    Case(
        "3629 3",
        "an overlong encoding",
        r"MAIL FROM:<a\xc0\xaf@b.test> SMTPUTF8 -> 501 5.5.2",
    ),
    Case(
        "3629 3",
        "half of a surrogate pair",
        r"MAIL FROM:<a\xed\xa0\x80@b.test> SMTPUTF8 -> 501 5.5.2",
    ),
    Case(
        "6531 3.3",
        "a direction that is overridden",
        r"MAIL FROM:<a\xe2\x80\xaeb@b.test> SMTPUTF8 -> 501 5.1.7",
    ),
    Case(
        "6531 3.3",
        "a line separator",
        r"MAIL FROM:<a\xe2\x80\xa8b@b.test> SMTPUTF8 -> 501 5.1.7",
    ),
    Case(
        "6531 3.3",
        "NEL, which is a control",
        r"MAIL FROM:<a\xc2\x85b@b.test> SMTPUTF8 -> 501 5.1.7",
    ),
    Case(
        "5891 5.4",
        "a domain that no A-label stands for",
        r"""
        MAIL FROM:<ada@\xcc\x88.test> SMTPUTF8 -> 501 5.1.7
        MAIL FROM:<ada@example.test> SMTPUTF8 -> 250
        RCPT TO:<bob@\xcc\x88.test> -> 553 5.1.3
        """,
    ),
    Case(
        "5321 4.5.3.1.1",
        "a local part of 33 characters and 66 octets",
        "MAIL FROM:<" + "é" * 33 + "@b.test> SMTPUTF8 -> 501 5.1.7",
    ),
)
def test_beyond_ascii(play, case):
    """RFC 6152 §3 and RFC 6531 §3: whoever announces it may send it."""
    play(case)


def test_replies_are_ascii_also_then(connect):
    """RFC 6531 §3.7.4.2: a client that did not ask must not get more."""
    client = connect("plain").greeted()

    client.play(
        """
        MAIL FROM:<zoë@bücher.test> SMTPUTF8 -> 250
        RCPT TO:<zoë@@> -> 553
        VRFY zoë -> 252
        ZOË -> 500
        """
    )
