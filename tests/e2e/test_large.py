"""A large message costs no memory; ``make proof-smtp`` has a gibibyte of it."""

import pytest

from tests.proof.large import CONFIG, MX_HOST, RECORDS, Large
from tests.proof.report import MIB
from tests.support.dns import DnsServer
from tests.support.hash_sink import HashSink
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_large_message_passes_whole_and_is_never_held(tmp_path):
    """By DATA and by BDAT: each octet arrives, and no process grows with the size."""
    with DnsServer(RECORDS) as dns, HashSink(MX_HOST) as sink:
        config = CONFIG.format(dns=dns.address, port=sink.port)
        with Stack(tmp_path, config) as stack:
            large = Large(stack, sink, 64 * MIB)

            large.run()

    assert large.violations == [], "\n".join(large.report())
