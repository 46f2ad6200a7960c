"""MAIL, RCPT and DATA, and what was offered before them."""

import time
from collections.abc import Iterator

from tests.dialogue.hostile.mx import Peer, Script
from tests.dialogue.hostile.openings import with_offer
from tests.dialogue.hostile.rows import SHORT, Row, bounced, deferred, delivered
from tests.dialogue.hostile.steps import at, close, greet, say, send, silence, take

UTF8 = {"needs_utf8": True}
EIGHT_BIT = {"needs_8bit": True}


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _refusals()
    yield from _wrong_codes()
    yield from _offers()
    yield from _manners()


def _refusals() -> Iterator[Row]:
    for stage in ("MAIL", "RCPT", "DATA"):
        for reply in ("450 4.2.0 later", "451 not now", "452 4.5.3 too many"):
            yield deferred(
                f"{reply[:3]} at {stage}",
                *(at(stage, say(reply)), "smtp"),
                says=reply,
                next_host=False,
            )
        for reply in ("550 5.1.1 no", "554", "503 5.5.1 sequence", "500 what?"):
            yield bounced(f"{reply[:3]} at {stage}", at(stage, say(reply)), says=reply)
    yield bounced("code against status", at("RCPT", say("550 4.7.1 a b")))
    yield bounced(
        "a refusal of 90 lines",
        at("RCPT", say(*["550-5.1.1 no"] * 89, "550 5.1.1 no")),
    )
    yield bounced("a refusal with controls", at("RCPT", send(b"550 \0\x1b[2Jno\r\n")))
    yield bounced(
        "recipients refused in a group", _group("250 a", "550 5.1.1 b", "503")
    )
    for name, then in (
        ("", say("554 5.5.1 no valid recipients")),
        (", then close", close),
        (", then noise", say("<html>")),
        (", then 421", say("421 4.3.2 bye")),
    ):
        yield bounced(f"354 though there is no recipient{name}", _lone_dot(then))
    yield bounced(
        "354 though there is no recipient, then silence",
        _lone_dot(silence),
        timeouts={"final": SHORT},
    )
    yield deferred(
        "354 though there is no sender",
        *(_group("450 4.1.8 a", "250 b", "354 c"), "smtp"),
        next_host=False,
    )


def _wrong_codes() -> Iterator[Row]:
    for stage in ("MAIL", "RCPT"):
        for code in ("354 go", "334 YQ=="):
            name = f"{code[:3]} at {stage}"
            yield deferred(name, at(stage, say(code)), "protocol")
        yield deferred(
            f"{stage} answered twice", at(stage, say("250 a", "250 b")), "protocol"
        )
    yield deferred("250 at DATA", at("DATA", say("250 taken")), "protocol")
    yield deferred("235 at DATA", at("DATA", say("235 in")), "protocol")
    yield deferred("220 at DATA", at("DATA", say("220 what")), "protocol")
    yield deferred("a late second reply", at("MAIL", _late), "protocol")
    yield deferred(
        "replies out of order", _group("354 a", "250 b", "250 c"), "protocol"
    )
    yield delivered("251 at RCPT", at("RCPT", _accepts("251 2.1.5 will forward")))
    yield delivered("252 at RCPT", at("RCPT", _accepts("252 2.1.5 will try")))


def _offers() -> Iterator[Row]:
    yield bounced(
        *("SIZE 10", with_offer("SIZE 10"), "message"), octets=4000, says="5.3.4"
    )
    for size in ("0", "", "-1", "abc", "9" * 400, "1 2 3"):
        yield delivered(f"SIZE {size[:5]}", with_offer(f"SIZE {size}"))
    yield bounced("no 8BITMIME", with_offer("SIZE"), "message", request=EIGHT_BIT)
    yield delivered("8BITMIME", with_offer("8BITMIME"), request=EIGHT_BIT)
    yield bounced(
        *("no SMTPUTF8", with_offer("SIZE"), "message"), request=UTF8, says="5.6.7"
    )
    yield delivered("SMTPUTF8", with_offer("SMTPUTF8", "8BITMIME"), request=UTF8)
    yield delivered("no extensions at all", with_offer("HELP"))
    yield bounced(
        "8BITMIME is a lie",
        at("MAIL", say("555 5.5.4 BODY= is unknown")),
        request=EIGHT_BIT,
    )


def _manners() -> Iterator[Row]:
    yield delivered("replies without a text", _tersely)
    yield delivered("replies by bare LF", _by_bare_lf)
    yield delivered("replies octet by octet", _by_octets)
    yield delivered("an empty line's worth of text", at("RCPT", _accepts("250 ")))
    yield delivered("text of eight bits", at("RCPT", _accepts("250 gr\xfc\xdfe")))


def _group(*replies: str):
    """A pipelined group gets these replies."""

    def script(peer: Peer) -> None:
        greet(peer, "PIPELINING")
        peer.hear("MAIL ")
        peer.hear("RCPT ")
        peer.hear("DATA")
        peer.say(*replies)
        peer.hear_end()

    return script


def _lone_dot(then: Script) -> Script:
    """What the client says to get out of that: nothing, for nobody."""

    def script(peer: Peer) -> None:
        greet(peer, "PIPELINING")
        for command in ("MAIL ", "RCPT ", "DATA"):
            peer.hear(command)
        peer.say("250 a", "550 5.1.1 b", "354 c")
        assert peer.hear() == "."
        then(peer)

    return script


def _late(peer: Peer) -> None:
    peer.say("250 a")
    time.sleep(0.05)
    peer.say("250 a")
    peer.hear("RCPT ")
    peer.say("250 b")
    peer.hear_end()


def _accepts(reply: str):
    def script(peer: Peer) -> None:
        peer.say(reply)
        take(peer)
        peer.hear_end()

    return script


def _tersely(peer: Peer) -> None:
    peer.say("220")
    for command, reply in (
        ("EHLO ", "250"),
        ("MAIL ", "250"),
        ("RCPT ", "250 "),
        ("DATA", "354"),
    ):
        peer.hear(command)
        peer.say(reply)
    peer.hear_content()
    peer.say("250")
    peer.hear_end()


def _by_bare_lf(peer: Peer) -> None:
    _in_pieces(peer, lambda text: peer.send(f"{text}\n".encode()))


def _by_octets(peer: Peer) -> None:
    def say(text: str) -> None:
        for octet in f"{text}\r\n".encode():
            peer.send(bytes([octet]))
            time.sleep(0.001)

    _in_pieces(peer, say)


def _in_pieces(peer: Peer, say) -> None:
    say("220 mx.test")
    for command, reply in (
        ("EHLO ", "250 mx.test"),
        ("MAIL ", "250 2.1.0 ok"),
        ("RCPT ", "250 2.1.5 ok"),
        ("DATA", "354 go on"),
    ):
        peer.hear(command)
        say(reply)
    peer.hear_content()
    say("250 2.0.0 taken")
    peer.hear_end()
