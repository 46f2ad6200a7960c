"""Where command lines and content end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.lines import MAX_COMMAND_LINE, CommandReader, ContentReader, LineFault


def read_lines(*pieces):
    reader = CommandReader()
    lines = []
    for piece in pieces:
        reader.feed(piece)
        while (line := reader.next_line()) is not None:
            lines.append(line)
    return lines


def octet_by_octet(data):
    return [data[i : i + 1] for i in range(len(data))]


def read_content(pieces, limit=10**9):
    """Return the decoded content, or None if there was no end, and the rest."""
    reader = ContentReader(limit)
    content = b""
    for number, piece in enumerate(pieces):
        content += reader.feed(piece)
        if reader.is_complete:
            return content, reader.rest + b"".join(pieces[number + 1 :])
    return None, b""


def decode_by_lines(data):
    """RFC 5321 §4.5.2 to the letter and slowly, to compare with."""
    content = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None, b""
        if line == b".":
            return content, data
        content += line.removeprefix(b".") + b"\r\n"


@pytest.mark.parametrize("cut", [lambda data: [data], octet_by_octet])
def test_lines_end_with_crlf(cut):
    """However the octets come in, the lines are the same."""
    assert read_lines(*cut(b"NOOP\r\n\r\nQUIT\r\nREST")) == [b"NOOP", b"", b"QUIT"]


def test_rest_is_handed_over():
    """What follows DATA belongs to another reader."""
    reader = CommandReader()
    reader.feed(b"DATA\r\ncontent")

    assert reader.next_line() == b"DATA"
    assert reader.has_input
    assert reader.take_rest() == b"content"
    assert not reader.has_input
    assert reader.next_line() is None


@pytest.mark.parametrize("cut", [lambda data: [data], octet_by_octet])
@pytest.mark.parametrize("data", [b"NOOP\nQUIT\r\n", b"NOOP\n", b"NO\nOP\r\nQUIT\r\n"])
def test_bare_lf_ends_reading(cut, data):
    """After a lone LF nobody knows what is a command: nothing is (SM90)."""
    assert read_lines(*cut(data)) == [LineFault.BARE_LF]


@pytest.mark.parametrize("control", [b"\x00", b"\t", b"\r", b"\x1b", b"\x7f"])
def test_control_characters_are_a_fault(control):
    """They never reach a parser, a reply or a log; the next line is read."""
    lines = read_lines(b"NOOP" + control + b"x\r\nQUIT\r\n")

    assert lines == [LineFault.CONTROL, b"QUIT"]


def test_octets_beyond_ascii_are_left_to_the_grammar():
    """An address may hold them."""
    assert read_lines(b"RCPT \xc3\xa9\r\n") == [b"RCPT \xc3\xa9"]


def test_line_at_the_limit():
    """The limit counts the CRLF."""
    line = b"x" * (MAX_COMMAND_LINE - 2)

    assert read_lines(line + b"\r\n") == [line]
    assert read_lines(line + b"x\r\n") == [LineFault.TOO_LONG]


@pytest.mark.parametrize("length", [MAX_COMMAND_LINE - 1, MAX_COMMAND_LINE, 100_000])
def test_long_line_is_one_fault(length):
    """Its rest is skipped, and the next line is read."""
    data = b"x" * length + b"\r\nQUIT\r\n"
    blocks = [data[i : i + 1000] for i in range(0, len(data), 1000)]

    assert read_lines(*blocks) == [LineFault.TOO_LONG, b"QUIT"]
    assert read_lines(data) == [LineFault.TOO_LONG, b"QUIT"]


def test_line_without_end_is_not_kept():
    """Memory is bounded by the limit, whatever comes."""
    reader = CommandReader()
    for _ in range(100):
        reader.feed(b"x" * 10_000)
        reader.next_line()

    assert not reader.take_rest()


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"a\r\n\r\n.\r\n", b"a\r\n\r\n"),
        (b"a\n..b\r\n.\r\n", b"a\n..b\r\n"),
        (b".\r.\r\n.\r\n", b"\r.\r\n"),
        (b"\x00\xff\r\n.\r\n", b"\x00\xff\r\n"),
    ],
)
def test_content_is_unstuffed(data, content):
    """One dot goes at the beginning of a line, and a line is CRLF's (§4.5.2)."""
    assert read_content([data]) == (content, b"")
    assert read_content(octet_by_octet(data)) == (content, b"")
    assert read_content([data + b"QUIT\r\n"]) == (content, b"QUIT\r\n")


def test_content_over_the_limit_is_counted_and_dropped():
    """The client hears its true size at the end (RFC 1870 §6.3)."""
    reader = ContentReader(limit=4)

    assert reader.feed(b"ab") == b"ab"
    assert reader.feed(b"cd\r\n.\r\n") == b""
    assert reader.is_complete
    assert reader.is_too_big
    assert reader.size == 6


TRICKY = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"x", b"\0"]),
    max_size=30,
).map(b"".join)


@given(TRICKY, st.integers(min_value=1, max_value=7))
def test_content_is_the_same_however_it_is_cut(data, length):
    """A decoder that goes line by line agrees, whatever the blocks."""
    data += b"\r\n.\r\nrest"
    blocks = [data[i : i + length] for i in range(0, len(data), length)]

    assert read_content(blocks) == decode_by_lines(data)
    assert read_content([data]) == decode_by_lines(data)
