"""Headers of the PROXY protocol, built by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.proxy import (
    MAX_V1_HEADER,
    MAX_V2_BLOCK,
    BadProxyHeader,
    ProxiedFrom,
    ProxyReader,
    crc32c,
)

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
INET = b"\xc0\x00\x02\x01\xc6\x33\x64\x02\x09\xdd\x00\x19"
INET6 = (
    b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"
    b"\x20\x01\x0d\xb8" + bytes(11) + b"\x02"
    b"\x09\xdd\x00\x19"
)
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
# What a cloud's load balancer sends: a checksum, a TLV of its own, and padding.
FROM_CLOUD = (
    SIGNATURE
    + bytes.fromhex(
        "21110054 ac1f0771 ac1f0a1f c8f20050 030004 e8d6892d"
        "ea0017 01 767063652d3038643262663135666163353030316339 040024"
    )
    + bytes(36)
)


def a_block(command=b"\x21", family=b"\x11", block=INET):
    return SIGNATURE + command + family + len(block).to_bytes(2) + block


def a_tlv(kind, value):
    return bytes([kind]) + len(value).to_bytes(2) + value


def with_checksum(block, after=b""):
    """Append a TLV with the right checksum, and ``after``."""
    blanked = a_block(block=block + a_tlv(3, bytes(4)) + after)
    return block + a_tlv(3, crc32c(blanked).to_bytes(4)) + after


def read(data):
    return ProxyReader().feed(data)


def read_by_octets(data):
    """Feed one octet after another; whatever follows the header becomes its rest."""
    reader = ProxyReader()
    for at in range(len(data)):
        found = reader.feed(data[at : at + 1])
        if found is not None:
            return found, at + 1
    return None, len(data)


def octets_until_refused(data):
    reader = ProxyReader()
    for at in range(len(data)):
        try:
            assert reader.feed(data[at : at + 1]) is None
        except BadProxyHeader:
            return at + 1
    raise AssertionError("not refused")


def addresses(found):
    return (
        found.source,
        found.source_port,
        found.destination,
        found.destination_port,
    )


LONGEST = b"ffff:" * 7 + b"ffff"  # address of version 1
NOT_SAID = (None, 0, None, 0)
GOOD = {
    "TCP4": b"PROXY TCP4 192.0.2.1 198.51.100.2 2525 25\r\n",
    "TCP4, shortest": b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
    "TCP4, longest": b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
    "TCP6": b"PROXY TCP6 2001:db8::1 2001:DB8::2 2525 25\r\n",
    "TCP6, shortest": b"PROXY TCP6 :: :: 0 0\r\n",
    "TCP6, longest": b"PROXY TCP6 %b %b 65535 65535\r\n" % (LONGEST, LONGEST),
    "UNKNOWN": b"PROXY UNKNOWN\r\n",
    "UNKNOWN, longest": b"PROXY UNKNOWN %b %b 65535 65535\r\n" % (LONGEST, LONGEST),
    "v2 INET": a_block(),
    "v2 INET6": a_block(family=b"\x21", block=INET6),
    "v2 UNIX": a_block(family=b"\x31", block=UNIX),
    "v2 UNSPEC": a_block(family=b"\x00", block=b""),
    "v2 LOCAL": a_block(command=b"\x20", family=b"\x00", block=b""),
    "v2 from a cloud": FROM_CLOUD,
    "v2 with TLS": a_block(block=INET + a_tlv(0x20, b"\x01\0\0\0\0")),
    "v2, longest": a_block(
        block=with_checksum(INET, a_tlv(4, bytes(MAX_V2_BLOCK - 12 - 7 - 3)))
    ),
}
each_good_header = pytest.mark.parametrize("header", GOOD.values(), ids=GOOD.keys())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(GOOD["TCP4"], ("192.0.2.1", 2525, "198.51.100.2", 25), id="TCP4"),
        pytest.param(GOOD["TCP4, shortest"], ("0.0.0.0", 0) * 2, id="zeros"),
        pytest.param(
            GOOD["TCP4, longest"], ("255.255.255.255", 65535) * 2, id="all ones"
        ),
        pytest.param(GOOD["TCP6"], ("2001:db8::1", 2525, "2001:db8::2", 25), id="TCP6"),
        pytest.param(
            b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 2525 25\r\n",
            ("192.0.2.1", 2525, "198.51.100.2", 25),
            id="IPv4 in IPv6",
        ),
        pytest.param(GOOD["UNKNOWN"], NOT_SAID, id="UNKNOWN"),
        pytest.param(GOOD["UNKNOWN, longest"], NOT_SAID, id="UNKNOWN with addresses"),
        pytest.param(b"PROXY UNKNOWN ?  x=1 \r\n", NOT_SAID, id="UNKNOWN with text"),
    ],
)
def test_a_line_of_version_1(line, expected):
    """§2.1: what stands behind UNKNOWN is ignored."""
    found = read(line)

    assert addresses(found) == expected
    assert (found.rest, found.is_tls) == (b"", False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(a_block(), ("192.0.2.1", 2525, "198.51.100.2", 25), id="INET"),
        pytest.param(
            a_block(family=b"\x21", block=INET6),
            ("2001:db8::1", 2525, "2001:db8::2", 25),
            id="INET6",
        ),
        pytest.param(
            a_block(
                family=b"\x21",
                block=bytes(10) + b"\xff\xff\xc0\x00\x02\x01" + bytes(16) + bytes(4),
            ),
            ("192.0.2.1", 0, "::", 0),
            id="IPv4 in IPv6",
        ),
        pytest.param(a_block(family=b"\x31", block=UNIX), NOT_SAID, id="UNIX"),
        pytest.param(a_block(family=b"\x00", block=b""), NOT_SAID, id="UNSPEC"),
        pytest.param(a_block(family=b"\x01", block=INET), NOT_SAID, id="UNSPEC stream"),
        pytest.param(a_block(command=b"\x20"), NOT_SAID, id="LOCAL with addresses"),
        pytest.param(
            FROM_CLOUD, ("172.31.7.113", 51442, "172.31.10.31", 80), id="TLVs"
        ),
    ],
)
def test_a_header_of_version_2(header, expected):
    """§2.2: without an IP address the connection is the proxy's own."""
    found = read(header)

    assert addresses(found) == expected
    assert (found.rest, found.is_tls) == (b"", False)


@each_good_header
@pytest.mark.parametrize(
    "rest", [b"", b"EHLO client.test\r\n", b"\x16\x03\x01\r\n", b"P"]
)
def test_what_comes_after_the_header_is_handed_on(header, rest):
    """A client may speak as soon as it likes, TLS too; not an octet is lost."""
    assert read(header + rest).rest == rest


@each_good_header
def test_octet_by_octet_is_no_other_than_at_once(header):
    """The network cuts where it likes; nothing is decided early, or late."""
    found, used = read_by_octets(header + b"EHLO")

    assert found == read(header)
    assert used == len(header)


@each_good_header
def test_nothing_fed_is_nothing_learned(header):
    """An empty read between two others does not matter."""
    reader = ProxyReader()

    assert reader.feed(b"") is None
    assert reader.feed(header[:5]) is None
    assert reader.feed(b"") is None
    assert reader.feed(header[5:]) == read(header)


@pytest.mark.parametrize(
    ("line", "at"),
    [
        pytest.param(b"EHLO client.test\r\n", 1, id="SMTP"),
        pytest.param(b"\x16\x03\x01", 1, id="TLS"),
        pytest.param(b" PROXY", 1, id="blank before"),
        pytest.param(b"proxy TCP4", 1, id="lower case"),
        pytest.param(b"PROXZ", 5, id="other word"),
        pytest.param(b"PROXY\r\n", 6, id="word alone"),
        pytest.param(b"PROXY  TCP4", 7, id="two blanks"),
        pytest.param(b"PROXY\tTCP4", 6, id="tab"),
        pytest.param(b"PROXY UDP4", 8, id="datagrams"),
        pytest.param(b"PROXY TCP5", 10, id="no family"),
        pytest.param(b"PROXY TCP4\r", 11, id="no addresses"),
        pytest.param(b"PROXY TCP4  1", 12, id="two blanks before an address"),
        pytest.param(b"PROXY TCP4 256", 14, id="above 255"),
        pytest.param(b"PROXY TCP4 01", 13, id="zero in front"),
        pytest.param(b"PROXY TCP4 1.2.3 ", 17, id="three octets"),
        pytest.param(b"PROXY TCP4 1.2.3.4.", 19, id="five octets"),
        pytest.param(b"PROXY TCP4 1..", 14, id="empty octet"),
        pytest.param(b"PROXY TCP4 ::1", 12, id="IPv6 in TCP4"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 -", 28, id="negative port"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 00", 29, id="port with zeros"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 65536", 32, id="port too high"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 100000", 33, id="port too long"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 1\r", 29, id="one port"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 1 1 ", 31, id="blank after"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 1 1\n", 31, id="LF alone"),
        pytest.param(b"PROXY TCP4 0.0.0.0 0.0.0.0 1 1\r\r", 32, id="CR alone"),
        pytest.param(b"PROXY TCP6 g", 12, id="no hexadecimal digit"),
        pytest.param(b"PROXY TCP6 fe80::1%", 19, id="scope"),
        pytest.param(b"PROXY UNKNOWN\n", 14, id="UNKNOWN with LF alone"),
        pytest.param(b"PROXY UNKNOWN\rX", 15, id="UNKNOWN with CR alone"),
        pytest.param(b"PROXY UNKNOWNX", 14, id="UNKNOWN and more"),
        pytest.param(b"PROXY UNKNOWN a\0", 16, id="UNKNOWN with NUL"),
        pytest.param(b"PROXY UNKNOWN \xc3", 15, id="UNKNOWN beyond ASCII"),
    ],
)
def test_a_bad_line_is_refused_at_its_first_bad_octet(line, at):
    """A client that is no proxy hears of it at once, not after a timeout."""
    assert octets_until_refused(line) == at
    with pytest.raises(BadProxyHeader):
        read(line)


@pytest.mark.parametrize(
    "address",
    [b":", b":::", b"1.2.3.4", b"2001:db8::1::", b"12345::", b"1:2:3:4:5:6:7"],
)
def test_an_ipv6_address_that_is_none_is_refused(address):
    """At the end of the line at the latest."""
    line = b"PROXY TCP6 %b :: 1 1\r\n"

    assert octets_until_refused(line % address) == len(line % address)
    with pytest.raises(BadProxyHeader):
        read(b"PROXY TCP6 :: %b 1 1\r\n" % address)


@pytest.mark.parametrize("start", [b"PROXY UNKNOWN ", b"PROXY TCP6 "])
def test_a_line_without_an_end_is_refused(start):
    """107 octets are enough for everybody (§2.1)."""
    assert octets_until_refused(start + b"f" * 10_000) == MAX_V1_HEADER
    with pytest.raises(BadProxyHeader):
        read(start + b"f" * 10_000 + b"\r\n")


def test_a_line_may_have_107_octets_and_no_more():
    """CRLF included."""
    longest = b"PROXY UNKNOWN ".ljust(MAX_V1_HEADER - 2, b"x")

    assert read(longest + b"\r\n") is not None
    with pytest.raises(BadProxyHeader):
        read(longest + b"x\r\n")


@pytest.mark.parametrize(
    ("header", "at"),
    [
        pytest.param(b"\r\n\r\n\0\r\nQUIT\r", 12, id="signature"),
        pytest.param(b"\r\nEHLO", 3, id="empty line"),
        pytest.param(SIGNATURE + b"\x11", 13, id="version 1"),
        pytest.param(SIGNATURE + b"\x31", 13, id="version 3"),
        pytest.param(SIGNATURE + b"\x22", 13, id="command"),
        pytest.param(SIGNATURE + b"\x21\x12", 14, id="INET datagram"),
        pytest.param(SIGNATURE + b"\x21\x22", 14, id="INET6 datagram"),
        pytest.param(SIGNATURE + b"\x21\x32", 14, id="UNIX datagram"),
        pytest.param(SIGNATURE + b"\x21\x02", 14, id="UNSPEC datagram"),
        pytest.param(SIGNATURE + b"\x21\x10", 14, id="INET of no kind"),
        pytest.param(SIGNATURE + b"\x21\x41", 14, id="family"),
        pytest.param(SIGNATURE + b"\x21\x11\x11", 15, id="much too long"),
        pytest.param(SIGNATURE + b"\x21\x11\x10\x01", 16, id="too long by one"),
        pytest.param(SIGNATURE + b"\x20\x00\xff", 15, id="LOCAL, too long"),
        pytest.param(SIGNATURE + b"\x21\x11\x00\x0b", 16, id="too short for INET"),
        pytest.param(SIGNATURE + b"\x21\x21\x00\x23", 16, id="too short for INET6"),
        pytest.param(SIGNATURE + b"\x21\x31\x00\xd7", 16, id="too short for UNIX"),
        pytest.param(SIGNATURE + b"\x21\x11\x00\x00", 16, id="no addresses"),
    ],
)
def test_a_bad_fixed_part_is_refused_at_its_first_bad_octet(header, at):
    """§2.2: all other values of its octets are to be refused."""
    assert octets_until_refused(header) == at
    with pytest.raises(BadProxyHeader):
        read(header + bytes(5000))


@pytest.mark.parametrize("family", range(256))
def test_a_local_header_may_have_any_family(family):
    """§2.2: it is to be ignored, as are addresses and all else."""
    found = read(a_block(command=b"\x20", family=bytes([family]), block=b"\xff" * 7))

    assert addresses(found) == NOT_SAID


@pytest.mark.parametrize(
    "tlvs",
    [
        pytest.param(b"\x04", id="type alone"),
        pytest.param(b"\x04\x00", id="half a length"),
        pytest.param(b"\x04\x00\x01", id="no value"),
        pytest.param(a_tlv(1, b"h2") + b"\x04\xff\xffx", id="value cut off"),
        pytest.param(a_tlv(0x20, b""), id="TLS without a value"),
        pytest.param(a_tlv(0x20, b"\x01\0\0\0"), id="TLS cut off"),
        pytest.param(a_tlv(0x20, b"\x01\0\0\0\0") * 2, id="TLS twice"),
        pytest.param(a_tlv(3, b"\0\0\0\0"), id="wrong checksum"),
        pytest.param(a_tlv(3, b""), id="empty checksum"),
        pytest.param(a_tlv(3, b"\0" * 5), id="long checksum"),
        pytest.param(with_checksum(INET)[12:] * 2, id="checksum twice"),
    ],
)
def test_bad_tlvs_are_refused(tlvs):
    """A header that is broken anywhere is believed nowhere."""
    with pytest.raises(BadProxyHeader):
        read(a_block(block=INET + tlvs))


@pytest.mark.parametrize(
    ("value", "is_tls"),
    [
        pytest.param(b"\x01\0\0\0\0", True, id="TLS"),
        pytest.param(
            b"\x07\0\0\0\x01", True, id="TLS with a certificate, not verified"
        ),
        pytest.param(
            b"\x01\0\0\0\0" + a_tlv(0x21, b"TLSv1.3"), True, id="TLS with its version"
        ),
        pytest.param(b"\x00\0\0\0\0", False, id="no TLS"),
        pytest.param(b"\x06\xff\xff\xff\xff", False, id="other bits"),
    ],
)
@pytest.mark.parametrize(
    ("family", "block"),
    [(b"\x11", INET), (b"\x21", INET6), (b"\x31", UNIX)],
    ids=["INET", "INET6", "UNIX"],
)
def test_tls_with_the_proxy_is_told(value, is_tls, family, block):
    """§2.2.6: PP2_CLIENT_SSL is the lowest bit."""
    tlvs = a_tlv(2, b"mx.example.test") + a_tlv(0x20, value) + a_tlv(0xE0, b"x")

    assert read(a_block(family=family, block=block + tlvs)).is_tls is is_tls


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(
            a_block(b"\x20", block=INET + a_tlv(0x20, b"\x01\0\0\0\0")), id="LOCAL"
        ),
        pytest.param(
            a_block(family=b"\0", block=a_tlv(0x20, b"\x01\0\0\0\0")), id="UNSPEC"
        ),
    ],
)
def test_a_connection_of_the_proxys_own_has_no_tls(header):
    """Its block is not read at all."""
    assert read(header).is_tls is False


def test_the_checksum_of_the_standards_example():
    """The check value that is published for CRC-32C."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_a_right_checksum_is_taken_and_any_other_refused():
    """One flipped bit anywhere after the fixed part is noticed."""
    good = a_block(block=with_checksum(INET, a_tlv(0x20, b"\x01\0\0\0\0")))
    assert read(good).is_tls

    for at in range(16, len(good)):
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        is_type_of_checksum = at == 16 + len(INET)

        if not is_type_of_checksum:  # then it is a TLV that nobody knows
            with pytest.raises(BadProxyHeader):
                read(bad)


@pytest.mark.parametrize("end", [GOOD["TCP4"], b"EHLO client.test\r\n"])
def test_a_reader_reads_one_header(end):
    """Whatever it was, what follows is not its to judge."""
    reader = ProxyReader()
    try:
        reader.feed(end)
    except BadProxyHeader:
        assert end.startswith(b"EHLO")

    with pytest.raises(RuntimeError):
        reader.feed(GOOD["TCP4"])


def test_what_the_client_says_is_not_in_the_repr():
    """A login may be in it, and values end up in logs."""
    found = read(GOOD["TCP4"] + b"AUTH PLAIN c2VjcmV0\r\n")

    assert "c2VjcmV0" not in repr(found)
    assert isinstance(found, ProxiedFrom)


def outcome(data, sizes):
    """Feed ``data`` in pieces; what was found with all that follows, or the refusal."""
    reader, at = ProxyReader(), 0
    for size in [*sizes, len(data)]:
        try:
            found = reader.feed(data[at : at + size])
        except BadProxyHeader as error:
            return str(error)
        at += size
        if found is not None:
            return addresses(found), found.is_tls, found.rest + data[at:]
    return None


HEADERS = st.sampled_from(list(GOOD.values()))
DAMAGED = st.builds(
    lambda header, at, octet: (
        header[: at % len(header)] + octet + header[at % len(header) + 1 :]
    ),
    HEADERS,
    st.integers(0, 300),
    st.binary(max_size=2),
)
LINES = st.from_regex(rb"PROXY (TCP4|TCP6|UNKNOWN)( [0-9.:a-f]*){0,4} ?\r?\n?")
STREAMS = st.binary(max_size=60) | HEADERS | DAMAGED | LINES
STREAMS |= st.binary(max_size=60).map(lambda block: a_block(block=INET + block))
STREAMS |= st.binary(max_size=60).map(lambda octets: SIGNATURE + octets)


@given(STREAMS, st.lists(st.integers(0, 20)))
def test_pieces_of_any_size_are_no_other_than_octets(data, sizes):
    """Found, refused or undecided: how the network cut it changes nothing."""
    by_octets = outcome(data, [1] * len(data))
    at_once = outcome(data, [])

    assert (at_once is None) is (by_octets is None)
    if isinstance(by_octets, tuple):
        assert outcome(data, sizes) == at_once == by_octets
    elif by_octets is not None:  # the first reason may be another
        assert isinstance(outcome(data, sizes), str)
        assert isinstance(at_once, str)


@given(STREAMS, st.binary(max_size=2000))
def test_every_stream_is_decided_within_a_bound(data, more):
    """So no more is held, and no more work done, whatever comes."""
    stream = data + more + bytes(16 + MAX_V2_BLOCK)

    for sizes in ([], [1] * (16 + MAX_V2_BLOCK)):
        decided = outcome(stream, sizes)

        assert decided is not None


def test_work_is_linear_in_the_longest_header():
    """A patient stranger who sends single octets makes nothing be read twice."""
    header = GOOD["v2, longest"]
    reader = ProxyReader()

    for at in range(len(header) - 1):
        assert reader.feed(header[at : at + 1]) is None
        assert len(reader._buffer) == at + 1

    assert reader.feed(header[-1:] + b"x").rest == b"x"


def test_a_bad_stream_is_not_held():
    """What follows may be as long as it likes."""
    reader = ProxyReader()

    with pytest.raises(BadProxyHeader):
        reader.feed(b"x" * 1_000_000)

    assert len(reader._buffer) == 0
