"""Eight processes want more than there is, of one Redis that is not spared."""

import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from mta.embedded.find import find_redis
from mta.embedded.ports import port_of, reserve
from mta.embedded.redis import redis_child, redis_url

PROCESSES = 8
LIMIT = 5
PER_SECOND = 10
ROOT = Path(__file__).parents[3]

# Takes slots and turns as fast as it can, in two threads; tells in the clock that
# all processes of a machine share when it held what.
GREEDY = """
import json, random, sys, time
from datetime import timedelta
from threading import Thread
from mta.config.values import Rate
from mta.store.limits import Demand, Full, Granted, Later, Limits, Pace, Slot
from mta.store.workers import Presence, Standing

url, name, rank, count = sys.argv[1:]
limits = Limits(url)
limits.set_standing(Standing(Presence(int(rank), int(count))))
limits.start(lambda key: None, lambda keys: None)
print("ready", flush=True)
until = float(input())
slot, key = Slot(f"zone:{name}", LIMIT), f"domain:{name}"
pace = Pace(key, Rate(PER_SECOND, timedelta(seconds=1)))
held, granted, alone = [], [], 0

def take_slots():
    for number in range(10**9):
        if time.monotonic() > until:
            return
        member = f"{rank}-{number}"
        if isinstance(limits.acquire(member, Demand((slot,))), Granted):
            since = time.monotonic()
            time.sleep(random.uniform(0, 0.01))
            held.append((since, time.monotonic()))
            limits.release(member, [slot.key])
        else:
            time.sleep(0.002)

def take_turns():
    global alone
    while time.monotonic() < until:
        asked = time.monotonic()
        answer = limits.acquire(
            "r" + rank, Demand((), (pace,)), has_turn=random.random() < 0.9
        )
        wait = answer.wait.total_seconds()
        if isinstance(answer, Granted):
            granted.append((asked + wait, time.monotonic() + wait))
            alone += not limits.is_shared
            time.sleep(wait)
        else:
            time.sleep(min(wait, 0.1))

threads = [Thread(target=take_slots), Thread(target=take_turns)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
limits.stop()
print(json.dumps({"held": held, "granted": granted, "alone": alone}))
"""
GREEDY = GREEDY.replace("PER_SECOND", str(PER_SECOND)).replace("LIMIT", str(LIMIT))


class PrivateRedis:
    """A server that a test may mistreat."""

    def __init__(self, folder: Path) -> None:
        self._reservation = reserve("127.0.0.1", 0, what="tests")
        self._port = port_of(self._reservation)
        self.url = redis_url(self._port, 1)
        self._child = redis_child(
            find_redis(os.environ), folder, self._port, os.environ
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._child.argv, env=dict(self._child.env))
        with closing(Redis.from_url(self.url)) as client:
            while True:
                with suppress(RedisError):
                    client.ping()
                    return
                time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def flush(self) -> None:
        with closing(Redis.from_url(self.url)) as client:
            client.flushdb()

    def close(self) -> None:
        self.kill()
        self._reservation.close()


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.close()


class Crowd:
    """Greedy processes, and what they had."""

    def __init__(self, url: str) -> None:
        name = secrets.token_hex(4)
        self._processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-c", GREEDY, url, name),
                    *(str(rank), str(PROCESSES)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for rank in range(PROCESSES)
        ]
        self.held: list[tuple[float, float]] = []
        self.granted: list[tuple[float, float]] = []
        self.alone = 0

    def begin(self, url: str, *, seconds: float) -> None:
        """Let all loose once the last one is there and Redis is settled."""
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        with closing(Redis.from_url(url)) as client:
            settled = int(client.hget("mta:epoch", "settled") or 0)
            seconds_now, micros = client.time()
            time.sleep(max(0.0, settled / 1e6 - seconds_now - micros / 1e6))
        for process in self._processes:
            assert process.stdin is not None
            print(time.monotonic() + seconds, file=process.stdin, flush=True)

    def wait(self) -> None:
        """Let them end, and gather what they tell."""
        for process in self._processes:
            out, _ = process.communicate(timeout=60)
            told = json.loads(out)
            self.held += map(tuple, told["held"])
            self.granted += map(tuple, told["granted"])
            self.alone += told["alone"]

    def most_at_once(self) -> int:
        """Slots held at one instant; one ends before another begins."""
        ends = [(since, 1) for since, _ in self.held]
        ends += [(until, -1) for _, until in self.held]
        return max(itertools.accumulate(step for _, step in sorted(ends)))

    def worst_excess(self) -> float:
        """Grants beyond rate times window and one, in the worst of all windows.

        The instant that was granted is somewhere between those before the question
        and after the answer: a window holds what lies in it with both.
        """
        worst = -1.0
        for begin, _ in self.granted:
            ends = sorted(end for asked, end in self.granted if asked >= begin)
            for count, end in enumerate(ends, 1):
                worst = max(worst, count - ((end - begin) * PER_SECOND + 1))
        return worst

    def span_s(self) -> float:
        return max(self.granted)[0] - min(self.granted)[0]


def test_limits_hold_over_processes(private_redis):
    """Never more holders than slots, never more turns than the rate, in any window."""
    crowd = Crowd(private_redis.url)
    crowd.begin(private_redis.url, seconds=6)
    crowd.wait()

    assert crowd.most_at_once() == LIMIT
    assert crowd.worst_excess() <= 0
    assert len(crowd.granted) >= 0.95 * crowd.span_s() * PER_SECOND
    assert crowd.alone == 0


def test_limits_hold_while_redis_is_killed(private_redis):
    """Shares take over, and give back: the rate holds, slots within what was held."""
    crowd = Crowd(private_redis.url)
    crowd.begin(private_redis.url, seconds=16)
    time.sleep(3)
    private_redis.kill()
    time.sleep(5)
    private_redis.start()
    crowd.wait()

    assert crowd.most_at_once() == LIMIT
    assert crowd.worst_excess() <= 0.01 * crowd.span_s() * PER_SECOND
    assert crowd.alone > PER_SECOND
    assert len(crowd.granted) >= 0.6 * crowd.span_s() * PER_SECOND


def test_limits_hold_while_redis_is_flushed(private_redis):
    """What was forgotten counts as granted."""
    crowd = Crowd(private_redis.url)
    crowd.begin(private_redis.url, seconds=10)
    time.sleep(3)
    private_redis.flush()
    crowd.wait()

    assert crowd.most_at_once() == LIMIT
    assert crowd.worst_excess() <= 0.01 * crowd.span_s() * PER_SECOND
    assert len(crowd.granted) >= 0.6 * crowd.span_s() * PER_SECOND


@pytest.mark.parametrize("silence_s", [3, 8], ids="silent for {}s".format)
def test_limits_hold_while_redis_hangs(private_redis, silence_s):
    """One second without an answer is enough, however long it lasts."""
    crowd = Crowd(private_redis.url)
    crowd.begin(private_redis.url, seconds=9 + silence_s)
    time.sleep(3)
    private_redis.signal(signal.SIGSTOP)
    time.sleep(silence_s)
    private_redis.signal(signal.SIGCONT)
    crowd.wait()

    assert crowd.most_at_once() == LIMIT
    assert crowd.worst_excess() <= 0.01 * crowd.span_s() * PER_SECOND
    assert crowd.alone > 0
    assert len(crowd.granted) >= 0.5 * crowd.span_s() * PER_SECOND
