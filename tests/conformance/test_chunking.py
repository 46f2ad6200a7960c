"""Content by BDAT: chunks to the octet, and none of them ever taken for commands."""

import pytest

from tests.conformance.harness import Case, each

SMUGGLED = b"MAIL FROM:<eve@example.test>\r\nRCPT TO:<victim@example.test>\r\n"


@each(
    Case(
        "3030 2",
        "one chunk",
        "@envelope\nBDAT 7 LAST\nhello -> 250 2.0.0",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "3030 2",
        "several chunks, each with its reply",
        """
        @envelope
        BDAT 4
        hell\\ -> 250 2.0.0 4 octets received
        BDAT 3
        o\\r\\n\\ -> 250 2.0.0 3 octets received
        BDAT 7 LAST
        world -> 250 2.0.0 Message queued
        """,
        takes={"content": "hello\r\nworld\r\n"},
    ),
    Case(
        "3030 2",
        "an empty last chunk",
        "@envelope\nBDAT 7\nhello -> 250\nBDAT 0 LAST -> 250",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "3030 2",
        "an empty message",
        "@envelope\nBDAT 0 LAST -> 250",
        takes={"content": ""},
    ),
    Case(
        "3030 2",
        "an empty chunk in between",
        "@envelope\nBDAT 0 -> 250\nBDAT 7 LAST\nhello -> 250",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "3030 2",
        "verb and LAST in any case",
        "@envelope\nbdat 7 last\nhello -> 250",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "3030 2",
        "dots are octets as all others",
        "@envelope\nBDAT 12 LAST\n..hello\n. -> 250",
        takes={"content": "..hello\r\n.\r\n"},
    ),
    Case(
        "3030 2",
        "an end of DATA is no end here",
        "@envelope\nBDAT 5\n\\r\\n.\\r\\n\\ -> 250\nBDAT 6 LAST\nQUIT -> 250",
        takes={"content": "\r\n.\r\nQUIT\r\n"},
    ),
    Case(
        "3030 2",
        "the next command follows a chunk at once",
        "@envelope\nBDAT 3 LAST\nabcNOOP -> 250 2.0.0 Message, 250 2.0.0 OK",
        takes={"content": "abc"},
    ),
    Case(
        "3030 2",
        "RSET between chunks",
        """
        @envelope
        BDAT 7
        first -> 250
        RSET -> 250
        BDAT 7 LAST
        hello -> 503 5.5.1
        @envelope
        BDAT 7 LAST
        later -> 250
        """,
        takes={"content": "later\r\n"},
    ),
    Case(
        "3030 2",
        "NOOP between chunks",
        "@envelope\nBDAT 7\nhello -> 250\nNOOP -> 250\nBDAT 0 LAST -> 250",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "3030 2",
        "EHLO between chunks",
        "@envelope\nBDAT 7\nhello -> 250\nEHLO a.test -> 250\nBDAT 0 LAST -> 503",
    ),
    Case(
        "3030 2",
        "MAIL between chunks",
        "@envelope\nBDAT 7\nhello -> 250\nMAIL FROM:<> -> 503\nBDAT 0 LAST -> 250",
        takes={"content": "hello\r\n", "reverse_path": "ada@example.test"},
    ),
    Case(
        "3030 2",
        "QUIT between chunks",
        "@envelope\nBDAT 7\nhello -> 250\nQUIT -> 221, EOF",
    ),
    Case(
        "3030 2",
        "DATA after BDAT",
        "@envelope\nBDAT 7\nhello -> 250\nDATA -> 503 5.5.1",
    ),
    Case(
        "3030 2",
        "BDAT after the last one",
        "@envelope\nBDAT 7 LAST\nhello -> 250\nBDAT 7 LAST\nagain -> 503 5.5.1",
        takes={"content": "hello\r\n"},
    ),
    Case(
        "3030 2",
        "BDAT before MAIL skips its chunk",
        "BDAT 6 LAST\nQUIT -> 503 5.5.1\nNOOP -> 250",
    ),
    Case(
        "3030 2",
        "BDAT before EHLO skips its chunk",
        "BDAT 6 LAST\nQUIT -> 503 5.5.1\nNOOP -> 250",
        hello="",
    ),
    Case(
        "3030 2",
        "BDAT without a recipient skips its chunk",
        "MAIL FROM:<ada@example.test> -> 250\nBDAT 6 LAST\nQUIT -> 554 5.5.1",
    ),
    Case(
        "3030 2",
        "all that is in the pipeline after a chunk that failed is dropped",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<nobody@example.test>
        BDAT 7
        first
        BDAT 7 LAST
        QUIT!
        RSET -> 550, 554, 503, 250
        """,
    ),
    Case(
        "3030 2",
        "no message from the chunks after one that failed",
        """
        MAIL FROM:<ada@example.test> -> 250
        BDAT 7
        first -> 554 5.5.1
        RCPT TO:<bob@example.test> -> 503 5.5.1
        BDAT 7 LAST
        later -> 503 5.5.1
        """,
    ),
    Case(
        "3030 2",
        "a chunk that the intake refuses is dropped, and those after it",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<unwanted@example.test> -> 250
        BDAT 6
        QUIT -> 550 5.7.1
        BDAT 6
        QUIT -> 503 5.5.1
        BDAT 6 LAST
        QUIT -> 503 5.5.1
        NOOP -> 250
        """,
    ),
    Case(
        "3030 2",
        "a message that the intake refuses at its end",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<spam@example.test> -> 250
        BDAT 7
        first -> 250
        BDAT 0 LAST -> 554 5.7.1
        """,
    ),
    Case("3030 2", "BDAT without a size", "@envelope\nBDAT -> 501 5.5.4"),
    Case("3030 2", "a negative size", "@envelope\nBDAT -1 LAST -> 501 5.5.4"),
    Case(
        "3030 2", "a size that is no number", "@envelope\nBDAT 0x10 LAST -> 501 5.5.4"
    ),
    Case("3030 2", "a size with a sign", "@envelope\nBDAT +5 LAST -> 501 5.5.4"),
    Case("3030 2", "a word that is not LAST", "@envelope\nBDAT 0 FIRST -> 501 5.5.4"),
    Case("3030 2", "a word after LAST", "@envelope\nBDAT 0 LAST 1 -> 501 5.5.4"),
    Case("3030 2", "a size of 2^70", f"@envelope\nBDAT {2**70} LAST -> 501 5.5.4"),
    Case(
        "3030 2",
        "a size beyond all patience",
        "@envelope\nBDAT 99999999999999999999 LAST -> 552 5.3.4, EOF",
    ),
    Case(
        "3030 2",
        "what came with a BDAT of unknown length is not executed",
        """
        @envelope
        BDAT many
        MAIL FROM:<eve@example.test>
        RCPT TO:<victim@example.test> -> 501 5.5.4, 421 4.5.0, EOF
        """,
    ),
    Case(
        "3030 3",
        "BINARYMIME comes by BDAT",
        r"""
        MAIL FROM:<ada@example.test> BODY=BINARYMIME -> 250
        RCPT TO:<bob@example.test> -> 250
        BDAT 6 LAST\r\n\x00\n\r\xff\r\n\ -> 250
        """,
        takes={"content": "\x00\n\r\xff\r\n", "is_binary": True},
    ),
    Case(
        "3030 3",
        "BINARYMIME never comes by DATA",
        """
        MAIL FROM:<ada@example.test> BODY=BINARYMIME -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 503 5.5.1
        BDAT 0 LAST -> 250
        """,
        takes={"content": "", "is_binary": True},
    ),
    Case(
        "3030 3",
        "BINARYMIME may have any line ends, also where others may not",
        r"""
        MAIL FROM:<ada@example.test> BODY=BINARYMIME -> 250
        RCPT TO:<bob@example.test> -> 250
        BDAT 4 LAST\r\na\nb\r\ -> 250
        """,
        takes={"content": "a\nb\r"},
        server="strict",
    ),
    Case(
        "3030 2",
        "BDAT where it is not offered",
        "@envelope\nBDAT 0 LAST -> 502 5.5.1",
        server="bare",
    ),
    Case(
        "3030 3",
        "BINARYMIME where CHUNKING is not offered",
        "MAIL FROM:<ada@example.test> BODY=BINARYMIME -> 555 5.5.4",
        server="bare",
    ),
    Case(
        "1870 6.3",
        "chunks that together are too big",
        f"""
        @envelope
        BDAT 60000\\r\\n{"x" * 60_000}\\ -> 250
        BDAT 60000\\r\\n{"x" * 60_000}\\ -> 552 5.3.4
        BDAT 6 LAST
        QUIT -> 503 5.5.1
        DATA -> 503 5.5.1
        """,
    ),
)
def test_chunks(play, case):
    """RFC 3030 §2: exactly so many octets, whatever becomes of them."""
    play(case)


@pytest.mark.parametrize("size", [1, 5])
def test_however_the_octets_of_chunks_are_cut(connect, servers, size):
    """RFC 3030 §2: a chunk's end is counted, and not guessed from what comes in."""
    client = connect("plain").greeted()
    client.play("@envelope", goodbye=False)
    data = b"BDAT 7\r\nhello\r\nBDAT 9 LAST\r\n.\r\nQUIT\r\nNOOP\r\n"

    for start in range(0, len(data), size):
        client.send(data[start : start + size])

    for wanted in ("250 2.0.0 7", "250 2.0.0 Message", "250 2.0.0 OK"):
        client.expect(wanted)
    assert servers("plain").tell().message["content"] == "hello\r\n.\r\nQUIT\r\n"


@pytest.mark.parametrize("length", [100_001, 10_000_000])
def test_a_chunk_that_is_too_big_is_read_to_its_end(connect, servers, length):
    """RFC 3030 §2: it is refused once all of it came, and none of it is a command."""
    client = connect("plain").greeted()
    client.play("@envelope\nBDAT 5000\\r\\n" + "x" * 5000 + "\\ -> 250", goodbye=False)

    client.send(b"BDAT %d LAST\r\n" % length)
    client.send((SMUGGLED * (length // len(SMUGGLED) + 1))[:length])

    client.expect("552 5.3.4")
    client.play("RCPT TO:<bob@example.test> -> 503 5.5.1")
    told = servers("plain").tell()
    assert (told.messages, told.aborted, told.open) == ([], 1, 0)


def test_a_chunk_that_is_cut_is_no_message(connect, servers):
    """RFC 3030 §2: without LAST, or without all of its octets, nothing was sent."""
    client = connect("plain").greeted()
    client.play("@envelope\nBDAT 7 LAST\nhell\\ ->", goodbye=False)

    assert client.end_input() == b""
    told = servers("plain").tell()
    assert (told.messages, told.aborted, told.open) == ([], 1, 0)
