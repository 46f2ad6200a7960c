"""How servers go on up to the point at which they go wrong, and ways to go wrong."""

from collections.abc import Sequence

from tests.dialogue.hostile.mx import Peer, Script

STAGES = ("connect", "EHLO", "MAIL", "RCPT", "DATA", "content", "dot")
DEFAULT = ("8BITMIME", "SMTPUTF8")


def at(stage: str, then: Script, *offered: str) -> Script:
    """All goes well until ``stage``, whose command has been read and not answered.

    At "content" its first octets have, at "dot" the last ones.
    """

    def script(peer: Peer) -> None:
        for step in STAGES[: STAGES.index(stage) + 1]:
            go_to(step, peer, offered or DEFAULT)
        if stage == "content":
            peer.hear_some()
        then(peer)

    return script


def go_to(stage: str, peer: Peer, offered: Sequence[str] = DEFAULT) -> None:
    """Answer what came before a stage, and read its own command."""
    match stage:
        case "EHLO":
            peer.say("220 mx.test ESMTP")
            peer.hear("EHLO ", "LHLO ")
        case "MAIL":
            offer(peer, *offered)
            peer.hear("MAIL FROM:<")
        case "RCPT":
            peer.say("250 2.1.0 ok")
            peer.hear("RCPT TO:<")
        case "DATA":
            peer.say("250 2.1.5 ok")
            peer.hear("DATA")
        case "content":
            peer.say("354 go on")
        case "dot":
            peer.hear_content()


def offer(peer: Peer, *extensions: str) -> None:
    """Answer EHLO."""
    lines = ["mx.test", *extensions]
    peer.say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")


def take(peer: Peer) -> None:
    """Take one message, from MAIL or RSET on; pipelined or not."""
    while not (command := peer.hear()).startswith("DATA"):
        if command == "QUIT":
            peer.say("221 2.0.0 bye")
            return
        if command.startswith("BDAT"):
            raise AssertionError("no BDAT was offered")
        peer.say("235 2.7.0 in" if command.startswith("AUTH ") else "250 2.0.0 ok")
    peer.say("354 go on")
    peer.hear_content()
    peer.say("250 2.0.0 taken")


def greet(peer: Peer, *offered: str) -> None:
    """Greeting and EHLO."""
    peer.say("220 mx.test ESMTP")
    peer.hear("EHLO ", "LHLO ")
    offer(peer, *(offered or DEFAULT))


def plain(peer: Peer) -> None:
    """A server as they should be, though it does no TLS."""
    greet(peer, *DEFAULT, "PIPELINING")
    _serve(peer)


def good(peer: Peer) -> None:
    """A server as they should be, and with TLS and logins if it has a certificate."""
    if peer.mx.context is None:
        plain(peer)
        return
    greet(peer, *DEFAULT, "STARTTLS")
    if peer.hear() == "QUIT":
        return
    peer.say("220 go")
    peer.start_tls(peer.mx.context)
    peer.hear("EHLO ", "LHLO ")
    offer(peer, *DEFAULT, "PIPELINING", "AUTH PLAIN")
    _serve(peer)


def _serve(peer: Peer) -> None:
    while not (peer.heard and peer.heard[-1] == "QUIT"):
        take(peer)


def say(*lines: str) -> Script:
    """Say something, and wait for what the client makes of that."""

    def script(peer: Peer) -> None:
        peer.say(*lines)
        peer.hear_end()

    return script


def send(octets: bytes) -> Script:
    """Likewise, octets as they are."""

    def script(peer: Peer) -> None:
        peer.send(octets)
        peer.hear_end()

    return script


def flood(octets: bytes) -> Script:
    """Say it again and again, for ever."""
    return lambda peer: peer.flood(octets)


def close(peer: Peer) -> None:
    """Say nothing any more, and close."""


def reset(peer: Peer) -> None:
    """Likewise, with an RST."""
    peer.reset()


def silence(peer: Peer) -> None:
    """Say nothing any more, and do not close."""
    peer.hear_end()


def drip(peer: Peer) -> None:
    """An octet now and then that never makes a line."""
    peer.drip()
