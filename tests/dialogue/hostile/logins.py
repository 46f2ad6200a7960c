"""Relays that want a login, and what they do with it; and mailboxes behind LMTP."""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

from tests.dialogue.hostile.certificates import tls_of
from tests.dialogue.hostile.everywhere import MEMORY, MIB
from tests.dialogue.hostile.mx import Peer, Script
from tests.dialogue.hostile.rows import (
    SHORT,
    Row,
    bounced,
    deferred,
    delivered,
    in_doubt,
)
from tests.dialogue.hostile.steps import (
    at,
    close,
    flood,
    greet,
    offer,
    plain,
    reset,
    say,
    send,
    silence,
    take,
)

PASSWORD = "open-Sesame-1"
LOGIN = f"host: relay.test, auth: {{user: ada, password: {PASSWORD}"
PLAIN = b64encode(f"\0ada\0{PASSWORD}".encode()).decode()
LMTP = {"zone": "host: relay.test, lmtp: true"}


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _logins()
    yield from _breaks()
    yield from _lmtp()


def _logins() -> Iterator[Row]:
    """A password of ours is for the operator to mend: mail waits, and none bounces."""

    def refused(name: str, then: Script, offered: str = "PLAIN", **more: Any) -> Row:
        return _row(deferred, f"AUTH: {name}", _asked(then, offered), "auth", **more)

    yield _row(delivered, "AUTH: as it should be", _asked(_lets_in, "PLAIN"))
    for reply in ("535 5.7.8 no", "454 4.7.0 later", "504 5.5.4 what", "250 hm", "501"):
        yield refused(f"{reply[:3]}", say(reply))
    yield refused("the password in the refusal", say(f"535 5.7.8 bad: {PLAIN}"))
    yield refused("nothing is offered", silence, "")
    yield refused("only what nobody knows", silence, "GSSAPI NTLM X-NONE")
    yield refused("endless questions", _asks_without_end)
    yield refused("endless questions, LOGIN", _asks_without_end, "LOGIN")
    yield refused("334 that is no base64", say("334 &&&&"), "CRAM-MD5")
    yield refused("SCRAM: 235 without a proof", say("235 2.7.0 in"), "SCRAM-SHA-256")
    yield refused("SCRAM: noise", say("334 AAAA"), "SCRAM-SHA-256")
    yield refused("SCRAM: no nonce of ours", _scram("r=mine,s=AAAA,i=4096"), _SCRAM)
    for count in ("1", "1000000000", "-4096", "9" * 100):
        said = f"r={{nonce}}x,s=AAAA,i={count}"
        yield refused(f"SCRAM: {count[:10]} iterations", _scram(said), _SCRAM)
    yield refused("SCRAM: wrong proof", _proves_wrongly, _SCRAM)


_SCRAM = "SCRAM-SHA-256"


def _breaks() -> Iterator[Row]:
    def broken(name: str, then: Script, category: str, **more: Any) -> Row:
        script = _asked(then, "PLAIN")
        return _row(deferred, f"AUTH: {name}", script, category, **more)

    yield broken("close", close, "network")
    yield broken("RST", reset, "network")
    yield broken("silence", silence, "network", timeouts={"hello": SHORT})
    yield broken("noise", send(b"\0\xff\r\n"), "protocol")
    yield broken("endless lines", flood(b"334-x\r\n" * 100), "protocol", memory=MEMORY)
    yield broken("a challenge of 1 MiB", send(b"334 " + b"A" * MIB), "protocol")
    yield broken("421", say("421 4.7.0 bye"), "auth")
    stranger = _asked(silence, "PLAIN", is_trusted=False)
    yield _row(deferred, "AUTH: a stranger's certificate", stranger, "policy")
    yield _row(deferred, "AUTH: in clear only", _in_clear, "policy")


def _row(kind: Any, name: str, script: Script, *category: str, **more: Any) -> Row:
    zone = LOGIN + "}"
    row: Row = kind(name, script, *category, zone=zone, secret=PLAIN, **more)
    return row


def _lmtp() -> Iterator[Row]:
    """RFC 2033; the message has one recipient, so one answer to its end."""
    yield delivered("LMTP: as it should be", plain, **LMTP)
    yield bounced(
        "LMTP: LHLO is unknown", at("EHLO", say("500 5.5.1 what is LHLO")), **LMTP
    )
    yield deferred("LMTP: 421 at LHLO", at("EHLO", say("421 bye")), "smtp", **LMTP)
    yield deferred("LMTP: close at LHLO", at("EHLO", close), "network", **LMTP)
    yield bounced("LMTP: 550 at RCPT", at("RCPT", say("550 5.1.1 no")), **LMTP)
    yield delivered(
        "LMTP: an answer too many", at("dot", say("250 a", "250 b")), **LMTP
    )
    yield bounced(
        "LMTP: over quota", at("dot", say("552 5.2.2 full")), refuses=True, **LMTP
    )
    yield deferred(
        "LMTP: busy at the dot",
        *(at("dot", say("451 4.2.0 locked")), "smtp"),
        refuses=True,
        next_host=False,
        **LMTP,
    )
    yield in_doubt("LMTP: close after the dot", at("dot", close), "network", **LMTP)
    yield in_doubt(
        *("LMTP: silence after the dot", at("dot", silence), "network"),
        timeouts={"final": SHORT},
        **LMTP,
    )


def _asked(then: Script, offered: str, *, is_trusted: bool = True) -> Script:
    """TLS, EHLO, and AUTH has been read, if there is any."""

    def script(peer: Peer) -> None:
        greet(peer, "STARTTLS")
        peer.hear("STARTTLS")
        peer.say("220 go")
        peer.start_tls(tls_of("relay.test", is_trusted=is_trusted))
        peer.hear("EHLO ")
        offer(peer, *([f"AUTH {offered}"] if offered else ["SIZE"]))
        if peer.hear() != "QUIT":
            then(peer)

    return script


def _lets_in(peer: Peer) -> None:
    peer.say("235 2.7.0 in")
    take(peer)
    peer.hear_end()


def _asks_without_end(peer: Peer) -> None:
    while True:
        peer.say("334 " + b64encode(b"and what else?").decode())
        peer.hear()


def _scram(first: str) -> Script:
    """Answer the client's first message with this."""

    def script(peer: Peer) -> None:
        nonce = _nonce(peer.heard[-1])
        peer.say("334 " + b64encode(first.format(nonce=nonce).encode()).decode())
        peer.hear_end()

    return script


def _proves_wrongly(peer: Peer) -> None:
    said = f"r={_nonce(peer.heard[-1])}x,s=AAAA,i=4096"
    peer.say("334 " + b64encode(said.encode()).decode())
    peer.hear()
    peer.say("334 " + b64encode(b"v=AAAA").decode())
    peer.hear_end()


def _nonce(command: str) -> str:
    message = b64decode(command.rsplit(maxsplit=1)[-1]).decode()
    return message.rpartition("r=")[2]


def _in_clear(peer: Peer) -> None:
    greet(peer, "AUTH PLAIN")
    peer.hear_end()
