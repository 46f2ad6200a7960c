from ipaddress import ip_address, ip_network

import pytest

from mta.errors import PermanentFailure
from mta.policy.targets import MX, is_refused_address, order_targets, parse_literal


def order(mx, own_names=frozenset(), shuffle=list, domain="d.test"):
    return order_targets(domain, mx, own_names=own_names, shuffle=shuffle)


def test_domain_without_mx_is_its_own_host():
    """The implicit MX (RFC 5321 §5.1)."""
    assert order([]) == ("d.test",)


def test_hosts_come_by_preference():
    """The lowest number first (RFC 5321 §5.1)."""
    assert order([MX(20, "b.test"), MX(10, "a.test")]) == ("a.test", "b.test")


def test_equal_preferences_are_shuffled_and_only_those():
    """RFC 5321 §5.1: MUST randomize; here the dice turn the list around."""
    mx = [MX(10, "a.test"), MX(10, "b.test"), MX(5, "c.test")]

    assert order(mx, shuffle=lambda mx: mx[::-1]) == ("c.test", "b.test", "a.test")


@pytest.mark.parametrize("host", [".", ""])
def test_null_mx_fails_at_once(host):
    """A null MX is the owner's last word: permanent, no fallback (RFC 7505 §3)."""
    with pytest.raises(PermanentFailure) as failure:
        order([MX(0, host)])

    assert (failure.value.reply.code, str(failure.value.reply.status)) == (
        556,
        "5.1.10",
    )


def test_null_mx_beside_others_is_ignored():
    """RFC 7505 §3 forbids the mix; the host that is named may well take mail."""
    assert order([MX(0, "."), MX(10, "a.test")]) == ("a.test",)


def test_our_own_level_and_worse_ones_are_dropped():
    """They would only hand the message back to us (RFC 5321 §5.1)."""
    mx = [MX(10, "a.test"), MX(20, "us.test"), MX(20, "b.test"), MX(30, "c.test")]

    assert order(mx, own_names={"us.test"}) == ("a.test",)


def test_domain_whose_best_host_we_are_is_a_loop():
    """Nobody better is left (RFC 5321 §5.1, RFC 3463 X.4.6)."""
    with pytest.raises(PermanentFailure) as failure:
        order([MX(10, "us.test"), MX(20, "b.test")], own_names={"us.test"})

    assert str(failure.value.reply.status) == "5.4.6"


def test_hosts_are_few_and_distinct():
    """A domain cannot make us knock at a hundred doors."""
    mx = [MX(n // 2, f"h{n // 2}.test") for n in range(100)]

    assert order(mx) == tuple(f"h{n}.test" for n in range(10))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1",
    ],
)  # fmt: skip
def test_local_addresses_are_refused(address):
    """An MX record must not open our inner doors, in whatever disguise."""
    assert is_refused_address(ip_address(address), block_local=True)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "::", "ff02::1"],
)
def test_some_addresses_are_never_mail_servers(address):
    """Refused whatever is allowed: 0.0.0.0 reaches this very host."""
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]

    assert is_refused_address(
        ip_address(address), block_local=False, allowed=everything
    )


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "2001:db8::1"])
def test_public_addresses_are_not_refused(address):
    """The rest of the world."""
    assert not is_refused_address(ip_address(address), block_local=True)


def test_local_address_may_be_allowed():
    """The operator names exceptions, or turns the rule off."""
    address = ip_address("127.77.0.1")
    allowed = [ip_network("127.77.0.0/16")]

    assert not is_refused_address(address, block_local=True, allowed=allowed)
    assert not is_refused_address(address, block_local=False)


def test_our_own_address_is_refused():
    """Mail to ourselves goes round in circles."""
    own = ip_address("192.0.2.10")

    assert is_refused_address(own, block_local=True, own_addresses={own})


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[ipv6:2001:db8::1]", "2001:db8::1"),
    ],
)
def test_literals_are_read(domain, expected):
    """RFC 5321 §4.1.3."""
    assert parse_literal(domain) == ip_address(expected)


def test_name_is_no_literal():
    """Most domains are names."""
    assert parse_literal("d.test") is None


@pytest.mark.parametrize(
    "domain",
    ["[", "[]", "[d.test]", "[192.0.2.1", "[IPv6:fe80::1%eth0]", "[300.1.1.1]"],
)
def test_broken_literals_are_refused(domain):
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"."):
        parse_literal(domain)
