"""What we call ourselves in EHLO."""

from ipaddress import ip_address

import pytest

from mta.config.zones import PoolAddress
from mta.errors import PermanentFailure, TransientFailure
from mta.relay.names import KEPT, PAUSE, EhloNames
from mta.reply import make_reply

ADDRESS = ip_address("192.0.2.10")
SOURCE = PoolAddress(address=ADDRESS)
BROKEN = TransientFailure(make_reply(450, "4.4.3", "no answer"), category="dns")
NO_NAME = PermanentFailure(make_reply(550, "5.4.4", "no address"), category="dns")


class Dns:
    """Names by address and addresses by name; raises what is an exception."""

    def __init__(self, names=(), **addresses):
        self.names = names
        self.addresses = addresses
        self.asked = 0

    def find_names(self, address):
        self.asked += 1
        if isinstance(self.names, Exception):
            raise self.names
        return tuple(f"{name}.test" for name in self.names)

    def find_addresses(self, host):
        found = self.addresses.get(host.removesuffix(".test").lower(), NO_NAME)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def a_name(clock):
    """Ask once for our name at the address."""
    return lambda dns, source=SOURCE: EhloNames(dns, "mta.test", monotonic=clock)(
        source
    )


@pytest.mark.parametrize(
    ("dns", "expected"),
    [
        pytest.param(Dns(("Out",), out=[ADDRESS]), "out.test", id="there and back"),
        pytest.param(
            Dns(("b", "a"), a=[ip_address("192.0.2.1")], b=[ADDRESS]),
            "b.test",
            id="the one that leads back",
        ),
        pytest.param(
            Dns(("b", "a"), a=[ADDRESS], b=[ADDRESS]), "a.test", id="always the same"
        ),
        pytest.param(
            Dns(("a", "b"), a=BROKEN, b=[ADDRESS]), "b.test", id="the one that answers"
        ),
        pytest.param(
            Dns(("out",), out=[ip_address("192.0.2.1")]), "mta.test", id="leads astray"
        ),
        pytest.param(Dns(("out",)), "mta.test", id="leads nowhere"),
        pytest.param(Dns(), "mta.test", id="no name"),
        pytest.param(Dns(BROKEN), "mta.test", id="DNS is away"),
        pytest.param(Dns(("out",), out=BROKEN), "mta.test", id="DNS is away later"),
    ],
)
def test_a_name_counts_if_it_leads_back_to_the_address(a_name, dns, expected):
    """Else we go by the machine's, which at least is ours."""
    assert a_name(dns) == expected


def test_a_name_in_the_file_is_not_doubted(a_name):
    """Nor looked up."""
    dns = Dns(("out",), out=[ADDRESS])
    source = PoolAddress(address=ADDRESS, name="mta1.example.test")

    assert a_name(dns, source) == "mta1.example.test"
    assert a_name(dns, None) == "mta.test"
    assert dns.asked == 0


@pytest.mark.parametrize(
    ("dns", "kept"),
    [
        pytest.param(Dns(("out",), out=[ADDRESS]), KEPT, id="a name"),
        pytest.param(Dns(), KEPT, id="none"),
        pytest.param(Dns(BROKEN), PAUSE, id="no answer"),
    ],
)
def test_what_was_found_out_is_kept(clock, dns, kept):
    """One delivery waits for it, not every one."""
    names = EhloNames(dns, "mta.test", monotonic=clock)
    first = names(SOURCE)
    clock.now += kept.total_seconds() - 1

    assert (names(SOURCE), dns.asked) == (first, 1)
    clock.now += 2
    assert (names(SOURCE), dns.asked) == (first, 2)
