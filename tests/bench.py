"""``make bench``: what the system does on this machine, as a user would measure it.

Runs ``mta up`` with an own DNS server, and Postfix's ``smtp-source`` and ``smtp-sink``
as the other sides. Absolute rates mean little on a shared machine: compare runs of one
sitting, and CPU per message.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import held_port
from tests.support.dns import DnsServer
from tests.support.stack import Stack

SINK_HOST = "127.77.0.1"
MIB = 1024 * 1024
MESSAGES, SESSIONS = 1000, 20
RECIPIENTS = 10_000
LARGE = 100 * MIB
TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
interfaces:
  feeder: {{port: 0, processes: 2, max_size: 150 MiB}}
zones:
  default: {{connections: 10, port: {port}}}
  bounces: {{connections: 1}}
"""


def main() -> int:
    """Run every measurement once; print a line each."""
    os.environ["PATH"] += ":/usr/sbin"  # where Debian puts smtp-source
    missing = [tool for tool in ("smtp-source", "smtp-sink") if not shutil.which(tool)]
    if missing:
        print(
            f"needs {' and '.join(missing)}: apt-get install postfix", file=sys.stderr
        )
        return 1
    records = {"mx.test": [("A", SINK_HOST)], "*.test": [("MX", "10 mx.test.")]}
    with (
        tempfile.TemporaryDirectory() as folder,
        DnsServer(records) as dns,
        held_port(SINK_HOST) as port,
    ):
        config = CONFIG.format(dns=dns.address, port=port)
        with sink(port) as count, Stack(Path(folder), config) as stack:
            idle_latency(stack, count)
            many_messages(stack, count)
            many_recipients(stack, count)
            large_message(stack, count)
    return 0


@contextmanager
def sink(port: int) -> Iterator[Callable[[], int]]:
    """Run smtp-sink; yields a function that counts the messages it took."""
    command = ["smtp-sink", "-c", "-u", "nobody", f"inet:{SINK_HOST}:{port}", "500"]
    with (
        tempfile.NamedTemporaryFile() as counter,
        subprocess.Popen(command, stdout=counter, stderr=counter) as process,
    ):

        def count() -> int:
            # With -c it writes "sess=N quit=N mesg=N" over and over.
            found = re.findall(rb"mesg=([0-9]+)", Path(counter.name).read_bytes()[-99:])
            return int(found[-1]) if found else 0

        try:
            yield count
        finally:
            process.terminate()


def idle_latency(stack: Stack, count: Callable[[], int]) -> None:
    """From the HTTP answer to the arrival, nothing else going on."""
    latencies = []
    for number in range(20):
        before = count()
        mail = {"from": "a@a.test", "to": f"idle{number}@d.test", "text": "Hi"}
        started = time.monotonic()
        stack.post("/send", mail)
        wait_until(lambda seen=before: count() > seen)
        latencies.append(time.monotonic() - started)
    middle = sorted(latencies)[len(latencies) // 2]
    print(f"idle: request to arrival {middle * 1000:.0f} ms median of {len(latencies)}")


def many_messages(stack: Stack, count: Callable[[], int]) -> None:
    """1 KiB messages by SMTP in parallel sessions, through MX and back out."""
    address = next(iter(stack.ready["smtp"].values()))
    command = ["smtp-source", "-s", str(SESSIONS), "-m", str(MESSAGES), "-l", "1024"]
    command += ["-f", "a@a.test", "-t", "b@d.test", "-d", f"inet:{address}"]
    before, cpu = count(), cpu_seconds(stack)
    started = time.monotonic()
    subprocess.run(command, check=True)
    accepted = time.monotonic() - started
    wait_until(lambda: count() - before >= MESSAGES)
    took = time.monotonic() - started
    spent = cpu_seconds(stack)
    spent.subtract(cpu)
    each = {name: s / MESSAGES * 1000 for name, s in spent.most_common(5)}
    total = spent.total() / MESSAGES * 1000
    print(
        f"smtp: {MESSAGES} messages of 1 KiB, {SESSIONS} sessions: accepted "
        f"{MESSAGES / accepted:.0f}/s, end to end {MESSAGES / took:.0f}/s, "
        f"{count() - before} arrived, ms CPU each: {total:.1f}"
        f" ({', '.join(f'{name} {ms:.1f}' for name, ms in each.items())})"
    )


def many_recipients(stack: Stack, count: Callable[[], int]) -> None:
    """One message to 10,000 recipients in 20 domains."""
    to = [f"r{n}@d{n % 20}.test" for n in range(RECIPIENTS)]
    mail = {"from": "a@a.test", "to": to, "subject": "all", "text": "Hi"}
    before = count()
    started = time.monotonic()
    stack.post("/send", mail)
    accepted = time.monotonic() - started
    wait_until(lambda: count() - before >= RECIPIENTS, timeout_s=300)
    took = time.monotonic() - started
    print(
        f"recipients: {RECIPIENTS} accepted in {accepted:.2f} s, delivered "
        f"{RECIPIENTS / took:.0f}/s, {count() - before} arrived"
    )


def large_message(stack: Stack, count: Callable[[], int]) -> None:
    """100 MiB by SMTP and by HTTP; how much each process grows."""
    line = b"x" * 76 + b"\r\n"
    content = b"From: a@a.test\r\nTo: big@d.test\r\n\r\n"
    content += line * ((LARGE - len(content)) // len(line))
    for way in ("smtp", "http"):
        before, memory = count(), stack.peak_memory()
        started = time.monotonic()
        if way == "smtp":
            with stack.smtp() as smtp:
                smtp.sendmail("a@a.test", ["big@d.test"], content)
        else:
            request = urllib.request.Request(
                f"{stack.ready['api']}/send-raw",
                data=content,
                headers={"Content-Type": "message/rfc822"},
            )
            with urllib.request.urlopen(request, timeout=120):
                pass
        accepted = time.monotonic() - started
        wait_until(lambda seen=before: count() > seen, timeout_s=120)
        took = time.monotonic() - started
        after = stack.peak_memory()
        grown = {name: after[name] - memory.get(name, 0) for name in after}
        worst = ", ".join(
            f"{name} +{size / MIB:.0f}"
            for name, size in sorted(grown.items(), key=lambda item: -item[1])[:4]
        )
        print(
            f"large by {way}: accepted in {accepted:.1f} s, arrived in {took:.1f} s, "
            f"peak RSS growth in MiB: {worst}"
        )


def cpu_seconds(stack: Stack) -> Counter[str]:
    """CPU time of each process of the stack so far, databases included."""
    spent: Counter[str] = Counter()
    for process in stack.ready["processes"]:
        stat = Path(f"/proc/{process['pid']}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
        spent[process["name"].partition(".")[0]] += ticks / TICKS  # type: ignore[assignment]
    return spent


def wait_until(is_done: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Poll, because smtp-sink tells nobody."""
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError("mail did not arrive")
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main())
