"""CHUNKING: content in pieces, each of which has an answer of its own."""

from collections.abc import Iterator
from typing import Any

from tests.dialogue.hostile.everywhere import MIB
from tests.dialogue.hostile.mx import PATIENCE_S, Peer, Script
from tests.dialogue.hostile.rows import (
    SHORT,
    Row,
    bounced,
    deferred,
    delivered,
    in_doubt,
)
from tests.dialogue.hostile.steps import close, greet, reset, say, silence

# Three pieces and something.
OCTETS = 3 * MIB + 1000
TAKEN = "250 2.0.0 taken"


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _at_first_piece()
    yield from _within_a_piece()
    yield from _at_the_last()


def _at_first_piece() -> Iterator[Row]:
    def first(name: str, then: Script, category: str, **more: Any) -> Row:
        more = {"octets": OCTETS, "next_host": False, **more}
        return deferred(f"BDAT: {name}", _after(1, then), category, **more)

    for reply in ("554 5.6.0 no", "500 5.5.1 what is BDAT", "503 5.5.1 no"):
        script = _after(1, say(reply))
        name = f"BDAT: {reply[:3]} at the first piece"
        yield bounced(name, script, octets=OCTETS, says=reply)
    yield first("452 at the first piece", say("452 4.3.1 full"), "smtp")
    yield first("421 at the first piece", say("421 4.3.2 bye"), "smtp")
    yield first("354 to a piece", say("354 go on"), "protocol")
    yield first("two answers to a piece", say("250 a", "250 b"), "protocol")
    yield first("noise after a piece", say("\0\0\0"), "protocol")
    yield first("close after a piece", close, "network")
    yield first("RST after a piece", reset, "network")
    yield first("no answer to a piece", silence, "network", timeouts={"block": SHORT})


def _within_a_piece() -> Iterator[Row]:
    def within(name: str, then: Script, category: str = "network", **more: Any) -> Row:
        script = _begun(then)
        more = {"octets": 16 * MIB, "next_host": False, **more}
        return deferred(f"BDAT: {name}", script, category, **more)

    yield within("close within a piece", close)
    yield within("RST within a piece", reset)
    yield within("no more is read", _rests, timeouts={"block": SHORT})


def _at_the_last() -> Iterator[Row]:
    def last(name: str, then: Script, category: str, **more: Any) -> Row:
        return in_doubt(f"BDAT: {name}", _all(then), category, octets=OCTETS, **more)

    yield delivered("BDAT: as it should be", _all(say(TAKEN)), octets=OCTETS)
    yield delivered("BDAT: taken twice", _all(say(TAKEN, TAKEN)), octets=OCTETS)
    yield last("close after the last piece", close, "network")
    yield last("RST after the last piece", reset, "network")
    yield last(
        *("silence after the last piece", silence, "network"), timeouts={"final": SHORT}
    )
    yield last("noise after the last piece", say("<html>"), "protocol")
    yield last("354 after the last piece", say("354 go"), "protocol")
    # All of it has left us; what the server has read of it, nobody knows.
    yield in_doubt(
        "BDAT: close in the last piece", _close_in_last, "network", octets=OCTETS
    )
    for reply, kind in (("554 5.7.1 spam", bounced), ("452 4.3.1 full", deferred)):
        yield kind(
            f"BDAT: {reply[:3]} after the last piece",
            *(_all(say(reply)), "smtp"),
            octets=OCTETS,
            refuses=True,
            next_host=False,
        )
    yield deferred(
        "BDAT: all is answered ahead",
        *(_ahead, "protocol"),
        octets=OCTETS,
        next_host=False,
    )


def _begin(peer: Peer) -> None:
    greet(peer, "PIPELINING", "CHUNKING")
    peer.hear("MAIL ")
    peer.hear("RCPT ")
    peer.say("250 2.1.0 ok", "250 2.1.5 ok")


def _after(count: int, then: Script) -> Script:
    """So many pieces are read; then this."""

    def script(peer: Peer) -> None:
        _begin(peer)
        for number in range(count):
            peer.hear_piece()
            if number < count - 1:
                peer.say("250 2.0.0 go on")
        then(peer)

    return script


def _begun(then: Script) -> Script:
    def script(peer: Peer) -> None:
        _begin(peer)
        peer.hear("BDAT ")
        then(peer)

    return script


def _all(then: Script) -> Script:
    def script(peer: Peer) -> None:
        _begin(peer)
        while not peer.hear_piece():
            peer.say("250 2.0.0 go on")
        then(peer)

    return script


def _close_in_last(peer: Peer) -> None:
    _begin(peer)
    while not peer.hear_piece(but=1):
        peer.hear_some()
        peer.say("250 2.0.0 go on")


def _ahead(peer: Peer) -> None:
    _begin(peer)
    peer.hear_piece()
    peer.say(*[TAKEN] * 4)
    peer.hear_end()


def _rests(peer: Peer) -> None:
    peer.mx.is_over.wait(PATIENCE_S)
