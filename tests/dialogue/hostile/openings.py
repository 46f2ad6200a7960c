"""Greetings and hellos."""

from collections.abc import Iterator

from tests.dialogue.hostile.everywhere import MEMORY
from tests.dialogue.hostile.mx import Peer
from tests.dialogue.hostile.odd_dns import OddDns
from tests.dialogue.hostile.rows import Row, bounced, deferred, delivered
from tests.dialogue.hostile.steps import at, good, greet, offer, say, send, take

# All that a server says in a good session, before anybody has asked.
ALL_AT_ONCE = "220 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n250 f\r\n221 g\r\n"


def rows() -> Iterator[Row]:
    """All of them."""
    yield deferred(
        *("nobody listens", good, "network"), connections=0, names=_at_nobodys
    )
    yield bounced("greeting 554", say("554 5.7.1 not you"), says="554 5.7.1 not you")
    yield bounced("greeting 521", say("521 5.3.2 no mail here"))
    yield deferred("greeting 450", say("450 4.3.2 busy"), "smtp")
    yield deferred("greeting 250", say("250 hello"), "protocol")
    yield deferred("greeting 354", say("354 go on"), "protocol")
    yield delivered("greeting of 90 lines", _greets_at_length)
    yield deferred("two greetings", say("220 a", "220 b"), "protocol")
    yield deferred(*("replies before commands", send(ALL_AT_ONCE.encode()), "protocol"))
    yield delivered("EHLO refused, HELO known", _knows_helo("500 5.5.1 what?"))
    yield delivered("EHLO not implemented", _knows_helo("502 5.5.1 not here"))
    yield delivered("EHLO 554, HELO known", _knows_helo("554 no"))
    yield bounced("EHLO and HELO refused", _refuses_all)
    yield deferred("EHLO 451", at("EHLO", say("451 4.3.0 later")), "smtp")
    yield deferred("EHLO 220", at("EHLO", say("220 hm")), "protocol")
    yield deferred("EHLO 354", at("EHLO", say("354 hm")), "protocol")
    yield deferred("EHLO answered twice", at("EHLO", _says_twice), "protocol")
    yield deferred(
        "100 extensions", at("EHLO", _offers(100)), "protocol", memory=MEMORY
    )
    yield delivered("90 extensions", _takes_after(_offers(90)))
    yield delivered("EHLO without a text", _takes_after(say_only("250")))
    yield delivered(
        *(
            "EHLO with noise in it",
            _takes_after(say_only("250-\x00\xff", "250 \x1b[2J")),
        )
    )
    yield delivered("EHLO by bare LF", _takes_after(_bare))


def say_only(*lines: str):
    """Say something, and go on."""
    return lambda peer: peer.say(*lines)


def _at_nobodys(dns: OddDns) -> None:
    dns.records["mx1.test"] = [("A", "127.81.0.9")]


def _greets_at_length(peer: Peer) -> None:
    peer.say(*["220-welcome"] * 89, "220 mx.test")
    peer.hear("EHLO ")
    offer(peer)
    take(peer)


def _knows_helo(reply: str):
    def script(peer: Peer) -> None:
        peer.say("220 mx.test")
        peer.hear("EHLO ")
        peer.say(reply)
        peer.hear("HELO mta.test")
        peer.say("250 mx.test")
        take(peer)
        peer.hear_end()

    return script


def _refuses_all(peer: Peer) -> None:
    peer.say("220 mx.test")
    peer.hear("EHLO ")
    peer.say("550 5.7.1 no")
    peer.hear("HELO ")
    peer.say("550 5.7.1 no")
    peer.hear_end()


def _says_twice(peer: Peer) -> None:
    offer(peer, "SIZE")
    offer(peer, "SIZE")
    peer.hear_end()


def _offers(count: int):
    def script(peer: Peer) -> None:
        offer(peer, *(f"X-{number}" for number in range(count)))

    return script


def _bare(peer: Peer) -> None:
    peer.send(b"250-mx.test\n250-PIPELINING\n250 8BITMIME\n")


def _takes_after(hello):
    def script(peer: Peer) -> None:
        peer.say("220 mx.test")
        peer.hear("EHLO ")
        hello(peer)
        take(peer)
        peer.hear_end()

    return script


def with_offer(*extensions: str):
    """Offer this, and be good."""

    def script(peer: Peer) -> None:
        greet(peer, *extensions)
        take(peer)
        peer.hear_end()

    return script
