"""Two machines share a zone; one loses its power.

Their stand-ins are process groups with a host name and a state folder each.
"""

from collections.abc import Sequence

import pytest

from tests.proof.judge import Record, settle
from tests.proof.ledger import Ledger, Letters
from tests.proof.rig import Rig
from tests.proof.sender import Load, make_clients, sending
from tests.support.fast_sink import Arrival, FastSink

MX_HOST = "127.77.0.3"
MANY = 300
HOSTS = {"one.hosts.test", "two.hosts.test"}
# Leases, the wait after a doubt, and the minute for which the connections of the dead
# are still counted.
AFTER_S = 80.0
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{lease: 5s, in_doubt_wait: 2s, defer_times: [2s, 2s, 2s, 5s, 5s]}}
interfaces:
  feeder: {{port: 0, processes: 1}}
zones:
  default: {{connections: 10, host: {host}, port: {port}}}
  bounces: {{connections: 1, port: {port}}}
domains:
  default: {{max_connections: 20}}
"""


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_host_that_dies_loses_nothing(tmp_path, dns_server):
    """What it had claimed, the other host delivers once the leases are over."""
    ledger = Ledger()
    with FastSink(tmp_path, MX_HOST) as sink:
        config = CONFIG.format(dns=dns_server.address, host=MX_HOST, port=sink.port)
        with Rig(tmp_path, config) as rig:
            rig.start_scheduler()
            rig.start_smtp()
            rig.start_api()
            for host in sorted(HOSTS):
                rig.start_worker("default", number=len(rig.processes), host=host)
            load = Load(
                ledger,
                # Many are between dot and answer at any moment.
                Letters("host", seed=1, mix={"": 75, "slow1-": 25}),
                make_clients(rig.smtp, rig.api, smtp_count=4, http_count=1),
                count=MANY,
                rate=200.0,
                deadline_s=30.0,
            )

            def both_have_sent(arrivals: Sequence[Arrival]) -> bool:
                names = set(map(sink.client_of, arrivals))
                return len(arrivals) > MANY // 4 and names == HOSTS

            with sending(load):
                assert sink.wait_until(both_have_sent, 30.0)
                rig.kill_host("one.hosts.test")

            verdict = settle(
                *(Record(rig.mongo, rig.api), ledger, sink.arrivals),
                timeout_s=AFTER_S,
                run="host",
            )
    assert verdict.violations == []
    assert verdict.delivered == verdict.accepted >= MANY
