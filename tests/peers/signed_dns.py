"""A signed zone that NSD serves, and an Unbound that validates it; both are private.

Nothing of the system's own is touched: keys, zones, pids and logs are in a folder, and
both listen on loopback alone.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import dns.flags
import dns.message
import dns.query

from tests.conftest import held_port
from tests.peers.tools import HOST, find_program, run

START_S = 10.0
ALGORITHM = "ECDSAP256SHA256"

NSD = """
server:
  ip-address: {host}@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  logfile: "{folder}/nsd.log"
  server-count: 1
remote-control:
  control-enable: no
{zones}
"""
ZONE = """
zone:
  name: {name}
  zonefile: {file}
"""
UNBOUND = """
server:
  interface: {host}
  port: {port}
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  logfile: "{folder}/unbound.log"
  use-syslog: no
  do-ip6: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  val-bogus-ttl: 0
{anchors}
remote-control:
  control-enable: no
{stubs}
"""
STUB = """
stub-zone:
  name: "{name}"
  stub-addr: {host}@{port}
"""
HEAD = """$ORIGIN {name}.
$TTL 60
@ SOA ns.{name}. root.{name}. 1 3600 600 86400 60
@ NS ns.{name}.
ns A {host}
"""


class SignedDns:
    """Serves zones as they are told.

    Args:
        signed: Zones with their records, as lines of a zone file.
        plain: Likewise; nobody signs them, and nobody expects it.
        forged: What is written into the signed zones in place of what was signed: a
            text, and what it becomes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        signed: dict[str, Sequence[str]],
        plain: dict[str, Sequence[str]],
        forged: Iterable[tuple[str, str]] = (),
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self._stack = contextlib.ExitStack()
        programs = ("nsd", "unbound")
        self._nsd, self._unbound = (find_program(name, name) for name in programs)
        self._keygen = find_program("ldns-keygen", "ldnsutils")
        self._signzone = find_program("ldns-signzone", "ldnsutils")
        self._anchors: list[Path] = []
        self._files: dict[str, Path] = {}
        for name, lines in {**signed, **plain}.items():
            path = folder / f"{name}.zone"
            head = HEAD.format(name=name, host=HOST)
            path.write_text(head + "\n".join(lines) + "\n")
            self._files[name] = self._sign(name, path) if name in signed else path
        for name in signed:
            text = self._files[name].read_text()
            for before, after in forged:
                text = text.replace(before, after)
            self._files[name].write_text(text)
        self.port = 0

    @property
    def address(self) -> str:
        """Where the validating nameserver is."""
        return f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        with self._stack:
            authority = self._stack.enter_context(held_port(HOST))
            self.port = self._stack.enter_context(held_port(HOST))
            names = self._files
            zones = "".join(
                ZONE.format(name=name, file=path) for name, path in names.items()
            )
            stubs = "".join(
                STUB.format(name=name, host=HOST, port=authority) for name in names
            )
            anchors = "".join(
                f'  trust-anchor-file: "{path}"\n' for path in self._anchors
            )
            self._start(
                *(self._nsd, "-d", "-c"),
                NSD.format(host=HOST, port=authority, folder=self._folder, zones=zones),
            )
            self._start(
                *(self._unbound, "-d", "-c"),
                UNBOUND.format(
                    host=HOST,
                    port=self.port,
                    folder=self._folder,
                    anchors=anchors,
                    stubs=stubs,
                ),
            )
            self._await()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _sign(self, name: str, path: Path) -> Path:
        made = run(self._keygen, "-a", ALGORITHM, "-k", name, cwd=self._folder)
        key = made.strip().splitlines()[-1]
        self._anchors.append(self._folder / f"{key}.key")
        run(self._signzone, "-n", path.name, key, cwd=self._folder)
        return path.with_suffix(".zone.signed")

    def _start(self, program: str, *rest: str) -> None:
        *flags, text = rest
        config = self._folder / f"{Path(program).name}.conf"
        config.write_text(text)
        process = subprocess.Popen(
            [program, *flags, str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._stack.callback(_stop, process)

    def _await(self) -> None:
        """Wait until zones are answered for, and validated where they are signed."""
        deadline = time.monotonic() + START_S
        left = list(self._files)
        while left:
            query = dns.message.make_query(f"ns.{left[0]}", "A", want_dnssec=True)
            query.flags |= dns.flags.AD
            with contextlib.suppress(Exception):
                answer = dns.query.udp(query, HOST, port=self.port, timeout=0.5)
                is_signed = self._files[left[0]].suffix == ".signed"
                if answer.answer and bool(answer.flags & dns.flags.AD) == is_signed:
                    left.pop(0)
                    continue
            if time.monotonic() > deadline:
                logs = [*self._folder.glob("*.log")]
                said = "\n".join(log.read_text(errors="replace") for log in logs)
                raise RuntimeError(f"no answer for {left}:\n{said[-3000:]}")
            time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
