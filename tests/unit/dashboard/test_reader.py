"""Reading received messages, friendly and hostile."""

import pytest

from mta.dashboard.reader import MAX_READ_BYTES, Part, read_message, take
from tests.support.pace import costs_at_most


def test_plain_text_is_preferred():
    """The first plain text of the tree, wherever it is."""
    reading = read_message(
        b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n'
        b"preamble\r\n--outer\r\n"
        b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n"
        b"--inner\r\nContent-Type: text/html\r\n\r\n<b>Hi</b>\r\n"
        b"--inner\r\nContent-Type: text/plain\r\n\r\nHi\r\n"
        b"--inner--\r\n"
        b"--outer\r\nContent-Type: image/png\r\n\r\nPNG\r\n--outer--\r\nepilogue"
    )

    assert reading.text == "Hi"
    assert reading.parts == (
        Part("text/html", 9),
        Part("text/plain", 2),
        Part("image/png", 3),
    )


def test_html_alone_is_shown_as_its_source():
    """Never as a page."""
    reading = read_message(b"Content-Type: TEXT/HTML\r\n\r\n<b>Hi</b>")

    assert (reading.text_type, reading.text) == ("text/html", "<b>Hi</b>")


@pytest.mark.parametrize(
    ("header", "body", "text"),
    [
        (b"Content-Transfer-Encoding: base64", b"SGVs\r\nbG8=", "Hello"),
        (b"Content-Transfer-Encoding: base64", b"SGVsbG8", "Hello"),
        (b"Content-Transfer-Encoding: base64", b"S", ""),
        (b"Content-Transfer-Encoding: quoted-printable", b"a=3Db=\r\nc=", "a=bc"),
        (b"Content-Type: text/plain; charset=iso-8859-1", b"\xfc", "ü"),
        (b'Content-Type: text/plain; Charset="UTF-8"', b"\xc3\xbc", "ü"),
        (b"Content-Type: text/plain; charset=unicode_escape", b"\\x41", "\\x41"),
        (b"Content-Type: text/plain; charset=iso-8859-99", b"\xc3\xbc", "ü"),
        (b"Content-Type: text/plain", b"\xff\x00\x1b[31m", "\ufffd\ufffd\ufffd[31m"),
        (b"Content-Type: nonsense", b"Hi", "Hi"),
    ],
)
def test_text_is_decoded(header, body, text):
    """Transfer encodings and charsets that mail has; all else is shown bluntly."""
    assert read_message(header + b"\r\n\r\n" + body).text == text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(b"Subject: x\r\n", id="no empty line"),
        pytest.param(b"no field at all", id="no field"),
        pytest.param(b"\xff\xfe: \xff\r\n\r\n\xff", id="bytes"),
        pytest.param(b"Content-Type: multipart/x\r\n\r\n--\r\n", id="no boundary"),
        pytest.param(
            b"Content-Type: multipart/x; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b--",
            id="empty parts",
        ),
    ],
)
def test_broken_messages_are_read_nevertheless(content):
    """Somebody wants to see exactly those."""
    reading = read_message(content)

    assert reading.is_whole


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            b"Content-Type: multipart/x; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 130_000,
            id="many parts",
        ),
        pytest.param(
            b"".join(
                b"Content-Type: multipart/x; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
                for n in range(20_000)
            ),
            id="deep",
        ),
        pytest.param(b"a:b\r\n" * 200_000, id="many fields"),
        pytest.param(
            b"Content-Type: text/plain" + b"; a=b" * 200_000 + b"\r\n\r\n",
            id="many parameters",
        ),
        pytest.param(
            b"Content-Type: text/plain;" + b" " * 1_000_000 + b"\r\n\r\n", id="blanks"
        ),
        pytest.param(b"Subject: " + b"=?utf-8?q?a?= " * 70_000, id="encoded words"),
        pytest.param(
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 1_000_000,
            id="equals signs",
        ),
        pytest.param(
            b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A" * 500_000,
            id="padding",
        ),
    ],
)
def test_hostile_messages_take_no_time(content):
    """A page must come up whatever was mailed to it."""
    reading = read_message(content)

    assert costs_at_most(100, lambda: read_message(content))
    assert len(reading.parts) <= 100
    assert len(reading.fields) <= 200


def test_long_messages_are_cut():
    """One mebibyte is enough for a person; the rest is in the download."""
    content, is_whole = take(iter([b"x" * 1000] * 2000))

    assert len(content) == MAX_READ_BYTES
    assert not is_whole
    assert not read_message(content, is_whole=is_whole).is_whole
