import base64
import email
import itertools
import random
import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.mail.binary import BinaryToBase64, TooComplex
from mta.mail.header import MAX_HEADER_BYTES
from mta.mail.lines import canonical_lines
from mta.mail.mime_walk import MAX_BOUNDARY, MAX_DELIMITER_LINE, MAX_DEPTH, MAX_PARTS
from tests.support.pace import costs_at_most

EVERY_OCTET = bytes(range(256))
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
BINARY = b"Content-Transfer-Encoding: binary\r\n"
BASE64 = b"Content-Transfer-Encoding: base64\r\n"
EIGHT_BIT = b"Content-Transfer-Encoding: 8bit\r\n"


def rewritten(message, cuts=()):
    """What the filter makes of a message that comes in pieces."""
    rewriter = BinaryToBase64()
    edges = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    pieces = [message[start:end] for start, end in itertools.pairwise(edges)]
    return b"".join(map(rewriter.feed, pieces)) + rewriter.close()


def octet_by_octet(message):
    return rewritten(message, range(len(message)))


def in_mixed(*parts):
    """A multipart of parts that have their header sections."""
    written = [b"--b\r\n" + part + b"\r\n" for part in parts]
    return MIXED + b"".join(written) + b"--b--\r\n"


def mixed_with(content, fields=BINARY):
    """A multipart of one part with these fields and this content."""
    return in_mixed(fields + b"\r\n" + content)


def encoded(content):
    return base64.encodebytes(content).replace(b"\n", b"\r\n").removesuffix(b"\r\n")


def test_a_binary_part_becomes_base64():
    """The word in its field changes, and its content; nothing else."""
    message = (
        b"Subject: x\r\n" + MIXED + b"preamble\r\n--b \t\r\n"
        b"Content-Type: image/png;\r\n\tname=x\r\n" + BINARY + b"X-Last: \xff\r\n\r\n"
        b"\x00\r\n\r\n\r--b\r\n--bb\r\n\r\n--b\r\n\r\ntext\r\n--b--\r\nepilogue"
    )

    assert rewritten(message) == (
        b"Subject: x\r\n" + MIXED + b"preamble\r\n--b \t\r\n"
        b"Content-Type: image/png;\r\n\tname=x\r\n" + BASE64 + b"X-Last: \xff\r\n\r\n"
        + encoded(b"\x00\r\n\r\n\r--b\r\n--bb\r\n")
        + b"\r\n--b\r\n\r\ntext\r\n--b--\r\nepilogue"
    )  # fmt: skip


def test_a_message_that_is_one_binary_part_becomes_base64():
    """Its content ends where the message ends, and its last line gets a line end."""
    message = BINARY + b"Content-Type: image/png\r\n\r\n" + EVERY_OCTET

    assert rewritten(message) == (
        BASE64 + b"Content-Type: image/png\r\n\r\n" + encoded(EVERY_OCTET) + b"\r\n"
    )


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 114])
def test_lines_of_base64_have_76_characters(size):
    """As RFC 2045 §6.8 wants them; an empty part has none."""
    content = b"\xff" * size

    result = octet_by_octet(mixed_with(content))

    assert result == mixed_with(encoded(content), BASE64)


def test_composites_that_were_binary_become_8bit():
    """They may not be base64 (RFC 2045 §6.4)."""
    inner = (
        BINARY + b"Content-Type: Message/RFC822\r\n\r\n"
        b"Subject: inner\r\n" + BINARY + b"\r\n\n"
    )

    result = rewritten(BINARY + in_mixed(inner))

    assert result == EIGHT_BIT + in_mixed(
        EIGHT_BIT + b"Content-Type: Message/RFC822\r\n\r\n"
        b"Subject: inner\r\n" + BASE64 + b"\r\nCg=="
    )


@pytest.mark.parametrize("encoding", [b"7bit", b"8bit", b"quoted-printable", b"x-uu"])
def test_a_part_that_is_not_binary_stays_as_it_is(encoding):
    """Also where its lines are none; the one who wrote it says they are."""
    message = mixed_with(
        EVERY_OCTET, b"Content-Transfer-Encoding: " + encoding + b" (binary)\r\n"
    )

    assert rewritten(message) == message


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BINARY.swapcase(), BASE64.swapcase().replace(b"BASE", b"base")),
        (
            b"Content-Transfer-Encoding :\r\n (a) Binary\t(b)\r\n",
            b"Content-Transfer-Encoding :\r\n (a) base64\t(b)\r\n",
        ),
        (BINARY + EIGHT_BIT + BINARY, BASE64 * 3),
        (EIGHT_BIT + BINARY, EIGHT_BIT + BINARY),
        (b"X-" + BINARY, b"X-" + BINARY),
        (b"X: y\r\n " + BINARY, b"X: y\r\n " + BINARY),
        (BINARY.replace(b"bin", b"xbin"), BINARY.replace(b"bin", b"xbin")),
        (BINARY.replace(b"binary", b""), BINARY.replace(b"binary", b"")),
    ],
)  # fmt: skip
def test_only_the_word_changes_in_the_field(before, after):
    """Of several fields the first counts, and no other may contradict it then."""
    content = b"\x00" if before == after else b"AA=="

    result = rewritten(mixed_with(b"\x00", before))

    assert result == mixed_with(content, after)


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Type: multipart/mixed; boundary=b",
        b"content-type : MULTIPART/X-Y ; x=y;BOUNDARY=b;z",
        b'Content-Type: multipart/mixed; boundary="b"',
        b'Content-Type:\r\n multipart/mixed;\r\n\tboundary =\r\n "\\b  "',
        b"Content-Type: (a) multipart/mixed (b) ; (c) boundary (d) = (e) b (f)",
        b'Content-Type: multipart/mixed; name="\\";boundary=x;"; boundary=b',
        b"Content-Type: multipart/mixed; boundary=b; boundary=x",
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain",
    ],
)
def test_boundaries_are_read_as_they_are_written(field):
    """Quotes, folds, comments, case: mailers use them all."""
    message = field + b"\r\n\r\n--b\r\n" + BINARY + b"\r\n\n\r\n--b--"

    assert BASE64 + b"\r\nCg==\r\n--b--" in rewritten(message)


@pytest.mark.parametrize("boundary", [b"b(c)", b"=_b?:/", b"b--", b"b c", b"b" * 70])
def test_odd_boundaries_delimit(boundary):
    """Most of what should have quotes is understood without them, too."""
    for quote in [b'"'] if b" " in boundary else [b'"', b""]:
        header = b"Content-Type: multipart/x;boundary=" + quote + boundary + quote
        message = header + b"\r\n\r\n--" + boundary + b"\r\n" + BINARY + b"\r\n\n"
        message += b"\r\n--" + boundary + b"--\r\n"

        assert b"\r\nCg==\r\n--" in octet_by_octet(message)


@pytest.mark.parametrize(
    "line",
    [
        b"--bb",
        b"--B",
        b"-- b",
        b"--b-",
        b"--b---",
        b"--b -- ",
        b"--b--x",
        b"--b\x0b",
        b"--b\n",
        b"--b\r",
        b"--",
        b"--b" + b" " * MAX_DELIMITER_LINE,
    ],
)
def test_a_line_that_is_nearly_a_delimiter_is_content(line):
    """A delimiter is the whole line, and blanks."""
    content = line + b"\r\n" + line

    assert octet_by_octet(mixed_with(content)) == mixed_with(encoded(content), BASE64)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\n\r", b"\r\r", b""])
def test_no_delimiter_begins_behind_another_line_end(end):
    """Only CRLF ends a line."""
    content = b"x" + end + b"--b\r\n" + end

    assert octet_by_octet(mixed_with(content)) == mixed_with(encoded(content), BASE64)


@pytest.mark.parametrize("tail", [b"--b", b"--b--", b"--b--  ", b"--b\t"])
def test_a_delimiter_may_be_the_end_of_the_message(tail):
    """Its last line may lack a line end."""
    message = MIXED + b"--b\r\n" + BINARY + b"\r\n\n\r\n" + tail

    expected = MIXED + b"--b\r\n" + BASE64 + b"\r\nCg==\r\n" + tail
    assert octet_by_octet(message) == expected


@pytest.mark.parametrize("tail", [b"\r", b"\r\n", b"\r\n-", b"\r\n--", b"\r\n--c"])
def test_a_message_may_end_in_the_middle_of_a_part(tail):
    """What might have become a delimiter is content then."""
    message = MIXED + b"--b\r\n" + BINARY + b"\r\nx" + tail

    result = octet_by_octet(message)

    assert result == MIXED + b"--b\r\n" + BASE64 + b"\r\n" + encoded(b"x" + tail) + (
        b"\r\n"
    )


def test_a_delimiter_may_follow_a_header_section_at_once():
    """One CRLF may end two things; a part may lack its empty line."""
    message = MIXED + (
        b"--b\r\n" + BINARY + b"\r\n--b\r\n" + BINARY + b"--b\r\n--b\r\n\r\n--b--\r\n"
    )

    assert octet_by_octet(message) == message.replace(BINARY, BASE64)


def test_an_outer_delimiter_ends_the_inner_parts():
    """The inner multipart was cut short; its delimiters mean nothing from there on."""
    message = MIXED + (
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\n" + BINARY + b"\r\n\n\r\n--b\r\n" + BINARY + b"\r\n1\r\n--c\r\n2"
    )

    assert octet_by_octet(message) == MIXED + (
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\n" + BASE64 + b"\r\nCg==\r\n--b\r\n" + BASE64 + b"\r\n"
    ) + encoded(b"1\r\n--c\r\n2") + b"\r\n"  # fmt: skip


def test_a_boundary_used_twice_belongs_to_the_outer_multipart():
    """As most readers have it; the inner one has no parts."""
    message = in_mixed(MIXED + b"--b\r\n" + BINARY + b"\r\n\n\r\n--b--\r\n\n")

    assert b"Cg==\r\n--b--\r\n\n\r\n--b--" in octet_by_octet(message)


def test_nothing_follows_a_close_delimiter():
    """Its boundary is text in what comes after it."""
    message = in_mixed(b"A: b\r\n") + b"--b\r\n" + BINARY + b"\r\n\n"

    assert octet_by_octet(message) == message


def test_parts_of_a_digest_are_messages_if_they_do_not_say():
    """RFC 2046 §5.1.5."""
    message = in_mixed(b"\r\n" + BINARY + b"\r\n\n").replace(b"mixed", b"digest")

    assert b"\r\n\r\n" + BASE64 + b"\r\nCg==\r\n" in rewritten(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"no field\r\n" + BINARY + b"\r\n\n",
        b"A: b",
        b"Content-Type: multipart/mixed\r\n\r\n--\r\n" + BINARY + b"\r\n\n",
        MIXED.replace(b"=b", b'=""') + b"--\r\n" + BINARY + b"\r\n\n",
        b"Content-Type: multipart; boundary=b\r\n\r\n--b\r\n" + BINARY + b"\r\n\n",
        b"Content-Type: text/x; boundary=b\r\n\r\n--b\r\n" + BINARY + b"\r\n\n",
        b"Content-Type: message/rfc822\r\n" + BASE64 + b"\r\n" + BINARY + b"\r\n\n",
    ],
)  # fmt: skip
def test_what_has_no_binary_part_passes_as_it_is(message):
    """Text that looks like a part is none."""
    assert octet_by_octet(message) == message


@dataclass(frozen=True)
class Leaf:
    content: bytes


@dataclass(frozen=True)
class Mixed:
    parts: tuple


@dataclass(frozen=True)
class Enclosed:
    message: object


def written(entity, counter):
    """An entity as octets, declared binary throughout."""
    if isinstance(entity, Leaf):
        return BINARY + b"Content-Type: x/y\r\n\r\n" + entity.content
    if isinstance(entity, Enclosed):
        inner = written(entity.message, counter)
        return BINARY + b"Content-Type: message/rfc822\r\n\r\nSubject: s\r\n" + inner
    boundary = b"=_%d_q" % next(counter)
    header = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n'
    delimiter = b"\r\n--" + boundary
    parts = [delimiter + b"\r\n" + written(part, counter) for part in entity.parts]
    return BINARY + header + b"\r\n" + b"".join(parts) + delimiter + b"--\r\n"


def leaves(entity):
    if isinstance(entity, Leaf):
        return [entity.content]
    if isinstance(entity, Enclosed):
        return leaves(entity.message)
    return [content for part in entity.parts for content in leaves(part)]


def is_honest(content):
    """Whether content has no line that is one of our delimiters."""
    return not re.search(
        rb"\r\n--=_[0-9]+_q(--)?[ \t]*(?=\r\n)", b"\r\n" + content + b"\r\n"
    )


CONTENT = st.lists(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"\r\n",
            b"\x00",
            b"-",
            b"--",
            b" ",
            b".\r\n",
            b"\r\n--",
            b"\r\n--=_0",
            b"\r\n--=_0_q",
            b"--=_0_q--",
            b"\n--=_1_q\n",
            b"\r--=_0_q\r",
            b"\r\n--=_0_qq\r\n",
            b"Content-Transfer-Encoding: binary\r\n\r\n",
            b"x" * 1_000,
            EVERY_OCTET,
        ]
    )
    | st.binary(max_size=80),
    max_size=8,
).map(b"".join)
LEAVES = CONTENT.filter(is_honest).map(Leaf)
ENTITIES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map(tuple).map(Mixed)
        | inner.map(Enclosed)
    ),
    max_leaves=8,
)


@given(ENTITIES, st.lists(st.integers(min_value=0), max_size=20))
def test_the_standard_library_decodes_what_was_put_in(entity, cuts):
    """After the line ends were made canonical, too: that is what it is for."""
    message = written(entity, iter(range(1_000)))

    result = canonical_lines(rewritten(message, cuts))

    parts = list(email.message_from_bytes(result).walk())
    assert [
        part.get_payload(decode=True) for part in parts if not part.is_multipart()
    ] == leaves(entity)
    assert not any("binary" in part.as_string().split("\n\n")[0] for part in parts)
    assert max(map(len, result.split(b"\r\n"))) <= 76


@given(st.binary(max_size=300).filter(lambda content: b"\r\n--b" not in content))
def test_any_octets_come_back(content):
    """Whatever they are, if no line is the delimiter."""
    parsed = email.message_from_bytes(rewritten(mixed_with(b"x" + content)))

    assert parsed.get_payload(0).get_payload(decode=True) == b"x" + content


FRAGMENTS = [
    *[b"\r\n"] * 4,
    b"--b",
    b"--c",
    b"--b--",
    b"\r\n--b\r\n",
    b"\r\n--c\r\n",
    b"\r\n--c--\r\n",
    b"\r\n--b--\r\n",
    b"\r",
    b"\n",
    b" ",
    b"-",
    b"--",
    b"x",
    b"\x00",
    b"A: b\r\n",
    b" " * 990,
    MIXED,
    MIXED.removesuffix(b"\r\n"),
    MIXED.replace(b"=b", b'="c"'),
    MIXED.replace(b"=b", b"=b--"),
    MIXED.replace(b"mixed", b"digest"),
    b"Content-Type: message/rfc822\r\n",
    b"\r\n\r\n",
]
SOUP = st.lists(st.sampled_from([*FRAGMENTS, BINARY, BINARY]), max_size=40)


@settings(max_examples=300)
@given(SOUP, st.lists(st.integers(min_value=0), max_size=40))
def test_cuts_change_nothing(fragments, cuts):
    """Broken structures included: whole, octet by octet, and cut anywhere."""
    message = MIXED + b"".join(fragments)

    whole = rewritten(message)

    assert rewritten(message, cuts) == whole
    assert octet_by_octet(message) == whole


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(b"".join))
def test_a_message_that_declares_nothing_binary_stays_as_it_is(message):
    """Every octet of it, whatever its structure."""
    assert rewritten(MIXED + message) == MIXED + message


def deep(levels, core):
    return b"Content-Type: message/rfc822\r\n\r\n" * levels + core


def test_a_part_at_the_deepest_level_is_still_rewritten():
    """So many composites are opened."""
    message = deep(MAX_DEPTH, BINARY + b"\r\n\n")

    assert rewritten(message) == deep(MAX_DEPTH, BASE64 + b"\r\nCg==\r\n")


@pytest.mark.parametrize("core", [b"Content-Type: message/rfc822\r\n\r\n", MIXED])
def test_what_is_deeper_passes_as_it_is(core):
    """Nobody's mail; it is neither read nor relabelled."""
    message = deep(MAX_DEPTH, BINARY + core + b"\r\n--b\r\n" + BINARY + b"\r\n\n")

    assert rewritten(message) == message


def test_levels_that_are_left_do_not_count():
    """Depth is what is around a part, not what was before it."""
    nested = b"--b\r\n" + deep(60, b"\r\n\r\n")
    message = MIXED + nested * 3 + b"--b\r\n" + BINARY + b"\r\n\n\r\n--b--"

    assert rewritten(message).endswith(b"Cg==\r\n--b--")


def test_so_many_parts_are_taken_and_no_more():
    """The message itself is the first."""
    parts = b"--b\r\n\r\n" * (MAX_PARTS - 1)

    assert rewritten(MIXED + parts) == MIXED + parts
    with pytest.raises(TooComplex, match="parts"):
        rewritten(MIXED + parts + b"--b\r\n")


@pytest.mark.parametrize("cuts", [(), range(0, MAX_HEADER_BYTES + 2_000, 997)])
@pytest.mark.parametrize("excess", [0, 1])
def test_a_header_section_over_the_limit_is_too_complex(cuts, excess):
    """However it comes; one octet decides."""
    fields = b"A: b\r\n" * (MAX_HEADER_BYTES // 12)
    fields += b"B: " + b"c" * (MAX_HEADER_BYTES - len(fields) - 5 + excess) + b"\r\n"
    message = MIXED + b"--b\r\n" + fields + b"\r\nx\r\n--b--\r\n"

    if excess:
        with pytest.raises(TooComplex, match="header section"):
            rewritten(message, cuts)
    else:
        assert rewritten(message, cuts) == message


def test_a_header_section_without_an_end_is_not_gathered():
    """What is held is bounded while it comes, not when it is there."""
    rewriter = BinaryToBase64()
    rewriter.feed(b"x" * MAX_HEADER_BYTES)

    with pytest.raises(TooComplex, match="header section"):
        rewriter.feed(b"x" * 2 * MAX_DELIMITER_LINE)


@pytest.mark.parametrize(
    "parameter",
    [
        b"boundary=" + b"b" * (MAX_BOUNDARY + 1),
        b"boundary*=us-ascii''b",
        b"boundary*0=b; boundary*1=c",
    ],
)
def test_a_boundary_that_is_not_read_is_too_complex(parameter):
    """To pass it on would spoil the binary parts it may delimit."""
    with pytest.raises(TooComplex, match="boundary"):
        rewritten(b"Content-Type: multipart/mixed; " + parameter + b"\r\n\r\n")


def test_a_field_that_is_huge_is_too_complex():
    """The two that are read are short by nature."""
    with pytest.raises(TooComplex, match="field"):
        rewritten(BINARY.replace(b":", b":" + b"()" * 10_000) + b"\r\n")


LONG = b"b" * MAX_BOUNDARY
HOSTILE = {
    "beginnings of delimiters": b"\r\n--" * 250_000,
    "most of a boundary": (b"\r\n--" + LONG[:60]) * 16_000,
    "blanks behind a boundary": (b"\r\n--" + LONG + b" " * 900 + b"x") * 1_000,
    "a line without end": b"\r\n--" + b"x" * 1_000_000,
    "CR": b"\r" * 1_000_000,
    "empty lines": b"\r\n" * 500_000,
    "hyphens": b"-" * 1_000_000,
    "small parts": (b"\r\n--" + LONG + b"\r\n") * 9_000,
    "small fields": b"\r\n--" + LONG + b"\r\n" + b"a:\r\n" * 250_000,
    "hyphens in a header": b"\r\n--" + LONG + b"\r\na:\r\n" + b"--\r\n" * 250_000,
    "encodings": b"\r\n--" + LONG + b"\r\n" + BINARY * 25_000,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_content_takes_linear_time(hostile):
    """Much less work than a square would take; also in small cuts."""
    message = MIXED.replace(b"=b", b"=" + LONG) + b"--" + LONG + b"\r\n" + BINARY
    message += b"\r\n" + hostile + b"\r\n--" + LONG + b"--\r\n"
    in_small = []

    def run():
        in_small.append(rewritten(message, range(0, len(message), 61)))

    assert costs_at_most(500, run)
    assert in_small[0] == rewritten(message)


@pytest.mark.parametrize(
    "filler",
    [b"()", b"(", b";", b"\\", b'\\"', b';a="', b'";a="\\', b"; ", b"(;)", b";a(;a)"],
)
def test_hostile_fields_take_linear_time(filler):
    """In many parts, each as long as a field may be."""
    field = (b'Content-Type: multipart/x;a="' + filler * 16_000)[:16_000]
    part = b"--b\r\n" + field + b"\r\n\r\n"

    assert costs_at_most(500, lambda: rewritten(MIXED + part * 60))


def test_content_is_not_gathered():
    """What comes in goes out; only a line may have to wait."""
    rewriter = BinaryToBase64()
    rewriter.feed(MIXED + b"--b\r\n" + BINARY + b"\r\n")
    chunk = random.Random(1).randbytes(57 * 1_000)

    sizes = [len(rewriter.feed(chunk + b"\r\n--b")) for _ in range(10)]

    assert min(sizes) > len(chunk)
