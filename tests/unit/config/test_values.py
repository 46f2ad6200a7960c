import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.values import (
    HostPort,
    Rate,
    format_duration,
    format_size,
    is_loopback,
    parse_address,
    parse_domain,
    parse_duration,
    parse_host,
    parse_host_port,
    parse_listen_host,
    parse_mx_pattern,
    parse_network,
    parse_rate,
    parse_ratio,
    parse_size,
    parse_tenant,
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


@pytest.mark.parametrize(
    ("text", "count", "period"),
    [
        ("10/s", 10, timedelta(seconds=1)),
        ("100/minute", 100, timedelta(minutes=1)),
        ("100 / min", 100, timedelta(minutes=1)),
        (" 1/Hour ", 1, timedelta(hours=1)),
        ("5000/day", 5000, timedelta(days=1)),
        ("10000/s", 10_000, timedelta(seconds=1)),
    ],
)
def test_a_rate_is_a_count_in_a_period(text, count, period):
    """Blanks around the slash, and the units that times have."""
    assert parse_rate(text) == Rate(count, period)


@pytest.mark.parametrize(
    "text", ["", "100", "/s", "10/", "10/fortnight", "1.5/s", "-1/s", "10/5s", "1e3/s"]
)
def test_other_text_is_no_rate(text):
    """The message shows how to write one."""
    with pytest.raises(ValueError, match="10/s, 100/minute or 5000/day"):
        parse_rate(text)


def test_a_rate_of_zero_is_refused():
    """Who wants a zone to stand still disables it."""
    with pytest.raises(ValueError, match="a rate of zero"):
        parse_rate("0/hour")


@pytest.mark.parametrize("text", ["10001/s", "600001/minute"])
def test_a_rate_that_nobody_can_measure_is_refused(text):
    """From one to the next are 100 microseconds at least."""
    with pytest.raises(ValueError, match="the most is 10000/second"):
        parse_rate(text)


def test_a_rate_is_evenly_spaced():
    """So many in a period means one in each part of it."""
    assert parse_rate("100/minute").interval == timedelta(milliseconds=600)
    assert 7 * parse_rate("7/s").interval >= timedelta(seconds=1)


@given(
    st.integers(1, 10_000),
    st.sampled_from(["second", "minute", "hour", "day"]),
)
def test_a_rate_is_written_as_it_is_read(count, period):
    """Format and parse are each other's way back."""
    text = f"{count}/{period}"

    assert str(parse_rate(text)) == text


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("MX.example.com.", "mx.example.com"),
        ("*.Google.com", "*.google.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
    ],
)
def test_an_mx_pattern_is_a_host_or_what_is_below_a_name(text, pattern):
    """Both as lower-case A-labels."""
    assert parse_mx_pattern(text) == pattern


@pytest.mark.parametrize("text", ["", "*", "*.", "a*.example", "mx.*.example", "*.*.x"])
def test_a_star_stands_in_front_or_nowhere(text):
    """Anything cleverer could match what nobody thought of."""
    with pytest.raises(ValueError, match=r"\*\.example\.com"):
        parse_mx_pattern(text)


@pytest.mark.parametrize("text", ["a", "api/ada@example.com", "Ünï çøde", "x" * 100])
def test_a_tenant_has_any_printable_name(text):
    """Whatever the applications in front of us call their customers."""
    assert parse_tenant(f" {text} ") == text


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\x7f", "\ud800", "x" * 101])
def test_a_tenants_name_is_short_and_printable(text):
    """It becomes part of keys, log lines and pages."""
    with pytest.raises(ValueError, match="1 to 100 printable"):
        parse_tenant(text)
