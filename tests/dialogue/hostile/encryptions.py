"""STARTTLS: what goes wrong before, in and after the handshake, and who minds."""

import socket
import ssl
from collections.abc import Callable, Iterator

from tests.dialogue.hostile.certificates import old_tls, tls_of, tlsa_of
from tests.dialogue.hostile.everywhere import MEMORY
from tests.dialogue.hostile.mx import Peer, Script, in_turn
from tests.dialogue.hostile.odd_dns import Answer, OddDns, nothing, with_code
from tests.dialogue.hostile.rows import SHORT, Row, deferred, delivered, in_doubt
from tests.dialogue.hostile.steps import (
    close,
    drip,
    flood,
    good,
    greet,
    offer,
    plain,
    reset,
    say,
    send,
    silence,
    take,
)

NAME = "mx1.test"
# Of a handshake message of 16 KiB, the first octets.
RECORD = b"\x16\x03\x03\x40\x00"


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _certificates()
    yield from _refusals()
    yield from _handshakes()
    yield from _afterwards()
    yield from _dane()


def _certificates() -> Iterator[Row]:
    """Nobody minds, unless somebody has said so."""
    shown = {
        "a stranger's": tls_of(NAME, is_trusted=False),
        "an expired": tls_of(NAME, is_expired=True),
        "another host's": tls_of("elsewhere.test"),
    }
    for name, context in shown.items():
        script = _encrypted(context, _takes)
        for level in ("opportunistic", "require"):
            yield delivered(
                f"TLS: {name} certificate, {level}", script, zone=_tls(level)
            )
        yield deferred(
            *(f"TLS: {name} certificate, verify", script, "policy"), zone=_tls("verify")
        )
    right = _encrypted(tls_of(NAME), _takes)
    yield delivered("TLS: the right certificate, verify", right, zone=_tls("verify"))


def _refusals() -> Iterator[Row]:
    yield deferred("TLS: none is offered", plain, "policy", zone=_tls("require"))
    for reply in ("454 4.7.0 not now", "501 5.5.4 no", "502 what?", "250 ok"):
        name = f"TLS: STARTTLS gets {reply[:3]}"
        if not reply.startswith("2"):
            script = _asked(lambda peer, reply=reply: _says_and_takes(peer, reply))
            yield delivered(f"{name}, opportunistic", script)
        script = _asked(say(reply))
        yield deferred(f"{name}, require", script, "policy", zone=_tls("require"))
    yield deferred("TLS: 421 at STARTTLS", _asked(say("421 bye")), "smtp")
    yield deferred("TLS: 354 at STARTTLS", _asked(say("354 go")), "protocol")
    injected = _asked(say("220 go", "250-mx.test", "250 AUTH PLAIN"))
    yield deferred("TLS: clear text behind the 220", injected, "protocol")
    yield deferred("TLS: close at STARTTLS", _asked(close), "network")
    yield deferred(
        *("TLS: silence at STARTTLS", _asked(silence), "network"),
        timeouts={"hello": SHORT},
    )


def _handshakes() -> Iterator[Row]:
    """Broken TLS is worse than none only where none is allowed."""
    ways: dict[str, Script] = {
        "noise": send(b"what is this?\r\n" * 10),
        "a flood of noise": flood(b"\xff" * 1400),
        "close": close,
        "RST": reset,
        "silence": silence,
        "a drip": _drips_a_record,
        "an alert": send(b"\x15\x03\x03\x00\x02\x02\x28"),
        "a flood of warnings": flood(b"\x15\x03\x03\x00\x02\x01\x5a" * 100),
        "a message without an end": flood(RECORD + b"\x02\xff\xff\xff" + b"\0" * 16380),
        "TLS 1.1": _old,
        "its own hello": send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
    }
    for name, way in ways.items():
        hangs = name in ("silence", "a drip")
        timeouts = {"tls": SHORT} if hangs else {}
        script = _asked(_after_220(way))
        yield delivered(
            f"TLS: {name} in the handshake, opportunistic",
            in_turn(script, good),
            connections=2,
            timeouts=timeouts,
            memory=MEMORY,
        )
        yield deferred(
            f"TLS: {name} in the handshake, require",
            *(script, "policy"),
            zone=_tls("require"),
            timeouts=timeouts,
        )


def _afterwards() -> Iterator[Row]:
    context = tls_of(NAME)

    def after(then: Script) -> Script:
        return _encrypted(context, then)

    yield delivered("TLS: another EHLO without PIPELINING", after(_takes))
    yield deferred("TLS: close at the second EHLO", after(close), "network")
    yield deferred("TLS: RST at the second EHLO", after(reset), "network")
    yield deferred(
        *("TLS: silence at the second EHLO", after(silence), "network"),
        timeouts={"hello": SHORT},
    )
    yield deferred("TLS: clear text after it", after(_clear), "network")
    yield deferred("TLS: noise in it", after(send(b"\0\0\r\n")), "protocol")
    flooded = after(flood(b"250-x\r\n" * 100))
    yield deferred("TLS: endless lines in it", flooded, "protocol", memory=MEMORY)
    yield in_doubt("TLS: close after the dot", after(_whole_and(close)), "network")
    yield in_doubt("TLS: RST after the dot", after(_whole_and(reset)), "network")
    yield in_doubt(
        "TLS: clear text after the dot", after(_whole_and(_clear)), "network"
    )
    yield in_doubt(
        *("TLS: silence after the dot", after(_whole_and(silence)), "network"),
        timeouts={"final": SHORT},
    )
    yield deferred(
        "TLS: 250 before the dot",
        *(after(_whole_and(silence, "250 2.0.0 taken")), "protocol"),
        next_host=False,
    )


def _dane() -> Iterator[Row]:
    """What DNS says of a host, where it can be relied on, is the law (RFC 7672)."""
    right, wrong = tlsa_of(NAME), tlsa_of("elsewhere.test")
    encrypted = _encrypted(tls_of(NAME), _takes)
    expired = _encrypted(tls_of(NAME, is_expired=True), _takes)
    yield delivered("DANE: as published", encrypted, names=_tlsa(right))
    yield deferred("DANE: another key", encrypted, "policy", names=_tlsa(wrong))
    yield deferred("DANE: another key, expired", expired, "policy", names=_tlsa(right))
    own = _tlsa(tlsa_of(NAME, is_expired=True))
    yield delivered("DANE: as published, and expired", expired, names=own)
    yield deferred("DANE: no STARTTLS", plain, "policy", names=_tlsa(right))
    noise = _asked(_after_220(send(b"what is this?\r\n")))
    yield deferred("DANE: noise in the handshake", noise, "policy", names=_tlsa(right))
    for name, answer in (("SERVFAIL", with_code(2)), ("no answer", nothing)):
        yield deferred(
            f"DANE: {name} at TLSA",
            *(encrypted, "dns"),
            names=_odd_tlsa(answer),
            connections=0,
        )
    unsigned = _tlsa(wrong, is_secure=False)
    yield delivered("DANE: nobody has validated it", encrypted, names=unsigned)


def _tls(level: str) -> str:
    return f"tls: {level}"


def _asked(then: Script) -> Script:
    """STARTTLS has been read."""

    def script(peer: Peer) -> None:
        greet(peer, "PIPELINING", "STARTTLS")
        if peer.hear() == "STARTTLS":
            then(peer)

    return script


def _after_220(then: Script) -> Script:
    def script(peer: Peer) -> None:
        peer.say("220 go")
        if then is not _old:
            peer.sock.recv(65536)  # the client's hello
        then(peer)

    return script


def _encrypted(context: ssl.SSLContext, then: Script) -> Script:
    """EHLO has been read over TLS."""

    def script(peer: Peer) -> None:
        peer.say("220 go")
        peer.start_tls(context)
        peer.hear("EHLO ")
        then(peer)

    return _asked(script)


def _takes(peer: Peer) -> None:
    offer(peer, "8BITMIME")
    take(peer)
    peer.hear_end()


def _says_and_takes(peer: Peer, reply: str) -> None:
    peer.say(reply)
    take(peer)
    peer.hear_end()


def _whole_and(then: Script, *early: str) -> Script:
    def script(peer: Peer) -> None:
        offer(peer, "8BITMIME")
        for command in ("MAIL ", "RCPT "):
            peer.hear(command)
            peer.say("250 ok")
        peer.hear("DATA")
        peer.say("354 go", *early)
        peer.hear_content()
        then(peer)

    return script


def _clear(peer: Peer) -> None:
    """As if there were no TLS any more."""
    with socket.fromfd(peer.sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.sendall(b"250 mx.test\r\n")
    peer.hear_end()


def _drips_a_record(peer: Peer) -> None:
    peer.send(RECORD)
    drip(peer)


def _old(peer: Peer) -> None:
    peer.start_tls(old_tls())


def _tlsa(data: str, *, is_secure: bool = True) -> Callable[[OddDns], None]:
    def names(dns: OddDns) -> None:
        dns.is_secure = is_secure
        dns.records[f"*._tcp.{NAME}"] = [("TLSA", data)]

    return names


def _odd_tlsa(answer: Answer) -> Callable[[OddDns], None]:
    def names(dns: OddDns) -> None:
        dns.is_secure = True
        dns.odd_below[f"_tcp.{NAME}"] = answer

    return names
