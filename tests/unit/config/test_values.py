import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.values import (
    HostPort,
    format_duration,
    format_size,
    is_loopback,
    parse_address,
    parse_domain,
    parse_duration,
    parse_host,
    parse_host_port,
    parse_listen_host,
    parse_network,
    parse_ratio,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("7m", 420),
        ("1h", 3600),
        ("1.5 hours", 5400),
        ("250ms", 0.25),
        ("2 Days", 172_800),
        ("1w", 604_800),
        (" 0s ", 0),
    ],
)
def test_a_duration_has_its_unit(text, seconds):
    """Numbers with units, blanks or none between them."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-5s", "5 parsecs", "1e3s", "5ss", "1..5s", "5s 3m", "٣s", "5\n s"],
)
def test_other_text_is_no_duration(text):
    """The message shows how to write one."""
    with pytest.raises(ValueError, match="30s, 5m, 2h or 7d"):
        parse_duration(text)


def test_a_duration_is_bounded():
    """An absurd number is refused and does not overflow."""
    with pytest.raises(ValueError, match="longer than anything"):
        parse_duration("999999999999w")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("30 MiB", 30 * 1024**2),
        ("25MB", 25_000_000),
        ("500 KiB", 512_000),
        ("1.5 KiB", 1536),
        ("4 GiB", 4 * 1024**3),
        ("17 bytes", 17),
        ("1kb", 1000),
    ],
)
def test_a_size_has_its_unit(text, size):
    """MiB is 2^20, MB is a million."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "30", "30M", "MiB", "-1 MiB", "1 PiB", "5s"])
def test_other_text_is_no_size(text):
    """M alone could be either, so it is neither."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("1/20", 0.05), ("5%", 0.05), ("0.05", 0.05), ("0", 0), ("1", 1), ("100 %", 1)],
)
def test_a_ratio_is_written_in_three_ways(text, ratio):
    """A fraction, per cent, or a decimal."""
    assert parse_ratio(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["", "1/0", "2/1", "101%", "1.5", "-1", "a/b", "nan"])
def test_a_ratio_is_from_0_to_1(text):
    """Anything else is refused, division by zero included."""
    with pytest.raises(ValueError, match=r"share of 1|more than 1"):
        parse_ratio(text)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("_dmarc.a-b.example", "_dmarc.a-b.example"),
        ("localhost", "localhost"),
    ],
)
def test_a_domain_becomes_lower_case_a_labels(text, domain):
    """One spelling, so that domains can be compared (RFC 5890 §2.3.2.1)."""
    assert parse_domain(text) == domain


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "*.example.com",
        "me@example.com",
        "-a.example",
        "a b.example",
        "192.0.2.1",
        "[192.0.2.1]",
        "a." * 200,
        "\ud800.example",
        "ü" * 300,
        "x" * 64 + ".example",
    ],
)
def test_other_text_is_no_domain(text):
    """Patterns, addresses and broken names are refused."""
    with pytest.raises(ValueError, match=r"^is "):
        parse_domain(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:5353", HostPort("127.0.0.1", 5353)),
        ("[::1]:5353", HostPort("::1", 5353)),
        ("[::1]", HostPort("::1", 53)),
        ("::1", HostPort("::1", 53)),
        ("192.0.2.53", HostPort("192.0.2.53", 53)),
        ("mx.example.com:25", HostPort("mx.example.com", 25)),
    ],
)
def test_host_and_port_are_told_apart(text, place):
    """IPv6 needs brackets to have a port (RFC 3986 §3.2.2)."""
    assert parse_host_port(text, 53) == place


@pytest.mark.parametrize(
    "text",
    ["", ":53", "a:", "a:0", "a:65536", "a:-1", "[::1]x", "[::1]:", "a:1:2", "[a]:1"],
)
def test_other_text_is_no_host_and_port(text):
    """Neither half may be missing or out of range."""
    with pytest.raises(ValueError, match=r"^(is|has) "):
        parse_host_port(text, 53)


def test_without_a_default_the_port_must_be_there():
    """The message shows the form."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_host_port("127.0.0.1")


def test_host_and_port_are_written_with_brackets():
    """What was parsed can be said again."""
    place = HostPort("::1", 25)

    assert parse_host_port(str(place)) == place


@pytest.mark.parametrize(
    ("parse", "text", "better"),
    [
        (parse_host, "localhost", "127.0.0.1"),
        (parse_listen_host, "localhost", "127.0.0.1"),
        (parse_listen_host, "*", "0.0.0.0"),
        (parse_listen_host, "mx.example.com", "192.0.2.10"),
        (parse_network, "10.1.2.3/8", "10.0.0.0/8"),
        (parse_network, "nets", "192.0.2.0/24"),
        (parse_address, "192.0.2", "192.0.2.10"),
    ],
)
def test_a_refused_address_comes_with_a_better_one(parse, text, better):
    """Every error names its cure."""
    with pytest.raises(ValueError, match=better.replace(".", r"\.")):
        parse(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False)],
)
def test_loopback_is_a_network(host, expected):
    """Every address of 127/8 is this machine's alone."""
    assert is_loopback(host) is expected


@given(st.integers(0, 10**9))
def test_a_formatted_duration_is_read_back(seconds):
    """parse and format agree."""
    duration = timedelta(seconds=seconds)

    assert parse_duration(format_duration(duration)) == duration


@given(st.integers(0, 2**39))
def test_a_formatted_size_is_read_back(size):
    """parse and format agree."""
    assert parse_size(format_size(size)) == size


@given(st.text(max_size=50))
def test_no_text_breaks_a_parser(text):
    """A value, or ValueError; nothing else."""
    parsers = (parse_duration, parse_size, parse_ratio, parse_domain)
    parsers += (parse_address, parse_network, parse_host_port, parse_listen_host)
    for parse in parsers:
        with contextlib.suppress(ValueError):
            parse(text)
