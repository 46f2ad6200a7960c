"""Who speaks for others: PROXY, XCLIENT and XFORWARD; and who must not."""

import socket
import struct

import pytest

from mta.smtp.proxy import crc32c
from tests.conformance.harness import Case, each

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1")
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(15) + b"\1"
PORTS = struct.pack("!HH", 40000, 25)
V1 = "PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\r\n"


def v2(body=FOUR + PORTS, *, command=0x21, family=0x11, tlvs=b""):
    length = struct.pack("!H", len(body) + len(tlvs))
    return SIGNATURE + bytes([command, family]) + length + body + tlvs


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def checked(**options):
    header = v2(tlvs=tlv(0x03, bytes(4)), **options)
    return header[:-4] + struct.pack("!I", crc32c(header))


HEADERS = {
    "PROXY 2.1 TCP4": (V1.encode(), "192.0.2.7"),
    "PROXY 2.1 TCP6": (b"PROXY TCP6 2001:db8::7 ::1 40000 25\r\n", "2001:db8::7"),
    "PROXY 2.1 an IPv4 address in IPv6": (
        b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 40000 25\r\n",
        "192.0.2.7",
    ),
    "PROXY 2.1 UNKNOWN": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "PROXY 2.1 UNKNOWN and more": (
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
        "127.0.0.1",
    ),
    "PROXY 2.2 IPv4": (v2(), "192.0.2.7"),
    "PROXY 2.2 IPv6": (v2(SIX + PORTS, family=0x21), "2001:db8::7"),
    "PROXY 2.2 LOCAL": (v2(command=0x20), "127.0.0.1"),
    "PROXY 2.2 LOCAL without addresses": (v2(b"", command=0x20, family=0), "127.0.0.1"),
    "PROXY 2.2 UNSPEC": (v2(b"", family=0), "127.0.0.1"),
    "PROXY 2.2 UNIX": (v2(bytes(216), family=0x31), "127.0.0.1"),
    "PROXY 2.2.2 with a TLV that nobody knows": (v2(tlvs=tlv(0xEA, b"x")), "192.0.2.7"),
    "PROXY 2.2.3 with a checksum": (checked(), "192.0.2.7"),
}
BAD_HEADERS = {
    "PROXY 2.1 none at all": b"EHLO client.test\r\n",
    "PROXY 2.1 another version": b"PROXY2 TCP4 192.0.2.7 192.0.2.1 40000 25\r\n",
    "PROXY 2.1 another family": b"PROXY UDP4 192.0.2.7 192.0.2.1 40000 25\r\n",
    "PROXY 2.1 a bad address": b"PROXY TCP4 192.0.2.777 192.0.2.1 40000 25\r\n",
    "PROXY 2.1 the wrong family": b"PROXY TCP4 2001:db8::7 ::1 40000 25\r\n",
    "PROXY 2.1 a bad port": b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 25\r\n",
    "PROXY 2.1 a port missing": b"PROXY TCP4 192.0.2.7 192.0.2.1 40000\r\n",
    "PROXY 2.1 two blanks": b"PROXY  TCP4 192.0.2.7 192.0.2.1 40000 25\r\n",
    "PROXY 2.1 LF alone": b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\n",
    "PROXY 2.1 no end within 107 octets": b"PROXY UNKNOWN " + b"x" * 200,
    "PROXY 2.2 half a signature": SIGNATURE[:8] + b"EHLO",
    "PROXY 2.2 another version": v2(command=0x11),
    "PROXY 2.2 another command": v2(command=0x22),
    "PROXY 2.2 another family": v2(family=0x41),
    "PROXY 2.2 datagrams": v2(family=0x12),
    "PROXY 2.2 too short": v2(FOUR),
    "PROXY 2.2 far too long": SIGNATURE + b"\x21\x11\xff\xff",
    "PROXY 2.2.3 a wrong checksum": v2(tlvs=tlv(0x03, b"\0\0\0\1")),
    "PROXY 2.2 a TLV without an end": v2(tlvs=b"\xea\x00\x09x"),
}
SESSION = "EHLO client.test -> 250\n@content\n. -> 250"


@pytest.mark.parametrize(("header", "origin"), HEADERS.values(), ids=HEADERS)
def test_a_proxy_is_believed(connect, servers, header, origin):
    """PROXY §2: the client is whom it names; without one, the proxy itself."""
    client = connect("proxied", preface=header)

    client.expect("220 mx.test ESMTP ready")
    client.play(SESSION)
    message = servers("proxied").tell().message
    assert (message["origin"], message["protocol"]) == (origin, "ESMTP")


@pytest.mark.parametrize("size", [1, 10])
@pytest.mark.parametrize("header", [V1.encode(), v2()], ids=["version 1", "version 2"])
def test_a_header_in_pieces(connect, servers, header, size):
    """PROXY §2: it need not come in one, and what follows it is left alone."""
    client = connect("proxied")
    data = header + b"EHLO client.test\r\nNOOP\r\n"

    for start in range(0, len(data), size):
        client.send(data[start : start + size])

    for wanted in ("220 mx.test", "250 mx.test", "250 2.0.0"):
        client.expect(wanted)
    client.play("@content\n. -> 250")
    assert servers("proxied").tell().message["origin"] == "192.0.2.7"


def test_tls_with_the_proxy_is_told(connect, servers):
    """PROXY §2.2.6: the client used TLS, and the envelope says so."""
    tls = tlv(0x20, b"\x01\0\0\0\0")
    client = connect("proxied", preface=v2(tlvs=tls))
    client.expect("220")
    client.play(SESSION)

    message = servers("proxied").tell().message
    assert (message["tls"], message["protocol"]) == ("TLS", "ESMTPS")


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_proxy_that_says_it_badly_is_cut(connect, header):
    """PROXY §2: the header is a must, and a bad one the end; no client is guessed."""
    client = connect("proxied", preface=header)

    assert client.end_input() == b""


def test_whom_a_proxy_names_must_be_allowed(connect):
    """PROXY §2: the rules are for the client, and not for its proxy."""
    client = connect("proxied", preface=b"PROXY TCP4 198.51.100.9 192.0.2.1 9 25\r\n")

    client.expect("554 5.7.1")
    client.expect("EOF")


@each(
    Case(
        "PROXY 2", "version 1 from a stranger", f"{V1.strip()} -> 500 5.5.2", hello=""
    ),
    Case(
        "PROXY 2",
        "version 2 from a stranger",
        "\\r\\n\\ -> 500\n\\x00\\r\\n\\ -> 501",
        hello="",
    ),
    Case(
        "XCLIENT",
        "who the client is",
        """
        XCLIENT ADDR=192.0.2.9 NAME=client.test HELO=other.test PROTO=SMTP -> 220
        EHLO relay.test -> 250
        @content
        . -> 250
        """,
        takes={
            "origin": "192.0.2.9",
            "origin_host": "client.test",
            "helo": "other.test",
            "protocol": "SMTP",
        },
        server="filter",
    ),
    Case(
        "XCLIENT",
        "an IPv6 address",
        "XCLIENT ADDR=IPV6:2001:db8::9 -> 220\nEHLO a.test -> 250\n@content\n. -> 250",
        takes={"origin": "2001:db8::9", "helo": "a.test", "protocol": "ESMTP"},
        server="filter",
    ),
    Case(
        "XCLIENT",
        "nothing is known",
        "XCLIENT NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL] -> 220\n"
        "EHLO a.test -> 250\n@content\n. -> 250",
        takes={"origin": "127.0.0.1", "origin_host": None},
        server="filter",
    ),
    Case(
        "XCLIENT",
        "a login",
        "XCLIENT LOGIN=ada -> 220\nEHLO a.test -> 250\n@content\n. -> 250",
        takes={"user": "ada", "protocol": "ESMTPA"},
        server="filter",
    ),
    Case(
        "XCLIENT",
        "it is a new session",
        "XCLIENT NAME=client.test -> 220 mx.test\nMAIL FROM:<> -> 503 5.5.1",
        server="filter",
    ),
    Case(
        "XCLIENT",
        "values are xtext, and cannot hide CR LF",
        """
        XCLIENT HELO=a+0D+0Ab -> 501 5.5.4
        XCLIENT NAME=a+20b -> 501 5.5.4
        XCLIENT NAME=+zz -> 501 5.5.4
        XCLIENT LOGIN=ada+0D+0Ax -> 501 5.5.4
        XCLIENT LOGIN=+00 -> 501 5.5.4
        """,
        server="filter",
    ),
    Case(
        "XCLIENT",
        "values that are none",
        """
        XCLIENT -> 501 5.5.4
        XCLIENT ADDR -> 501 5.5.4
        XCLIENT ADDR= -> 501 5.5.4
        XCLIENT ADDR=192.0.2.999 -> 501 5.5.4
        XCLIENT PORT=65536 -> 501 5.5.4
        XCLIENT PROTO=HTTP -> 501 5.5.4
        XCLIENT COLOR=red -> 501 5.5.4
        XCLIENT NAME=a NAME=a -> 501 5.5.4
        MAIL FROM:<> -> 250
        """,
        server="filter",
    ),
    Case(
        "XCLIENT",
        "not within a transaction",
        "@envelope\nXCLIENT NAME=a.test -> 503 5.5.1\nDATA -> 354\n. -> 250",
        takes={"recipients": ["bob@example.test"], "origin_host": None},
        server="filter",
    ),
    Case(
        "XCLIENT",
        "commands along with it",
        "XCLIENT NAME=a.test\nMAIL FROM:<> -> 421 4.5.0, EOF",
        server="filter",
    ),
    Case("XCLIENT", "from a stranger", "XCLIENT ADDR=192.0.2.9 -> 502 5.5.1"),
    Case(
        "XCLIENT", "where it is disabled", "XCLIENT NAME=a -> 502 5.5.1", server="bare"
    ),
    Case(
        "XFORWARD",
        "where a message is from",
        """
        XFORWARD ADDR=192.0.2.9 NAME=client.test HELO=other.test PROTO=ESMTP -> 250
        @content
        . -> 250
        """,
        takes={
            "origin": "192.0.2.9",
            "origin_host": "client.test",
            "helo": "other.test",
        },
        server="filter",
    ),
    Case(
        "XFORWARD",
        "bit by bit, as Postfix does",
        """
        XFORWARD NAME=client.test ADDR=192.0.2.9 PORT=40000 -> 250 2.0.0
        XFORWARD PROTO=ESMTP HELO=other.test IDENT=4F5 SOURCE=REMOTE -> 250 2.0.0
        @content
        . -> 250
        """,
        takes={
            "origin": "192.0.2.9",
            "origin_host": "client.test",
            "helo": "other.test",
        },
        server="filter",
    ),
    Case(
        "XFORWARD",
        "along with the transaction",
        """
        XFORWARD ADDR=192.0.2.9
        MAIL FROM:<ada@example.test>
        RCPT TO:<bob@example.test>
        DATA -> 250, 250, 250, 354
        . -> 250
        """,
        takes={"origin": "192.0.2.9"},
        server="filter",
    ),
    Case(
        "XFORWARD",
        "not within a transaction",
        "@envelope\nXFORWARD ADDR=192.0.2.9 -> 503 5.5.1\nDATA -> 354\n. -> 250",
        takes={"origin": "127.0.0.1"},
        server="filter",
    ),
    Case(
        "XFORWARD",
        "values that are none",
        """
        XFORWARD -> 501 5.5.4
        XFORWARD LOGIN=ada -> 501 5.5.4
        XFORWARD SOURCE=ELSEWHERE -> 501 5.5.4
        XFORWARD HELO=a+0D+0Ab -> 501 5.5.4
        """,
        server="filter",
    ),
    Case("XFORWARD", "from a stranger", "XFORWARD ADDR=192.0.2.9 -> 502 5.5.1"),
)
def test_speaking_for_others(play, case):
    """XCLIENT_README and XFORWARD_README of Postfix; PROXY §2."""
    play(case)


def test_attributes_are_offered_to_whom_they_are_for(connect):
    """XCLIENT_README: the names after the keyword; strangers do not see it (C30)."""
    offered = connect("filter").greeted("").say("EHLO client.test").lines
    assert (
        "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT REVERSE_NAME"
        in offered
    )
    assert "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE" in offered

    strangers = connect("plain").greeted("").say("EHLO client.test").lines
    assert not any(line.startswith("X") for line in strangers)


def test_encryption_is_told_also_after_xclient(connect, trusting, servers):
    """RFC 3848: a session that is called ESMTPS has a version and a cipher to show."""
    client = connect("filter").greeted()
    assert client.say("STARTTLS").begins("220")
    client.encrypt(trusting())
    client.play(
        """
        EHLO relay.test -> 250
        XCLIENT ADDR=192.0.2.9 -> 220 mx.test
        EHLO relay.test -> 250
        @content
        . -> 250
        """
    )

    message = servers("filter").tell().message
    assert message["protocol"] == "ESMTPS"
    assert message["tls"].startswith("TLSv1")
