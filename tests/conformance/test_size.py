"""How big a message may be: as announced, and as counted."""

import pytest

from tests.conformance.harness import Case, each

LIMIT = 100 * 1024


@each(
    Case(
        "1870 6.1",
        "an announced size at the limit",
        "MAIL FROM:<ada@example.test> SIZE=102400 -> 250",
    ),
    Case(
        "1870 6.1",
        "an announced size over the limit",
        """
        MAIL FROM:<ada@example.test> SIZE=102401 -> 552 5.3.4
        RCPT TO:<bob@example.test> -> 503 5.5.1
        MAIL FROM:<ada@example.test> SIZE=10 -> 250
        """,
    ),
    Case("1870 6.1", "twenty digits", "MAIL FROM:<> SIZE=99999999999999999999 -> 552"),
    Case("1870 6.1", "nothing is announced", "MAIL FROM:<> SIZE=0 -> 250"),
    Case("1870 3", "a size without a value", "MAIL FROM:<> SIZE -> 501 5.5.4"),
    Case("1870 6", "a size that is no number", "MAIL FROM:<> SIZE=big -> 501 5.5.4"),
    Case("1870 6", "a negative size", "MAIL FROM:<> SIZE=-1 -> 501 5.5.4"),
    Case("1870 6", "a size with a fraction", "MAIL FROM:<> SIZE=1.5 -> 501 5.5.4"),
    Case("1870 6", "21 digits", "MAIL FROM:<> SIZE=000000000000000000001 -> 501 5.5.4"),
    Case(
        "1870 6.2",
        "more comes than was announced",
        """
        MAIL FROM:<ada@example.test> SIZE=1 -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        hello
        . -> 250
        """,
        takes={"content": "hello\r\n"},
    ),
    Case(
        "1870 4",
        "a size where it is not offered",
        "MAIL FROM:<ada@example.test> SIZE=10 -> 555 5.5.4",
        server="bare",
    ),
    Case(
        "1870 6.1",
        "a size of chunks",
        "MAIL FROM:<> SIZE=102401 BODY=BINARYMIME -> 552 5.3.4",
    ),
)
def test_announced_size(play, case):
    """RFC 1870 §6.1: 552 at MAIL spares the client to send it all."""
    play(case)


@pytest.mark.parametrize("octets", [LIMIT - 1, LIMIT])
def test_content_up_to_the_limit_is_taken(connect, servers, octets):
    """RFC 1870 §5: line ends count, the dots of transparency do not."""
    client = connect("plain").greeted()
    client.play("@content", goodbye=False)

    client.send(b".." + b"x" * (octets - 3) + b"\r\n.\r\n")

    client.expect("250 2.0.0")
    assert len(servers("plain").tell().message["content"]) == octets


@pytest.mark.parametrize("octets", [LIMIT + 1, 5_000_000])
def test_content_over_the_limit_is_read_and_refused(connect, servers, octets):
    """RFC 1870 §6.3: 552 after the end, with the limit; the session goes on."""
    client = connect("plain").greeted()
    client.play("@content", goodbye=False)

    client.send(b"x" * (octets - 2) + b"\r\n.\r\n")

    reply = client.expect("552 5.3.4")
    assert f"{octets} octets, the limit is {LIMIT}" in str(reply)
    client.play("RCPT TO:<bob@example.test> -> 503\n@content\n. -> 250")
    told = servers("plain").tell()
    assert told.message["content"] == ""
    assert (told.aborted, told.open) == (1, 0)


def test_the_limit_is_for_each_message(connect, servers):
    """RFC 1870 §6.3: what came before does not count."""
    client = connect("plain").greeted()

    for _ in range(3):
        client.play("@content", goodbye=False)
        client.send(b"x" * 60_000 + b"\r\n.\r\n")
        client.expect("250 2.0.0")

    assert len(servers("plain").tell().messages) == 3
