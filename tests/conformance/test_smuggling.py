"""Only CRLF.CRLF ends content: fake ends do not, whichever way they come."""

import pytest

from tests.conformance.harness import Case, each

# CVE-2023-51764, -51765 and -51766; and what str.splitlines() takes for a line's end.
FAKE_ENDS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.LF": b"\r.\n",
    "LF.CR": b"\n.\r",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n",
    "LFCR.LFCR": b"\n\r.\n\r",
    "NUL before": b"\r\n\x00.\r\n",
    "NUL after": b"\r\n.\x00\r\n",
    "blank before": b"\r\n .\r\n",
    "blank after": b"\r\n. \r\n",
    "tabs around": b"\r\n\t.\t\r\n",
    "two dots": b"\r\n..\r\n",
    "BOM": b"\r\n\xef\xbb\xbf.\r\n",
    "VT": b"\x0b.\x0b",
    "FF": b"\x0c.\x0c",
    "FS": b"\x1c.\x1c",
    "NEL": b"\x85.\x85",
    "U+0085": b"\xc2\x85.\xc2\x85",
    "U+2028": b"\xe2\x80\xa8.\xe2\x80\xa8",
}
# Those of which a CR or an LF is left alone in the content.
STRAY = [
    name
    for name, fake in FAKE_ENDS.items()
    if b"\r" in fake.replace(b"\r\n", b"") or b"\n" in fake.replace(b"\r\n", b"")
]
SMUGGLED = (
    b"MAIL FROM:<eve@example.test>\r\nRCPT TO:<victim@example.test>\r\n"
    b"DATA\r\nSubject: smuggled\r\n\r\nhello\r\n"
)
PREFIX = "5321 4.1.1.4 "


def data_with(fake):
    return b"Subject: outer\r\n\r\nbody" + fake + SMUGGLED + b".\r\n"


def unstuffed(data):
    """What a reader gets that knows CRLF alone."""
    lines = data.removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


def whole(data):
    return [data]


def octet_by_octet(data):
    return [data[i : i + 1] for i in range(len(data))]


def around_the_dot(data):
    """Cut before and after every dot."""
    head, *rest = data.split(b".")
    return [head, *(piece for part in rest for piece in (b".", part) if piece)]


@pytest.mark.parametrize("cut", [whole, octet_by_octet, around_the_dot])
@pytest.mark.parametrize(
    "fake", FAKE_ENDS.values(), ids=[PREFIX + name for name in FAKE_ENDS]
)
def test_a_fake_end_is_content(connect, servers, fake, cut):
    """RFC 5321 §2.3.8: one message, all of it content, and no command executed."""
    client = connect("plain").greeted()
    client.play("@content", goodbye=False)
    data = data_with(fake)

    for piece in cut(data):
        client.send(piece)

    client.expect("250 2.0.0")
    client.play("NOOP -> 250")
    message = servers("plain").tell().message
    assert message["content"].encode("latin-1") == unstuffed(data)
    assert message["recipients"] == ["bob@example.test"]


@pytest.mark.parametrize("name", STRAY, ids=[f"5321 2.3.8 {name}" for name in STRAY])
def test_a_fake_end_is_refused_where_line_ends_must_be_right(connect, servers, name):
    """RFC 5321 §2.3.8: CR and LF alone must not be sent; 554 after the true end."""
    client = connect("strict").greeted()
    client.play("@content", goodbye=False)

    client.send(data_with(FAKE_ENDS[name]))

    client.expect("554 5.6.0")
    client.play("DATA -> 503 5.5.1\n@content\nright\n. -> 250")
    told = servers("strict").tell()
    assert told.message["content"] == "right\r\n"
    assert (told.aborted, told.open) == (1, 0)


@each(
    Case(
        "5321 2.3.8",
        "right line ends",
        "@content\na\n\\r\\n\\\nb\n. -> 250",
        takes={"content": "a\r\n\r\nb\r\n"},
        server="strict",
    ),
    Case(
        "5321 2.3.8",
        "a CR at the very end of a block",
        "@content\nhello\\r\\ ->\n\\n.\\r\\ ->\n\\n\\ -> 250",
        takes={"content": "hello\r\n"},
        server="strict",
    ),
    Case(
        "5321 2.3.8",
        "CR alone, in the middle",
        "@content\na\\rb\n. -> 554 5.6.0",
        server="strict",
    ),
    Case(
        "5321 2.3.8",
        "LF alone, in the header section",
        "@content\nSubject: a\\nBcc: eve@example.test\n. -> 554 5.6.0",
        server="strict",
    ),
    Case(
        "3030 2",
        "LF alone, in a chunk",
        "@envelope\nBDAT 3\na -> 250\nBDAT 2 LAST\\r\\n\\nb\\ -> 554 5.6.0",
        server="strict",
    ),
    Case(
        "3030 2",
        "CR and LF in two chunks are one line's end",
        "@envelope\nBDAT 2\\r\\na\\r\\ -> 250\nBDAT 2 LAST\\r\\n\\nb\\ -> 250",
        takes={"content": "a\r\nb"},
        server="strict",
    ),
    Case(
        "3030 2",
        "a CR at the end of a message",
        "@envelope\nBDAT 2 LAST\\r\\na\\r\\ -> 554 5.6.0",
        server="strict",
    ),
    Case(
        "5321 2.3.8",
        "no LF alone starts a command after the end",
        "@content\n.\nNOOP\\nMAIL FROM:<eve@example.test> -> 250, 521 5.5.2, EOF",
        takes={},
    ),
)
def test_line_ends(play, case):
    """RFC 5321 §2.3.8: CRLF, and nothing else."""
    play(case)
