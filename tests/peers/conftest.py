"""One system with every kind of door, and the next hops behind it."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme

from tests.conftest import held_port
from tests.peers.mails import PASSWORD, SERVER_NAME, USER, Mail, make_mail
from tests.peers.private_exim import Exim, Route, secure
from tests.peers.private_postfix import Postfix, find_postfix
from tests.peers.tools import HOST, find_program, run
from tests.peers.wiretap import Wiretap
from tests.peers.witness import Witness
from tests.support.dns import DnsServer
from tests.support.stack import Stack

# Not 127.0.0.1, which the relay refuses: an address of its own, allowed by name.
WITNESS_HOST = "127.77.0.8"

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
interfaces:
  feeder: {{port: 0, processes: 1, max_size: 64 MiB}}
  submission:
    {{port: 0, processes: 1, starttls: required, authentication: true, tls: {tls}}}
  smtps: {{port: 0, processes: 1, secure: true, authentication: true, tls: {tls}}}
  lmtp: {{port: 0, processes: 1, lmtp: true}}
  proxied:
    port: 0
    processes: 1
    proxy_from: [127.0.0.0/8]
    allowed_networks: [192.0.2.0/24, "2001:db8::/32"]
  trusted:
    port: 0
    processes: 1
    xclient_from: [127.0.0.0/8]
    xforward_from: [127.0.0.0/8]
  strict: {{port: 0, processes: 1, stray_line_ends: reject}}
zones:
  default: {{connections: 10, port: {witness}}}
  next: {{connections: 5, host: {host}, port: {next}, recipient_domains: [next.test]}}
  bounces: {{connections: 1, port: {witness}}}
"""


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: whom to trust, and what our server shows."""

    authority: Path
    chain: Path
    key: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    files = Certificates(folder / "ca.pem", folder / "chain.pem", folder / "key.pem")
    authority = trustme.CA()
    issued = authority.issue_cert(SERVER_NAME, "localhost", HOST)
    authority.cert_pem.write_to_path(files.authority)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(files.chain, append=True)
    issued.private_key_pem.write_to_path(files.key)
    files.key.chmod(0o600)
    return files


@pytest.fixture(scope="session")
def witness() -> Iterator[Witness]:
    """The MX of every domain under .test; in the end, nothing has come twice."""
    with held_port(WITNESS_HOST) as port, Witness(WITNESS_HOST, port) as running:
        yield running
        assert {who: n for who, n in running.counts().items() if n > 1} == {}


@pytest.fixture(scope="session")
def next_port() -> Iterator[int]:
    """Where the next hop of next.test listens, if a test starts one."""
    with held_port() as port:
        yield port


@pytest.fixture(scope="session")
def stack(tmp_path_factory, certificates, witness, next_port) -> Iterator[Stack]:
    records = {
        "mx.host.test": [("A", WITNESS_HOST)],
        "*.test": [("MX", "10 mx.host.test.")],
    }
    tls = f"{{certificate: {certificates.chain}, key: {certificates.key}}}"
    with DnsServer(records) as dns:
        config = CONFIG.format(
            dns=dns.address, tls=tls, host=HOST, witness=witness.port, next=next_port
        )
        with Stack(tmp_path_factory.mktemp("stack"), config) as running:
            env = {**os.environ, "MTA_MONGO_URI": running.ready["mongo"]}
            mta = [sys.executable, "-m", "mta.cli.main", "user", "add", USER]
            run(*mta, "--password-stdin", stdin=PASSWORD.encode() + b"\n", env=env)
            yield running
        # Whatever peers did, no process of ours was taken by surprise.
        assert "Traceback" not in running.log_file.read_text(errors="replace")


@pytest.fixture(scope="session")
def doors(stack) -> dict[str, int]:
    """The port of each interface."""
    found = stack.ready["smtp"]
    return {name: int(where.rpartition(":")[2]) for name, where in found.items()}


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that servers can reach once they are no longer root."""
    with TemporaryDirectory(prefix="mta-peers-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def tap(doors) -> Iterator[Wiretap]:
    """Before the feeder: what Postfix says there is written down."""
    with Wiretap(doors["feeder"]) as running:
        yield running


@pytest.fixture(scope="session")
def postfix(
    open_folder, certificates, witness, next_port, doors, tap
) -> Iterator[Postfix]:
    """A private Postfix: a client of ours, and the next hop of next.test."""
    routes = {
        "tapped.test": f"smtp:[{HOST}]:{tap.port}",
        "forwarded.test": f"forwarding:[{HOST}]:{doors['trusted']}",
        "lmtp.test": f"lmtp:[{HOST}]:{doors['lmtp']}",
        "scram.test": f"scram:[{HOST}]:{doors['submission']}",
        "plain.test": f"plain:[{HOST}]:{doors['submission']}",
        "login.test": f"login:[{HOST}]:{doors['submission']}",
        "wrapped.test": f"wrapped:[{HOST}]:{doors['smtps']}",
        "next.test": f"smtp:[{witness.host}]:{witness.port}",
    }
    with Postfix(
        find_postfix(),
        open_folder / "postfix",
        port=next_port,
        routes=routes,
        authority=certificates.authority,
        login=(USER, PASSWORD),
        server=SERVER_NAME,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def exim(open_folder, certificates, doors, tap) -> Exim:
    """A private Exim: a client of ours."""
    authority = open_folder / "authority.pem"  # for whom it is when it is not root
    authority.write_bytes(certificates.authority.read_bytes())
    submission = Route(doors["submission"], secure(authority))
    routes = {
        "tapped": Route(tap.port),
        "plain": submission,
        "login": submission,
        "wrapped": Route(doors["smtps"], secure(authority, "protocol = smtps")),
        "lmtp": Route(doors["lmtp"], ["protocol = lmtp"]),
    }
    return Exim(open_folder / "exim", routes=routes, login=(USER, PASSWORD))


@pytest.fixture(scope="session")
def nodemailer_folder(tmp_path_factory) -> Path:
    """The folder that nodemailer is installed in."""
    npm, _ = find_program("npm", "npm"), find_program("node", "nodejs")
    folder = tmp_path_factory.mktemp("nodemailer")
    quiet = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts")
    run(npm, "install", "--cache", folder / "cache", *quiet, "nodemailer@7", cwd=folder)
    return folder


@pytest.fixture
def mail() -> Callable[..., Mail]:
    """Make a message for a recipient of its own; arguments as in ``make_mail``."""
    return make_mail
