import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.mail.lines import CanonicalLines, canonical_lines


@pytest.mark.parametrize(
    ("content", "canonical"),
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"a\nb\rc\r\nd", b"a\r\nb\r\nc\r\nd\r\n"),
        (b"a\r", b"a\r\n"),
        (b"\n\r", b"\r\n\r\n"),
        (b"\r\r\n\n", b"\r\n\r\n\r\n"),
        (b"a\n.\r\nb", b"a\r\n.\r\nb\r\n"),
        (b"a\x0b\x0c\x1c\x85\xe2\x80\xa8b\r\n", b"a\x0b\x0c\x1c\x85\xe2\x80\xa8b\r\n"),
    ],
)
def test_line_ends_become_crlf(content, canonical):
    """CR and LF alone end lines too; nothing else does."""
    assert canonical_lines(content) == canonical


chunks = st.lists(st.text(alphabet="\r\na.", max_size=6).map(str.encode), max_size=12)


@given(chunks)
def test_cuts_change_nothing(chunks):
    """A CRLF cut in two is still one line end."""
    lines = CanonicalLines()

    out = b"".join(map(lines.feed, chunks)) + lines.close()

    content = b"".join(chunks)
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if content and not content.endswith((b"\r", b"\n")):
        expected += b"\r\n"
    assert out == expected
