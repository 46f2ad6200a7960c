"""Ten addresses of ours: shares, caps of those that warm up, and one that must rest.

``python -m tests.proof.pools [--messages 20000]``

Two zones, each with a worker of its own, send from the pool 127.0.0.2 to 127.0.0.11 to
one MX, whose journal says where every message came from. Once both caps are used up
the MX refuses one recipient of one address as blacklisted, and takes everything again.
That address has to rest for the minute of its rule all the same, while the others
share its part, and it has to come back by itself: nobody clears anything.

A worker that did not hear the refusal itself knows of the measure within
``KNOWN_IN_S``: what the address carried until then was under way, and is counted apart.
"""

import argparse
import contextlib
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.proof.campaign import Post
from tests.proof.shares import Address, Stretch, wanted_shares
from tests.support.dns import DnsServer
from tests.support.fast_sink import Arrival, FastSink
from tests.support.stack import Stack

ZONES = ("first", "second")
BATCH = 200  # recipients of a message that is submitted
UNDER_WAY = 1500  # no more is submitted while so many are on their way
SEEN_FROM = 1500  # messages, before a share is judged
REST_S = 60.0  # the shortest that a rule may have
KNOWN_IN_S = 2.0
BACK_IN_S = 5.0
PATIENCE_S = 180.0
CLOCKS_S = 0.1  # of difference between the clocks of two processes
# Days of warm-up are those of UTC: one that begins in the middle has a second ration.
MIDNIGHT = timedelta(minutes=12)
MX_HOST = "127.77.0.28"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{default_zone: first, defer_times: [2s, 2s, 2s]}}
interfaces:
  feeder: {{port: 0, processes: 1}}
zones:
  first: {{connections: 12, pool: ten, port: {port}}}
  second:
    {{connections: 12, pool: ten, port: {port}, recipient_domains: [second.test]}}
  bounces: {{connections: 1, port: {port}}}
domains:
  default: {{max_connections: 12}}
pools:
  ten:
{pool}
warmup:
{plans}
shaping:
  blacklist: {{category: [blacklist], action: rest, duration: 1m}}
"""


POOL = (
    Address("127.0.0.2", ratio=0.3),
    Address("127.0.0.3", cap=250),
    Address("127.0.0.4"),
    Address("127.0.0.5"),
    Address("127.0.0.6"),
    Address("127.0.0.7"),
    Address("127.0.0.8"),
    Address("127.0.0.9"),
    Address("127.0.0.10", ratio=0.1, cap=500),
    Address("127.0.0.11", ratio=0.0),
)
BLAMED = "127.0.0.4"
COLD = {one.address: one.cap for one in POOL if one.cap is not None}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.pools")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    now = datetime.now(UTC)
    if (now + MIDNIGHT).date() != now.date():
        print("VIOLATION it is nearly midnight UTC, when caps begin anew: try later")
        return 1
    with (
        tempfile.TemporaryDirectory() as temporary,
        DnsServer(RECORDS) as dns,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        with FastSink(folder, MX_HOST) as sink:
            config = config_of(dns.address, sink.port, now)
            with Stack(folder, config) as stack:
                trial = Trial(stack, sink, messages=given.messages)
                trial.run()
            print("\n".join(trial.report()))
            return 1 if trial.violations else 0


def config_of(dns: str, port: int, now: datetime) -> str:
    """The text of zones.yaml."""
    pool, plans = [], []
    for one in POOL:
        said = f"address: {one.address}"
        if one.ratio is not None:
            said += f", ratio: {one.ratio}"
        if one.cap is not None:
            said += f", warmup: {{started: {now.date()}, plan: cap{one.cap}}}"
            plans.append(
                f"  cap{one.cap}: {{daily: [{one.cap}, {one.cap}], hourly: 100%}}"
            )
        pool.append(f"    - {{{said}}}")
    return CONFIG.format(
        dns=dns, port=port, pool="\n".join(pool), plans="\n".join(plans)
    )


class Trial:
    """Mail without a pause until the blamed address is back; figures and promises.

    All instants are of the monotonic clock.

    Attributes:
        refused_at: When the MX refused the blamed address.
        until: When its measure was to end.
        back_at: When it carried mail again; None: it did not.
    """

    def __init__(self, stack: Stack, sink: FastSink, *, messages: int) -> None:
        self._stack = stack
        self._sink = sink
        self._messages = messages
        self._run = f"p{secrets.token_hex(3)}"
        self._peers: Counter[str] = Counter()
        self._counted = 0
        self.sent: list[str] = []
        self.faults: list[str] = []
        self.refused_at = self.until = self.listed_until = 0.0
        self.back_at: float | None = None
        self.measure: dict[str, Any] = {}
        self.warmup: list[dict[str, Any]] = []
        self.stretches: list[Stretch] = []

    def run(self) -> None:
        """Use up the caps, blame one, wait for its return, and let all arrive."""
        with contextlib.closing(Post(self._stack.ready["api"])) as post:
            self._send_until(post, "the caps were not used up", self._caps_are_used_up)
            self._send_more(post)
            self._sink.blacklist(BLAMED, 1)
            self._send_until(post, "nobody was refused", self._sink.refusals)
            self._send_until(post, "no measure was taken", self._find_measure)
            self._send_until(post, "the measure does not end", self._is_over)
            self._send_until(post, f"{BLAMED} did not come back", self._has_come_back)
            self._send_more(post)
            self._send_until(
                *(post, "too few messages"),
                lambda: len(self.sent) >= self._messages,
            )
        self._sink.wait_for_count(len(self.sent), PATIENCE_S)
        self.warmup = self._stack.get("/v1/warmup")["addresses"]
        self._reckon()

    def _send_more(self, post: Post) -> None:
        goal = len(self._sink.arrivals()) + 2 * SEEN_FROM
        self._send_until(
            post, "mail does not flow", lambda: len(self._sink.arrivals()) >= goal
        )

    def _send_until(self, post: Post, what: str, is_done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_done():
            if time.monotonic() > deadline:
                self.faults.append(f"{what} in {PATIENCE_S:.0f} s")
                return
            on_their_way = len(self.sent) - len(self._sink.arrivals())
            if on_their_way < UNDER_WAY:
                self._submit(post)
            else:
                self._sink.wait_for_count(len(self._sink.arrivals()) + 50, 0.5)

    def _submit(self, post: Post) -> None:
        start = len(self.sent)
        domain = f"{ZONES[start // BATCH % len(ZONES)]}.test"
        to = [f"{self._run}-{start + n}@{domain}" for n in range(BATCH)]
        post({"from": "ada@sender.test", "to": to, "subject": self._run, "text": "Hi"})
        self.sent += to

    def _caps_are_used_up(self) -> bool:
        arrivals = self._sink.arrivals()
        self._peers.update(map(self._sink.peer_of, arrivals[self._counted :]))
        self._counted = len(arrivals)
        return all(self._peers[address] >= cap for address, cap in COLD.items())

    def _find_measure(self) -> bool:
        self.refused_at = self._sink.refusals()[0].at
        for measure in self._stack.get("/v1/measures")["measures"]:
            if measure.get("source") == BLAMED:
                self.measure = measure
                until = datetime.fromisoformat(measure["until"])
                self.until = until.timestamp() - time.time() + time.monotonic()
        return bool(self.measure)

    def _is_over(self) -> bool:
        listed = self._stack.get("/blacklist")["list"]
        if any(one["address"] == BLAMED for one in listed):
            self.listed_until = time.monotonic()
            return False
        return True

    def _has_come_back(self) -> bool:
        self.back_at = next(
            (one.at for one in self._of_blamed() if one.begun >= self.until - CLOCKS_S),
            None,
        )
        return self.back_at is not None

    def _of_blamed(self) -> list[Arrival]:
        """What it carried once it had been refused."""
        return [
            arrival
            for arrival in self._sink.arrivals()
            if arrival.at > self.refused_at and self._sink.peer_of(arrival) == BLAMED
        ]

    @property
    def under_way(self) -> list[Arrival]:
        """What it carried before all workers had to know of the measure."""
        known_at = self.refused_at + KNOWN_IN_S
        return [one for one in self._of_blamed() if one.begun < known_at]

    @property
    def while_it_rested(self) -> list[Arrival]:
        """What it carried, and must not have."""
        first, last = self.refused_at + KNOWN_IN_S, self.until - CLOCKS_S
        return [one for one in self._of_blamed() if first <= one.begun < last]

    def _reckon(self) -> None:
        arrivals = self._sink.arrivals()
        last_of_cold = [
            max((a.at for a in arrivals if self._sink.peer_of(a) == cold), default=0.0)
            for cold in COLD
        ]
        used_up, caps = max(last_of_cold), list(COLD)
        parts: Sequence[tuple[str, Collection[str], float, float]] = (
            ("all", [], 0.0, min(last_of_cold)),
            ("caps used up", caps, used_up + 1.0, self.refused_at),
            (
                *(f"{BLAMED} rests", [*caps, BLAMED]),
                *(self.refused_at + KNOWN_IN_S, self.until),
            ),
            ("it is back", caps, self.until + 1.0, float("inf")),
        )
        for name, absent, first, last in parts:
            some = [one for one in arrivals if first <= one.begun < last]
            seen = Counter(map(self._sink.peer_of, some))
            wanted = wanted_shares(POOL, absent)
            self.stretches.append(Stretch(name, wanted, seen))
        self._peers = Counter(map(self._sink.peer_of, arrivals))

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = [*self.faults]
        arrived = Counter(one.recipient for one in self._sink.arrivals())
        lost = set(self.sent) - arrived.keys()
        doubled = sum(count > 1 for count in arrived.values())
        if lost:
            found.append(f"{len(lost)} messages did not arrive")
        if doubled:
            found.append(f"{doubled} messages came more than once")
        for stretch in self.stretches:
            found += self._wrong_in(stretch)
        for address, cap in COLD.items():
            if self._peers[address] != cap:
                found.append(f"{address} sent {self._peers[address]}, its cap is {cap}")
        told = {one["address"]: one["sentToday"] for one in self.warmup}
        if told != COLD:
            found.append(f"the API tells other counts of warm-up: {told}")
        return found + self._wrong_of_rest()

    def _wrong_in(self, stretch: Stretch) -> list[str]:
        if stretch.total < SEEN_FROM:
            return [f"{stretch.name!r}: {stretch.total} messages say nothing of shares"]
        return [
            f"{stretch.name!r}: {one.address} carried {stretch.share(one.address):.1%}"
            f" of the mail, and {stretch.wanted[one.address]:.1%} were wanted"
            for one in POOL
            if one.address not in COLD and not stretch.is_right(one.address)
        ]

    def _wrong_of_rest(self) -> list[str]:
        found = []
        if self.while_it_rested:
            found.append(
                f"{BLAMED} carried {len(self.while_it_rested)} while it rested"
            )
        if self.refused_at and abs(self.until - self.refused_at - REST_S) > 1.0:
            found.append(f"the measure was for {self.until - self.refused_at:.1f} s")
        if self.back_at is not None and self.back_at > self.until + BACK_IN_S:
            found.append(f"{BLAMED} came back {self.back_at - self.until:.1f} s late")
        return found

    def report(self) -> list[str]:
        """Figures and violations."""
        arrivals = self._sink.arrivals()
        if not arrivals:
            return ["VIOLATION nothing arrived"]
        began = arrivals[0].at
        lasted = arrivals[-1].at - began
        heads = "".join(f"  {one.name:>18}" for one in self.stretches)
        totals = "".join(f"  {one.total:>18}" for one in self.stretches)
        lines = [
            f"pools messages={len(arrivals)}, {len(arrivals) / lasted:.0f}/s for "
            f"{lasted:.0f} s, {len(ZONES)} workers",
            f"address      ratio  carried  cap{heads}",
            f"             messages        {totals}",
            *(self._line(one) for one in POOL),
            "(wanted, seen; caps are those of warm-up)",
        ]
        lines += self._story(began) if self.refused_at else []
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + (broken or ["ok: every promise was kept"])

    def _line(self, one: Address) -> str:
        ratio = "even" if one.ratio is None else f"{one.ratio:.0%}"
        line = f"{one.address:<12} {ratio:>5} {self._peers[one.address]:>8} "
        line += f"{one.cap or '':>4}"
        for stretch in self.stretches:
            wanted, seen = stretch.wanted[one.address], stretch.share(one.address)
            shares = f"{wanted:.1%} {seen:.1%}"
            line += f"  {shares:>18}"
        return line

    def _story(self, began: float) -> list[str]:
        refusal = self._sink.refusals()[0]
        tried_again = [
            f"  its message arrived  {one.at - self.refused_at:.1f} s later, "
            f"from {self._sink.peer_of(one)}"
            for one in self._sink.arrivals()
            if one.recipient == refusal.recipient
        ]
        zones = Counter(zone_of(one.recipient) for one in self.under_way)
        workers = ", ".join(
            f"{count} by that of {zone}" for zone, count in zones.items()
        )
        ended_s = self.until - self.refused_at
        lines = [
            f"{BLAMED}, once, to the worker of zone {zone_of(refusal.recipient)}:",
            f"  refused              {self.refused_at - began:.1f} s after the start",
            *tried_again,
            f"  still under way      {len(self.under_way)} begun within "
            f"{KNOWN_IN_S:.0f} s{': ' if workers else ''}{workers}",
            f"  carried at rest      {len(self.while_it_rested)}",
            f"  measure ended        {ended_s:.2f} s after the refusal; the API told "
            f"of it until {self.listed_until - self.refused_at:.2f} s",
        ]
        if self.back_at is not None:
            back_s = self.back_at - self.refused_at
            lines.append(
                f"  carried mail again   {back_s:.2f} s after the refusal, "
                f"{back_s - ended_s:.2f} s after the end"
            )
        return lines


def zone_of(recipient: str) -> str:
    """The zone, and so the worker, that a recipient's domain leads to."""
    return recipient.rpartition("@")[2].partition(".")[0]


if __name__ == "__main__":
    sys.exit(main())
