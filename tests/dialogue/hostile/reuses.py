"""Sessions that have carried a message, and what becomes of the next one."""

from collections.abc import Iterator
from typing import Any

from tests.dialogue.hostile.mx import Peer, Script, in_turn
from tests.dialogue.hostile.rows import (
    SHORT,
    Row,
    bounced,
    deferred,
    delivered,
    in_doubt,
)
from tests.dialogue.hostile.steps import (
    close,
    flood,
    good,
    greet,
    reset,
    say,
    send,
    silence,
    take,
)

IDLE = {
    "421": say("421 4.4.2 idle for too long"),
    "close": close,
    "RST": reset,
    "a reply nobody asked for": say("250 2.0.0 and again"),
    "half a line": send(b"2"),
    "noise": send(b"\0\xff\r\n"),
    "a flood": flood(b"250-x\r\n" * 100),
}
AT_RSET = {
    "421": (say("421 4.3.2 bye"), {}),
    "500": (say("500 what?", "250 a", "250 b", "354 c"), {}),
    "close": (close, {}),
    "RST": (reset, {}),
    "silence": (silence, {"reset": SHORT}),
}
WARM = {"warm": 1, "has_next": False}


def rows() -> Iterator[Row]:
    """All of them."""
    for name, then in IDLE.items():
        script = in_turn(_after_one(then), good)
        yield _again(f"reuse: {name} while idle", script)
    for name, (then, timeouts) in AT_RSET.items():
        script = in_turn(_after_one(_group(then)), good)
        yield _again(f"reuse: {name} at RSET", script, timeouts=timeouts)
    for reply in ("421 4.7.0 too many messages", "421"):
        script = in_turn(_after_one(_group(say("250 a", reply))), good)
        yield _again(f"reuse: MAIL refused with {reply}", script)
    yield from _no_stale_ones()


def _again(name: str, script: Script, **more: Any) -> Row:
    """It says nothing about this message, which is sent by a new session at once."""
    return delivered(name, script, connections=2, **WARM, **more)


def _no_stale_ones() -> Iterator[Row]:
    """Where MAIL was accepted, it was this message."""

    def second(then: Script) -> Script:
        return _after_one(_group(then))

    yield deferred(
        "reuse: 421 at RCPT",
        *(second(say("250 a", "250 b", "421 bye")), "smtp"),
        **{**WARM, "next_host": False},
    )
    yield deferred(
        "reuse: 450 at MAIL",
        second(say("250 a", "450 b", "503", "503")),
        "smtp",
        **WARM,
    )
    yield bounced(
        "reuse: 550 at RCPT", second(say("250 a", "250 b", "550 c", "503")), **WARM
    )
    yield deferred(
        "reuse: close after MAIL",
        *(second(_says_and(close, "250 a", "250 b")), "network"),
        **WARM,
    )
    # Each one would be taken for the answer to the command after its own.
    yield deferred(
        "reuse: a reply too many before those to the group",
        *(second(say("250 again", "250 a", "250 b", "250 c", "354 d")), "protocol"),
        **WARM,
    )
    for name, end in (("close", close), ("RST", reset), ("noise", say("<html>"))):
        script = second(_whole_and(end))
        category = "protocol" if name == "noise" else "network"
        yield in_doubt(f"reuse: {name} after the dot", script, category, **WARM)
    yield deferred(
        "reuse: 421 at the dot",
        *(second(_whole_and(say("421 bye"))), "smtp"),
        refuses=True,
        **WARM,
    )
    yield in_doubt(
        "reuse: silence after the dot",
        *(second(_whole_and(silence)), "network"),
        timeouts={"final": SHORT},
        **WARM,
    )


def _after_one(then: Script) -> Script:
    """The first message is taken."""

    def script(peer: Peer) -> None:
        greet(peer, "PIPELINING")
        take(peer)
        then(peer)

    return script


def _group(then: Script) -> Script:
    """All commands of the second one have been read."""

    def script(peer: Peer) -> None:
        for command in ("RSET", "MAIL ", "RCPT ", "DATA"):
            peer.hear(command)
        then(peer)

    return script


def _says_and(then: Script, *lines: str) -> Script:
    def script(peer: Peer) -> None:
        peer.say(*lines)
        then(peer)

    return script


def _whole_and(then: Script) -> Script:
    """The second one is here."""

    def script(peer: Peer) -> None:
        peer.say("250 a", "250 b", "250 c", "354 d")
        peer.hear_content()
        then(peer)

    return script
