"""A new configuration is taken up while mail flows: nothing is lost, nobody is cut."""

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from tests.conftest import held_port
from tests.support.stack import Stack

MX_HOST = "127.77.0.5"
PATIENCE_S = 30.0
# How long the MX takes to answer for a message, so that sessions overlap.
ANSWER_S = 0.05

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{allow_addresses: [127.77.0.0/16]}}
queue: {{defer_times: [1h]}}
interfaces:
  feeder: {{port: 0, processes: 1, max_size: {size}}}
domains:
  default: {{max_connections: {connections}}}
zones:
  default: {{connections: {connections}, host: {host}, port: {port}}}
  {zone}: {{connections: 2, host: {host}, port: {port}, sender_domains: [{zone}.test]}}
"""


class SlowMx:
    """Takes its time, and counts who is connected.

    Attributes:
        open: Connections that are open now.
        peak: As many as ever were since ``peak`` was last set.
    """

    def __init__(self, host: str, port: int) -> None:
        self.arrived: Counter[str] = Counter()
        self.open = self.peak = 0
        self._changed = threading.Condition()
        mx = self

        class Counting(SMTP):
            def connection_made(self, transport):
                mx.note(+1)
                super().connection_made(transport)

            def connection_lost(self, error):
                mx.note(-1)
                super().connection_lost(error)

        class Controlled(Controller):
            def factory(self):
                return Counting(self.handler)

        self._controller = Controlled(self, hostname=host, port=port)

    def __enter__(self):
        self._controller.start()
        return self

    def __exit__(self, *_):
        self._controller.stop()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address.startswith("later"):
            return "451 4.7.1 later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        await asyncio.sleep(ANSWER_S)
        with self._changed:
            self.arrived.update(envelope.rcpt_tos)
            self._changed.notify_all()
        return "250 2.0.0 taken"

    def note(self, change: int) -> None:
        with self._changed:
            self.open += change
            self.peak = max(self.peak, self.open)
            self._changed.notify_all()

    def wait_for(self, is_so: Callable[["SlowMx"], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: is_so(self), PATIENCE_S), self.arrived

    def wait_for_more(self, count: int) -> None:
        goal = self.arrived.total() + count
        self.wait_for(lambda mx: mx.arrived.total() >= goal)


class Senders:
    """One SMTP session and a client of the API that submit until they are stopped."""

    def __init__(self, stack: Stack) -> None:
        self.promised: list[str] = []
        self.faults: list[Exception] = []
        self._stack = stack
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(run,))
            for run in (self._by_smtp, self._by_http)
        ]

    def __enter__(self) -> "Senders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _run(self, send: Callable[[Iterator[str]], None]) -> None:
        try:
            send(self._names(send.__name__.removeprefix("_by_")))
        except Exception as error:
            self.faults.append(error)

    def _names(self, way: str) -> Iterator[str]:
        number = 0
        while not self._stopping.wait(0.01):
            number += 1
            yield f"{way}{number}@b.test"

    def _by_smtp(self, names: Iterator[str]) -> None:
        with self._stack.smtp() as client:  # the same one all the time
            for name in names:
                client.sendmail("ada@a.test", [name], b"Subject: hi\r\n\r\nhi\r\n")
                self.promised.append(name)

    def _by_http(self, names: Iterator[str]) -> None:
        for name in names:
            self._stack.post("/send", {"from": "ada@a.test", "to": [name], "text": "x"})
            self.promised.append(name)


class Operator:
    """Edits the file, and says ``mta ...``."""

    def __init__(self, folder: Path, facts: dict[str, object]) -> None:
        self._folder = folder
        self.facts = facts

    def text(self, **facts: object) -> str:
        self.facts |= facts
        return CONFIG.format(**self.facts)

    def write(self, **facts: object) -> None:
        (self._folder / "zones.yaml").write_text(self.text(**facts))

    def say(self, *command: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "mta.cli.main", *command],
            env={"MTA_STATE_DIR": str(self._folder / "var"), "PATH": "/usr/bin:/bin"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def mx() -> Iterator[SlowMx]:
    with held_port(MX_HOST) as port, SlowMx(MX_HOST, port) as server:
        server.port = port
        yield server


@pytest.mark.timeout(180)
def test_a_reload_under_load_loses_nothing_and_cuts_nobody(tmp_path, mx):
    """Limits go up and down, a zone comes and one goes, and mistakes change nothing."""
    facts = {"connections": 2, "zone": "old", "size": "1 MiB"}
    operator = Operator(tmp_path, {**facts, "host": MX_HOST, "port": mx.port})

    with Stack(tmp_path, operator.text()) as stack, Senders(stack) as senders:
        mx.wait_for_more(20)
        assert mx.peak == 2

        operator.write(connections=6)
        code, shown = operator.say("reload", "--dry-run")
        assert (code, "zones.default.connections: 2 -> 6" in shown) == (0, True), shown
        assert operator.say("reload")[0] == 0
        mx.wait_for(lambda mx: mx.peak == 6)

        operator.write(connections=1, size="2 MiB")
        assert operator.say("reload")[0] == 0
        mx.wait_for(lambda mx: mx.open <= 1)
        mx.peak = mx.open
        mx.wait_for_more(10)
        assert mx.peak == 1
        with stack.smtp() as client:
            assert client.ehlo()[1].find(b"SIZE 2097152") > 0

        operator.write(connections=6, zone="fresh")
        code, shown = operator.say("reload")
        assert code == 0, shown
        wait_until(lambda: stack.pids("worker@fresh") and not stack.pids("worker@old"))
        sent = stack.post(
            "/send", {"from": "a@fresh.test", "to": ["later@b.test"], "text": "x"}
        )
        wait_until(lambda: stack.deliveries(sent["id"])[0]["state"] == "deferred")
        assert stack.deliveries(sent["id"])[0]["zone"] == "fresh"

        (tmp_path / "zones.yaml").write_text(
            operator.text() + "  bad: {connection: 1}\n"
        )
        code, shown = operator.say("reload")
        assert (code, "zones.bad.connection: unknown key" in shown) == (2, True), shown

        operator.write(zone="newest")
        code, shown = operator.say("reload")
        assert (code, "zones.fresh: cannot be removed" in shown) == (2, True), shown
        assert stack.pids("worker@fresh")
        code, shown = operator.say("zone", "move", "fresh", "default", "--yes")
        assert (code, shown) == (0, "1 moved from fresh to default\n")
        assert operator.say("reload")[0] == 0
        assert stack.deliveries(sent["id"])[0]["zone"] == "default"

        mx.wait_for_more(5)
        senders.stop()
        mx.wait_for(lambda mx: mx.arrived.keys() >= set(senders.promised))

    assert senders.faults == []
    assert mx.arrived == Counter(senders.promised)
