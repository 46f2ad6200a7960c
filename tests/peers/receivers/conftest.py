"""One system of ours, and behind it the servers of others that it sends to."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conftest import held_port
from tests.e2e.test_reload import wait_until
from tests.peers.receivers.dovecot import Dovecot
from tests.peers.receivers.exim import EximServer
from tests.peers.receivers.mailbox import Letter, Mailbox
from tests.peers.receivers.opensmtpd import OpenSmtpd
from tests.peers.receivers.postfix import PostfixServer
from tests.peers.wiretap import Wiretap
from tests.support.dns import DnsServer
from tests.support.stack import Stack

HOST = "127.77.0.30"
USER, PASSWORD, WRONG = "ada", "s=cr,e%+t/9~", "not-the-password"
SERVERS = ("postfix", "exim", "opensmtpd")

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{defer_times: [1h]}}
interfaces:
  feeder: {{port: 0, processes: 1, max_size: 64 MiB}}
zones:
  default: {{connections: 5, port: {postfix}}}
  bounces: {{connections: 1, port: {postfix}}}
  postfix: {{connections: 5, port: {postfix}, recipient_domains: ["*.postfix.test"]}}
  exim: {{connections: 5, port: {exim}, recipient_domains: ["*.exim.test"]}}
  opensmtpd:
    {{connections: 5, port: {opensmtpd}, recipient_domains: ["*.opensmtpd.test"]}}
  dovecot:
    connections: 5
    host: {host}
    port: {dovecot}
    lmtp: true
    recipient_domains: [dovecot.test]
  tapped:
    connections: 5
    host: 127.0.0.1
    port: {tap}
    tls: ignore
    recipient_domains: [tapped.test]
{logins}
domains:
{levels}
"""
LOGIN = """
  {name}:
    connections: 2
    host: {server}.mx.test
    port: {port}
    auth: {{user: {user}, password: "{password}", method: {method}}}
    recipient_domains: [{name}.test]
"""
# Zone, server, mechanism, password.
LOGINS = (
    ("plain", "postfix", "PLAIN", PASSWORD),
    ("scram", "postfix", "SCRAM-SHA-256", PASSWORD),
    ("postfixcram", "postfix", "CRAM-MD5", PASSWORD),
    ("postfixlogin", "postfix", "LOGIN", PASSWORD),
    ("wrongplain", "postfix", "PLAIN", WRONG),
    ("wrongscram", "postfix", "SCRAM-SHA-256", WRONG),
    ("login", "exim", "PLAIN", PASSWORD),
    ("cram", "exim", "CRAM-MD5", PASSWORD),
    ("eximwrong", "exim", "PLAIN", WRONG),
)
# How the same server is talked to, by the first label of a recipient's domain.
LEVELS = {
    "clear": "ignore",
    "may": "opportunistic",
    "must": "require",
    "sure": "verify",
}

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM."""

    authority: Path
    chain: Path
    key: Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What all servers show; its authority is one that only our system is told of."""
    folder = tmp_path_factory.mktemp("certificate")
    files = Certificate(folder / "ca.pem", folder / "chain.pem", folder / "key.pem")
    authority = trustme.CA()
    issued = authority.issue_cert(*(f"{name}.mx.test" for name in SERVERS))
    authority.cert_pem.write_to_path(files.authority)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(files.chain, append=True)
    issued.private_key_pem.write_to_path(files.key)
    return files


@pytest.fixture(scope="session")
def servers(
    open_folder: Path, certificate: Certificate
) -> Iterator[dict[str, PostfixServer | EximServer | OpenSmtpd | Dovecot]]:
    """All of them, running."""
    # Where they can read it once they are not root any more.
    chain = open_folder / "chain.pem"
    chain.write_bytes(certificate.chain.read_bytes())
    shown: dict[str, Any] = {"host": HOST, "chain": chain, "key": certificate.key}
    login = (USER, PASSWORD)
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(held_port(HOST)) for _ in range(5)]
        dovecot = stack.enter_context(
            Dovecot(open_folder / "dovecot", host=HOST, port=ports[0], login=login)
        )
        postfix = PostfixServer(
            open_folder / "postfix-server",
            port=ports[1],
            relay=ports[2],
            auth=dovecot.auth,
            **shown,
        )
        exim = EximServer(
            open_folder / "exim-server", port=ports[3], login=login, **shown
        )
        opensmtpd = OpenSmtpd(open_folder / "opensmtpd", port=ports[4], **shown)
        yield {
            "dovecot": dovecot,
            "postfix": stack.enter_context(postfix),
            "exim": stack.enter_context(exim),
            "opensmtpd": stack.enter_context(opensmtpd),
        }


@pytest.fixture(scope="session")
def server_tap(servers) -> Iterator[Wiretap]:
    """Before Postfix; passes on what we say in clear."""
    with Wiretap(servers["postfix"].port, HOST) as running:
        yield running


@pytest.fixture(scope="session")
def sender(tmp_path_factory, servers, server_tap, certificate) -> Iterator[Stack]:
    """Our system."""
    records = {f"{name}.mx.test": [("A", HOST)] for name in SERVERS}
    for name in SERVERS:
        records[f"*.{name}.test"] = [("MX", f"10 {name}.mx.test.")]
    ports = {name: server.port for name, server in servers.items()}
    relays = {"postfix": servers["postfix"].relay, "exim": servers["exim"].port}
    logins = "".join(
        LOGIN.format(
            name=name,
            server=server,
            port=relays[server],
            user=USER,
            password=password,
            method=method,
        )
        for name, server, method, password in LOGINS
    )
    levels = "".join(
        f"  {label}.{name}.test: {{tls: {level}}}\n"
        for name in SERVERS
        for label, level in LEVELS.items()
    )
    with DnsServer(records) as dns, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate.authority))
        config = CONFIG.format(
            dns=dns.address,
            host=HOST,
            tap=server_tap.port,
            logins=logins,
            levels=levels,
            **ports,
        )
        with Stack(tmp_path_factory.mktemp("sender"), config) as running:
            yield running


@dataclass(frozen=True, slots=True)
class Given:
    """A message that our system has accepted."""

    stack: Stack
    id: str
    message_id: bytes
    body: bytes

    def finished(self) -> dict[str, Any]:
        """Its delivery, once nothing more happens to it."""
        [delivery] = self.stack.wait_until_finished(self.id)
        return delivery

    def tried(self) -> dict[str, Any]:
        """What the one attempt so far has come to."""
        wait_until(lambda: self.stack.deliveries(self.id)[0]["attempts"])
        [delivery] = self.stack.deliveries(self.id)
        [attempt] = (entry for entry in delivery["timeline"] if entry["attempt"])
        return {"state": delivery["state"], **attempt}

    def arrived(self, mailbox: Mailbox) -> Letter:
        """As it lies in a mailbox, after a delivery that is settled."""
        delivery = self.finished()
        assert delivery["state"] == "delivered", delivery
        return mailbox.only(self.message_id)


class Submit:
    """Hands messages in, as they are."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def __call__(
        self,
        recipient: str,
        body: bytes,
        *options: str,
        fields: bytes = b"",
        sender: str = "ada@sender.test",
    ) -> Given:
        message_id = b"<%d@sender.test>" % next(_numbers)
        header = (
            b"From: <ada@sender.test>\r\nTo: undisclosed-recipients:;\r\n"
            b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: "
        )
        content = header + message_id + b"\r\n" + fields + b"\r\n" + body
        with self._stack.smtp() as client:
            client.ehlo("client.test")
            client.command_encoding = "utf-8"
            assert client.mail(sender, options)[0] == 250
            assert client.rcpt(recipient)[0] == 250
            code, text = client.data(content)
        assert code == 250, text
        found = re.search(rb"queued as (\w+)", text)
        assert found, text
        return Given(self._stack, found[1].decode(), message_id, body)


@pytest.fixture
def submit(sender: Stack) -> Submit:
    return Submit(sender)
