"""A campaign to 100,000 is under way: who else waits for it?

``python -m tests.proof.campaign [--seconds 60]``

First the idle system: from the answer to a client to the first octet at the MX.
Then ten messages of one tenant to 10,000 recipients each, and on the same zone,
every second, one transactional message of a second tenant and one normal message of
a third: from the answer to the arrival. Half of these go to domains of the campaign.
"""

import argparse
import contextlib
import http.client
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.proof.report import PER_SECOND, spread
from tests.support.dns import DnsServer
from tests.support.fast_sink import Arrival, FastSink
from tests.support.stack import Stack

MESSAGES, RECIPIENTS, DOMAINS = 10, 10_000, 20
IDLE_TRIES = 50
IDLE_LIMIT_S = 0.1
TRANSACTIONAL_LIMIT_S = 2.0
MX_HOST = "127.77.0.24"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
zones:
  default: {{connections: 20, port: {port}}}
  bounces: {{connections: 1, port: {port}}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.campaign")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--plain", action="store_true", help="say neither tenant nor priority"
    )
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        DnsServer(RECORDS) as dns,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        with FastSink(folder, MX_HOST) as sink:
            config = CONFIG.format(dns=dns.address, port=sink.port)
            with Stack(folder, config) as stack:
                violations = idle(stack, sink)
                violations += campaign(
                    stack, sink, seconds=given.seconds, is_plain=given.plain
                )
    print("\n".join(f"VIOLATION {line}" for line in violations) or "ok")
    return 1 if violations else 0


def idle(stack: Stack, sink: FastSink) -> list[str]:
    """Each to a domain of its own: a lookup and a connection every time."""
    after_answer, after_request = [], []
    with contextlib.closing(Post(stack.ready["api"])) as post:
        for number in range(IDLE_TRIES):
            before = len(sink.arrivals())
            asked_at = time.monotonic()
            post(a_mail(f"idle{number}@idle{number}.test"))
            answered_at = time.monotonic()
            assert sink.wait_for_count(before + 1, 30.0), "an idle system is stuck"
            begun = sink.arrivals()[-1].begun
            # The worker may well be faster than the way of the answer.
            after_answer.append(max(0.0, begun - answered_at))
            after_request.append(begun - asked_at)
    print(f"idle, answer to first octet   {spread(after_answer)}")
    print(f"idle, request to first octet  {spread(after_request)}")
    median = sorted(after_answer)[len(after_answer) // 2]
    return [f"idle: {median:.3f} s"] if median >= IDLE_LIMIT_S else []


def campaign(
    stack: Stack, sink: FastSink, *, seconds: int, is_plain: bool
) -> list[str]:
    """Send the campaign in the background, and the others every second."""
    api = stack.ready["api"]
    before = len(sink.arrivals())
    began = time.monotonic()
    accepted_s: list[float] = []
    background = threading.Thread(
        target=send_campaign, args=(api, accepted_s, is_plain), daemon=True
    )
    background.start()
    sink.wait_for_count(before + 1, 60.0)
    answered = probe(api, seconds=seconds, is_plain=is_plain)
    arrived_meanwhile = len(sink.arrivals()) - before
    background.join()
    took_s = time.monotonic() - began

    def has_all(arrivals: list[Arrival]) -> bool:
        return answered.keys() <= {arrival.recipient for arrival in arrivals[before:]}

    sink.wait_until(has_all, 120.0)
    arrived = {arrival.recipient: arrival.at for arrival in sink.arrivals()}
    print(
        f"campaign: {MESSAGES} x {RECIPIENTS} to {DOMAINS} domains, accepted in "
        f"{', '.join(f'{s:.1f}' for s in accepted_s)} s; in {took_s:.0f} s "
        f"{arrived_meanwhile} arrived: {arrived_meanwhile / took_s:.0f}/s"
    )
    violations = []
    missing = answered.keys() - arrived.keys()
    if missing:
        violations.append(f"{len(missing)} did not arrive: {sorted(missing)[:5]}")
    if arrived_meanwhile >= MESSAGES * RECIPIENTS:
        violations.append("the campaign was over too early to say anything")
    for kind in ("transactional", "normal"):
        for where in ("busy", "quiet"):
            waits = [
                max(0.0, arrived[who] - at)
                for who, at in answered.items()
                if who.startswith(f"{kind}.{where}.") and who in arrived
            ]
            print(f"{kind}, {where} domains: {spread(waits)}")
            is_late = max(waits, default=0.0) >= TRANSACTIONAL_LIMIT_S
            if kind == "transactional" and is_late:
                violations.append(f"transactional mail waited {max(waits):.1f} s")
    return violations


def send_campaign(api: str, accepted_s: list[float], is_plain: bool) -> None:
    """The ten messages, one after another."""
    with contextlib.closing(Post(api)) as post:
        for number in range(MESSAGES):
            to = [f"c{number}.{n}@d{n % DOMAINS}.test" for n in range(RECIPIENTS)]
            extra = {} if is_plain else {"tenant": "campaigner"}
            began = time.monotonic()
            post(a_mail(to, **extra))
            accepted_s.append(time.monotonic() - began)


def probe(api: str, *, seconds: int, is_plain: bool) -> dict[str, float]:
    """One of each kind every second; returns when each was answered."""
    pause = threading.Event().wait  # nobody sets it
    answered: dict[str, float] = {}
    started_at = time.monotonic()
    with contextlib.closing(Post(api)) as post:
        for number in range(seconds):
            pause(max(0.0, started_at + number / PER_SECOND - time.monotonic()))
            is_busy = number % 2 == 0
            where = "busy" if is_busy else "quiet"
            domain = f"d{number % DOMAINS}.test" if is_busy else f"quiet{number}.test"
            for kind in ("transactional", "normal"):
                to = f"{kind}.{where}.{number}@{domain}"
                extra = {"tenant": f"{kind}-shop", "priority": kind}
                post(a_mail(to, **({} if is_plain else extra)))
                answered[to] = time.monotonic()
    return answered


def a_mail(to: str | list[str], **extra: str) -> dict[str, object]:
    return {"from": "a@a.test", "to": to, "subject": "x", "text": "Hi", **extra}


class Post:
    """``POST /send`` over one connection."""

    def __init__(self, api: str) -> None:
        parts = urlsplit(api)
        self._http = http.client.HTTPConnection(
            str(parts.hostname), parts.port, timeout=120
        )

    def __call__(self, mail: dict[str, object]) -> None:
        body = json.dumps(mail)
        self._http.request("POST", "/send", body, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status} {text[:300]!r}")

    def close(self) -> None:
        self._http.close()


if __name__ == "__main__":
    sys.exit(main())
