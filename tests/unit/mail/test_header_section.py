import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.mail.header import HeaderSection, HeaderSplitter, HeaderTooLarge, format_field

RAW = (
    b"Received: from a\r\n\tby b\r\n"
    b"Subject : =?utf-8?q?caf=C3=A9?=\r\n  again\r\n"
    b"not a field\r\n"
    b"X-Raw: \xff\r\n"
    b"subject: second\r\n"
)

pieces = st.sampled_from(
    [
        b"A: b",
        b"a",
        b":",
        b" ",
        b"\t",
        b"\r\n",
        b"\r\n ",
        b"\r",
        b"\n",
        b"\x00",
        b"\xff",
    ]
)


@given(st.lists(pieces).map(b"".join))
def test_parsing_then_writing_is_identity(raw):
    """Not one octet of what came in changes on its own."""
    if raw.startswith(b"\r\n") or b"\r\n\r\n" in raw:
        with pytest.raises(ValueError, match="empty line"):
            HeaderSection.parse(raw)
    else:
        assert bytes(HeaderSection.parse(raw)) == raw


def test_values_are_unfolded_and_decoded():
    """Names compare without case; blanks before the colon are the old form."""
    section = HeaderSection.parse(RAW)

    assert section.get("SUBJECT") == "café  again"
    assert section.get_all("subject") == ["café  again", "second"]
    assert section.raw_values("Subject")[0] == "=?utf-8?q?caf=C3=A9?=  again"
    assert section.get("x-raw") == "ÿ"
    assert section.get("Missing") is None
    assert section.count("subject") == 2
    assert "Received" in section


def test_fields_of_several_names_come_in_their_order():
    """Each once, however often its name is there."""
    section = HeaderSection.parse(b"X-A: 1\r\nX-B: 2\r\nOther: 3\r\nx-a: 4\r\n")

    assert list(section.select({"x-a", "x-b"})) == [
        ("x-a", "1"),
        ("x-b", "2"),
        ("x-a", "4"),
    ]


def test_untouched_fields_stay_as_they_were():
    """Adding and removing leaves the others' bytes and order alone."""
    section = HeaderSection.parse(RAW)

    section.add("X-Top", "one")
    section.append("X-Bottom", "two")
    removed = section.remove("subject")

    assert removed == 2
    assert bytes(section) == (
        b"X-Top: one\r\nReceived: from a\r\n\tby b\r\nnot a field\r\n"
        b"X-Raw: \xff\r\nX-Bottom: two\r\n"
    )


def test_appending_ends_an_unfinished_line_first():
    """A section cut off in its last line cannot swallow what follows."""
    section = HeaderSection.parse(b"A: b")

    section.append("C", "d")

    assert bytes(section) == b"A: b\r\nC: d\r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Subject", "a\r\nBcc: x"),
        ("Subject", "a\nb"),
        ("Subject", "a\rb"),
        ("Subject", "a\x00b"),
        ("Sub ject", "a"),
        ("Sub:ject", "a"),
        ("", "a"),
        ("X\r\nY", "a"),
        ("Sübject", "a"),
        ("X", "a" * 1000),
        ("X", "\ud800"),
    ],
)
def test_field_that_breaks_the_section_is_refused(name, value):
    """No caller can write a second field through the first."""
    with pytest.raises(ValueError, match=r"."):
        format_field(name, value)


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=60), max_size=30))
def test_folding_keeps_the_value(words):
    """Unfolded, a field says what it was given; no line is too long."""
    field = format_field("X-Words", "  ".join(words))

    assert HeaderSection.parse(field).raw_values("x-words") == ["  ".join(words)]
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    assert all(line.strip() for line in field.removesuffix(b"\r\n").split(b"\r\n"))


def test_text_beyond_ascii_becomes_encoded_words():
    """U+2028 and its like are text to encode, never a line end."""
    field = format_field("Subject", "ab\u2028cd\u0085ef")

    assert field == b"Subject: =?UTF-8?Q?ab=E2=80=A8cd=C2=85ef?=\r\n"


def split(chunks, max_bytes=1000):
    splitter = HeaderSplitter(max_bytes)
    body = b"".join(splitter.feed(chunk) for chunk in chunks)
    body += splitter.close()
    return splitter.header, body


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("content", "header", "body"),
    [
        pytest.param(b"A: b\r\n\r\nbody\r\n", b"A: b\r\n", b"body\r\n", id="usual"),
        pytest.param(b"\r\nbody\r\n", b"", b"body\r\n", id="empty header"),
        pytest.param(b"A: b\r\n", b"A: b\r\n", b"", id="no body"),
        pytest.param(
            b"A: b\r\n\r\n\r\n\r\n", b"A: b\r\n", b"\r\n\r\n", id="empty lines"
        ),
        pytest.param(
            b"Hello you\r\n\r\nA: b\r\n",
            b"",
            b"Hello you\r\n\r\nA: b\r\n",
            id="first line is no field",
        ),
        pytest.param(
            b" A: b\r\n\r\nx", b"", b" A: b\r\n\r\nx", id="starts with a blank"
        ),
        pytest.param(
            b"A: b\r\n \r\n\tc\r\n\r\nx",
            b"A: b\r\n \r\n\tc\r\n",
            b"x",
            id="blank continuation",
        ),
        pytest.param(b"just text", b"", b"just text", id="one line"),
        pytest.param(b"", b"", b"", id="nothing"),
    ],
)
def test_header_ends_at_the_empty_line(content, header, body, size):
    """However the stream is cut."""
    chunks = [content[i : i + size] for i in range(0, len(content), size)]

    assert split(chunks) == (header, body)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"A: " + b"b" * 2000], id="no end"),
        pytest.param([b"A: " + b"b" * 2000 + b"\r\n\r\nx"], id="end too late"),
        pytest.param([b"A: b\r\n"] * 300, id="in steps"),
    ],
)
def test_header_without_end_is_refused(chunks):
    """A header section cannot fill the memory."""
    with pytest.raises(HeaderTooLarge):
        split(chunks)


def test_header_of_just_the_limit_passes():
    """The limit counts the section, not the empty line."""
    header = b"A: " + b"b" * 995 + b"\r\n"

    assert split([header + b"\r\nx"]) == (header, b"x")
