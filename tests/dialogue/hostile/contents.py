"""The content, its end, and what is said to that."""

import time
from collections.abc import Iterator

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
from tests.dialogue.hostile.steps import at, close, greet, reset, say

LARGE = 16 * MIB  # more than lies between two sockets


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _in_content()
    yield from _false_success()
    yield from _after_the_dot()


def _in_content() -> Iterator[Row]:
    def midway(name: str, then: Script, category: str, **more) -> Row:
        script = at("content", then)
        return deferred(name, script, category, octets=LARGE, next_host=False, **more)

    yield midway("close in mid-content", close, "network")
    yield midway("RST in mid-content", reset, "network")
    yield midway("reads no more", _rests, "network", timeouts={"block": SHORT})
    yield midway("reads ever slower", _sips, "network", timeouts={"transaction": SHORT})
    yield midway("421 in mid-content", _refuses("421 4.3.2 bye"), "smtp", says="421")
    yield midway("452 in mid-content", _refuses("452 4.3.1 full"), "smtp", says="452")
    yield bounced(
        "552 in mid-content",
        at("content", _refuses("552 5.3.4 too much")),
        octets=LARGE,
        says="552 5.3.4 too much",
    )
    yield bounced(
        "552 in mid-content, and reads on",
        at("content", _goes_on_after("552 5.3.4 too much")),
        octets=LARGE,
        says="552 5.3.4 too much",
    )


def _false_success() -> Iterator[Row]:
    """A 2yz is one to the end of the content, or it is none."""
    yield deferred(
        "250 in mid-content",
        *(at("content", _goes_on_after("250 2.0.0 taken")), "protocol"),
        octets=LARGE,
        next_host=False,
    )
    yield deferred(
        "250 with the 354",
        *(at("DATA", say("354 go", "250 2.0.0 taken")), "protocol"),
        next_host=False,
    )
    yield deferred(
        "354 twice", at("DATA", say("354 a", "354 b")), "protocol", next_host=False
    )
    yield deferred(
        "550 with the 354",
        *(at("DATA", say("354 go", "550 5.7.1 no")), "protocol"),
        next_host=False,
    )
    yield deferred(
        "too many replies to a group",
        *(_group("250 a", "250 b", "354 c", "250 d", "250 e"), "protocol"),
        next_host=False,
    )
    yield in_doubt("354 at the dot", at("dot", say("354 go on")), "protocol")
    yield in_doubt("334 at the dot", at("dot", say("334 YQ==")), "protocol")


def _after_the_dot() -> Iterator[Row]:
    yield in_doubt("half a reply to the dot", at("dot", _half("250 2.0")), "network")
    yield in_doubt("half a long reply", at("dot", _half("250-taken\r\n")), "network")
    for reply in ("451 4.3.0 later", "452 4.2.2 full", "450 wait"):
        yield deferred(
            f"{reply[:3]} at the dot",
            *(at("dot", say(reply)), "smtp"),
            says=reply,
            refuses=True,
            next_host=False,
        )
    for reply in ("554 5.7.1 spam", "550 5.6.0 what is this", "552 5.3.4 too big"):
        yield bounced(
            f"{reply[:3]} at the dot", at("dot", say(reply)), refuses=True, says=reply
        )
    yield delivered("250 twice", at("dot", say("250 taken", "250 and again")))
    yield delivered("250, then noise", at("dot", say("250 taken", "\0\0<html>")))
    yield delivered("250, then 421", at("dot", say("250 taken", "421 bye")))
    yield delivered("250, then an endless line", at("dot", _taken_and_floods))
    yield delivered("250, then close", at("dot", _taken_and(close)))
    yield delivered("250, then RST", at("dot", _taken_and(reset)))
    yield delivered("250, then silence at QUIT", at("dot", say("250 2.0.0 taken")))
    yield delivered("250 with NULs", at("dot", say("250 tak\0en\x1b[31m")))
    yield delivered("250 octet by octet", at("dot", _slowly("250 2.0.0 taken\r\n")))
    yield delivered("250 of 90 lines", at("dot", say(*["250-x"] * 89, "250 x")))
    yield delivered("226 at the dot", at("dot", say("226 taken")))


def _rests(peer: Peer) -> None:
    peer.mx.is_over.wait(PATIENCE_S)


def _sips(peer: Peer) -> None:
    while not peer.mx.is_over.wait(0.02):
        peer.sock.recv(4096)


def _refuses(reply: str) -> Script:
    def script(peer: Peer) -> None:
        peer.say(reply)
        time.sleep(0.1)

    return script


def _goes_on_after(reply: str) -> Script:
    def script(peer: Peer) -> None:
        peer.say(reply)
        peer.hear_content()
        peer.say("554 5.0.0 not taken, whatever was said")
        peer.hear_end()

    return script


def _half(text: str) -> Script:
    return lambda peer: peer.send(text.encode())


def _taken_and(then: Script) -> Script:
    def script(peer: Peer) -> None:
        peer.say("250 2.0.0 taken")
        time.sleep(0.05)  # an RST would overtake it
        then(peer)

    return script


def _taken_and_floods(peer: Peer) -> None:
    peer.say("250 2.0.0 taken")
    peer.flood(b"2" * 1400)


def _slowly(text: str) -> Script:
    def script(peer: Peer) -> None:
        for octet in text.encode():
            peer.send(bytes([octet]))
            time.sleep(0.005)
        peer.hear_end()

    return script


def _group(*replies: str) -> Script:
    def script(peer: Peer) -> None:
        greet(peer, "PIPELINING")
        for command in ("MAIL ", "RCPT ", "DATA"):
            peer.hear(command)
        peer.say(*replies)
        peer.hear_end()

    return script
