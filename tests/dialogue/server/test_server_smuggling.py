"""Only CRLF.CRLF ends content: the fake ends of CVE-2023-51764, -51765, -51766."""

import pytest

FAKE_ENDS = {
    "SM01 LF.LF": b"\n.\n",
    "SM02 LF.CRLF": b"\n.\r\n",
    "SM03 CRLF.LF": b"\r\n.\n",
    "SM04 CR.CR": b"\r.\r",
    "SM05 CR.LF": b"\r.\n",
    "SM06 LF.CR": b"\n.\r",
    "SM07 CR.CRLF": b"\r.\r\n",
    "SM08 CRLF.CR": b"\r\n.\r",
    "SM09 CRLF.CRCRLF": b"\r\n.\r\r\n",
    "SM10 CRCRLF.CRCRLF": b"\r\r\n.\r\r\n",
    "SM11 LFCR.LFCR": b"\n\r.\n\r",
    "SM12 NUL before": b"\r\n\x00.\r\n",
    "SM13 NUL after": b"\r\n.\x00\r\n",
    "SM14 blank before": b"\r\n .\r\n",
    "SM15 blank after": b"\r\n. \r\n",
    "SM16 blanks around": b"\r\n\t.\t\r\n",
    "SM17 two dots": b"\r\n..\r\n",
    "SM18 BOM": b"\r\n\xef\xbb\xbf.\r\n",
    "SM19 VT": b"\x0b.\x0b",
    "SM20 FF": b"\x0c.\x0c",
    "SM21 FS": b"\x1c.\x1c",
    "SM22 NEL": b"\x85.\x85",
    "SM23 U+0085": "\u0085.\u0085".encode(),
    "SM24 U+2028": "\u2028.\u2028".encode(),
}
SMUGGLED = (
    b"MAIL FROM:<eve@example.test>\r\nRCPT TO:<victim@example.test>\r\n"
    b"DATA\r\nSubject: smuggled\r\n\r\nhello\r\n"
)


def decode(data):
    """Unstuff lines that end with CRLF; the last one ends the content."""
    lines = data.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])


def whole(data):
    return [data]


def octet_by_octet(data):
    return [data[i : i + 1] for i in range(len(data))]


def with_the_goodbye(data):
    return [data + b"QUIT\r\n"]


@pytest.mark.parametrize("cut", [whole, octet_by_octet, with_the_goodbye])
@pytest.mark.parametrize("fake", FAKE_ENDS.values(), ids=FAKE_ENDS)
def test_fake_end_of_content_is_content(peer, fake, cut):
    """One message, all of it content, and not one command executed."""
    it = peer()
    it.send(
        b"EHLO client.test\r\nMAIL FROM:<ada@example.test>\r\n"
        b"RCPT TO:<bob@example.test>\r\nDATA\r\n"
    )
    data = b"Subject: outer\r\n\r\nbody" + fake + SMUGGLED + b".\r\n"

    replies = [reply for piece in cut(data) for reply in it.send(piece)]

    [(started, content)] = it.taken
    assert started.reverse_path == "ada@example.test"
    assert content == decode(data)
    assert replies[0] == "250 2.0.0 Message queued as 1"
    goodbye = ["221 2.0.0 Bye"] if cut is with_the_goodbye else []
    assert replies[1:] == goodbye


@pytest.mark.parametrize("fake", FAKE_ENDS.values(), ids=FAKE_ENDS)
def test_fake_end_at_the_very_end_keeps_waiting(peer, fake):
    """Until the true end nothing is promised, whatever it looks like."""
    it = peer()
    it.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")

    assert it.send(b"body" + fake) == []
    assert it.taken == []
