"""Content by DATA: its end, its dots, and that every octet of it arrives."""

import pytest

from tests.conformance.harness import Case, each

OCTETS = bytes(octet for octet in range(256) if octet not in b"\r\n")


@each(
    Case("5321 4.1.1.4", "empty content", "@content\n. -> 250", takes={"content": ""}),
    Case(
        "5321 4.1.1.4",
        "a header section alone",
        "@content\nSubject: hi\n\\r\\n\\\n. -> 250",
        takes={"content": "Subject: hi\r\n\r\n"},
    ),
    Case(
        "5321 4.5.2",
        "a dot in front is taken away",
        "@content\n..hello\n. -> 250",
        takes={"content": ".hello\r\n"},
    ),
    Case(
        "5321 4.5.2",
        "a dot alone was doubled",
        "@content\n..\n. -> 250",
        takes={"content": ".\r\n"},
    ),
    Case(
        "5321 4.5.2",
        "one dot of many is taken away",
        "@content\n....\n...x\n. -> 250",
        takes={"content": "...\r\n..x\r\n"},
    ),
    Case(
        "5321 4.5.2",
        "a single dot before other characters",
        "@content\n.hello\n. -> 250",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "5321 4.5.2",
        "dots elsewhere stay",
        "@content\na.\n a..b\nend.\n. -> 250",
        takes={"content": "a.\r\na..b\r\nend.\r\n"},
    ),
    Case(
        "5321 4.1.1.4",
        "no end within a line",
        "@content\nhello.\n.hello.\n. -> 250",
        takes={"content": "hello.\r\nhello.\r\n"},
    ),
    Case(
        "5321 4.1.1.4",
        "commands in content are text",
        "@content\nQUIT\nRSET\nMAIL FROM:<eve@example.test>\nDATA\n. -> 250",
        takes={"content": "QUIT\r\nRSET\r\nMAIL FROM:<eve@example.test>\r\nDATA\r\n"},
    ),
    Case(
        "5321 4.1.1.4",
        "the end in pieces",
        "@content\nhello\\r\\ ->\n\\n.\\ ->\n\\r\\ ->\n\\n\\ -> 250",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "5321 4.1.1.4",
        "the session goes on after it",
        "@content\nfirst\n. -> 250\n@content\nsecond\n. -> 250",
        takes=({"content": "first\r\n"}, {"content": "second\r\n"}),
    ),
    Case(
        "5321 4.5.3.1.6",
        "a line of 998 characters",
        "@content\n" + "x" * 998 + "\n. -> 250",
        takes={"content": "x" * 998 + "\r\n"},
    ),
    Case(
        "5321 4.5.3.1.6",
        "a line of 50,000 characters",
        "@content\n" + "x" * 50_000 + "\n. -> 250",
        takes={"content": "x" * 50_000 + "\r\n"},
    ),
    Case(
        "5321 3.3",
        "a promise has a name",
        "@content\n. -> 250 2.0.0 Message queued as",
        takes={},
    ),
)
def test_content(play, case):
    """RFC 5321 §4.1.1.4 and §4.5.2: CRLF.CRLF ends it, and dots are unstuffed."""
    play(case)


def test_every_octet_arrives(connect, servers):
    """RFC 5321 §2.4 and RFC 6152: nothing is stripped, NULs and high bits included."""
    client = connect("plain").greeted()
    client.say("MAIL FROM:<ada@example.test> BODY=8BITMIME")
    client.play("RCPT TO:<bob@example.test> -> 250\nDATA -> 354", goodbye=False)

    client.send(OCTETS + b"\r\n.\r\n")

    client.expect("250 2.0.0")
    content = servers("plain").tell().message["content"]
    assert content.encode("latin-1") == OCTETS + b"\r\n"


def test_many_short_lines_arrive(connect, servers):
    """RFC 5321 §4.5.2: where blocks meet, no dot is lost or doubled."""
    client = connect("plain").greeted()
    content = b"".join(b".%d\r\n" % n for n in range(10_000))
    client.play("@content", goodbye=False)

    client.send(b"." + content.replace(b"\r\n.", b"\r\n..") + b".\r\n")

    client.expect("250 2.0.0")
    assert servers("plain").tell().message["content"] == content.decode()


@pytest.mark.parametrize(
    ("hello", "protocol"), [("EHLO a.test", "ESMTP"), ("HELO a.test", "SMTP")]
)
def test_the_intake_knows_how_it_came(connect, servers, hello, protocol):
    """RFC 5321 §4.4 and RFC 3848: what a Received field is made of."""
    client = connect("plain").greeted(hello)
    client.play("@content\n. -> 250")

    message = servers("plain").tell().message
    assert (message["protocol"], message["helo"]) == (protocol, "a.test")
    assert (message["origin"], message["user"]) == ("127.0.0.1", None)
    assert message["interface"] == "door"
    assert message["received_at"] == "2026-07-01T12:00:00+00:00"
    assert message["tls"] == ""


def test_each_session_has_its_own_name(connect, servers):
    """RFC 5321 §4.4: two sessions can be told apart in a trace, two messages too."""
    for _ in range(2):
        client = connect("plain").greeted()
        client.play("@content\n. -> 250\n@content\n. -> 250")

    ids = [message["session_id"] for message in servers("plain").tell().messages]
    assert ids[0] == ids[1]
    assert ids[2] == ids[3]
    assert ids[0] != ids[2]


def test_content_that_is_cut_is_no_message(connect, servers):
    """RFC 5321 §4.1.1.4: what has no end was never sent (T14)."""
    client = connect("plain").greeted()
    client.play("@content\nhello\n.\\ ->", goodbye=False)

    assert client.end_input() == b""
    told = servers("plain").tell()
    assert (told.messages, told.aborted, told.open) == ([], 1, 0)
