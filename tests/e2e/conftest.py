"""One running system for all end-to-end tests, with a DNS and an MX beside it."""

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from smtpdfix import AuthController, Config, SMTPDFix
from smtpdfix.certs import _generate_certs

from tests.conftest import held_port
from tests.support.dns import DnsServer
from tests.support.sink import Sink
from tests.support.stack import Stack

# Not 127.0.0.1, which the relay refuses: an address of its own, allowed by name.
MX_HOST = "127.77.0.1"
SMTPDFIX_HOST = "127.77.0.2"

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{defer_times: [2s, 2s, 2s], lease: 5s, in_doubt_wait: 1s}}
interfaces:
  feeder: {{port: 0, processes: 2, max_size: 150 MiB}}
zones:
  default: {{connections: 10, port: {mx_port}}}
  news: {{connections: 5, port: {mx_port}, sender_domains: [news.test]}}
  relayed: {{host: {mx_host}, port: {mx_port}, recipient_domains: [inside.invalid]}}
  once:  # says QUIT after every message
    port: {mx_port}
    recipient_domains: [smtpdfix.test]
    connection_cache: {{reuse_count: 1}}
  pooled:
    {{connections: 10, pool: ten, port: {mx_port}, recipient_domains: [pooled.test]}}
  bounces: {{connections: 1, port: {mx_port}}}
domains:
  pooled.test: {{max_connections: 10}}
pools:
  ten:
    - {{address: 127.0.0.2, ratio: 30%}}
    - {{address: 127.0.0.3, warmup: {{started: {today}, plan: tiny}}}}
    - 127.0.0.4
    - 127.0.0.5
    - 127.0.0.6
    - 127.0.0.7
    - 127.0.0.8
    - 127.0.0.9
    - 127.0.0.10
    - {{address: 127.0.0.11, ratio: 0}}
warmup:
  tiny: {{daily: [5, 5], hourly: 100%}}
"""


@pytest.fixture(scope="session")
def sink_of_session() -> Iterator[Sink]:
    with held_port(MX_HOST) as port, Sink(MX_HOST, port) as sink:
        yield sink


@pytest.fixture
def sink(sink_of_session: Sink) -> Iterator[Sink]:
    """The MX of every domain under .test; takes everything unless told."""
    sink_of_session.clear()
    yield sink_of_session
    sink_of_session.refuse = lambda _, __: None
    sink_of_session.refuse_peer = lambda _: None


@pytest.fixture(scope="session")
def dns_server() -> Iterator[DnsServer]:
    records = {
        "mx.host.test": [("A", MX_HOST)],
        "mx.smtpdfix.test": [("A", SMTPDFIX_HOST)],
        "smtpdfix.test": [("MX", "10 mx.smtpdfix.test.")],
        "null.test": [("MX", "0 .")],
        "*.test": [("MX", "10 mx.host.test.")],
    }
    with DnsServer(records) as server:
        yield server


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    dns_server: DnsServer,
    sink_of_session: Sink,
) -> Iterator[Stack]:
    """``mta up`` with databases of its own, ready to take mail."""
    config = CONFIG.format(
        dns=dns_server.address,
        mx_host=MX_HOST,
        mx_port=sink_of_session.port,
        today=datetime.now(UTC).date(),
    )
    with Stack(tmp_path_factory.mktemp("stack"), config) as running:
        yield running
        for message_id in running.accepted:
            check_explained(running, message_id)


def check_explained(stack: Stack, message_id: str) -> None:
    """Every message of these tests took the zone, by the rule, that is explained."""
    for found in stack.get(f"/v1/messages/{message_id}/explain")["deliveries"]:
        delivery, route = found["delivery"], found["route"]
        decided = (delivery["zone"], delivery["rule"])
        assert decided == (route["zone"], route["rule"]), found


@pytest.fixture
def smtpdfix_mx(
    sink_of_session: Sink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[AuthController]:
    """Another server altogether, as the MX of smtpdfix.test; it wants STARTTLS."""
    certificate, _ = _generate_certs(tmp_path, separate_key=False)
    monkeypatch.setenv("SMTPD_SSL_CERTIFICATE_FILE", str(certificate))
    monkeypatch.setenv("SMTPD_USE_STARTTLS", "True")
    with SMTPDFix(SMTPDFIX_HOST, sink_of_session.port, Config()) as server:
        yield server
    # It leaves a socket to the collector; its warning belongs to the test that
    # used it, which expects it.
    gc.collect()
