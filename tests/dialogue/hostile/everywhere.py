"""What can go wrong at every stage of a session, and does, at each of them."""

from collections.abc import Iterator
from typing import Any

from tests.dialogue.hostile.mx import Script
from tests.dialogue.hostile.rows import SHORT, Row, deferred, in_doubt
from tests.dialogue.hostile.steps import (
    at,
    close,
    drip,
    flood,
    reset,
    say,
    send,
    silence,
)

MIB = 1024 * 1024
# What a whole attempt may hold: replies are cut at 64 KiB, and Python has its own.
MEMORY = 3 * MIB

# By stage: how long it is waited for.
PATIENCE = {
    "connect": "greeting",
    "EHLO": "hello",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
    "dot": "final",
}

NOISE = {
    "endless lines": (flood(b"250-and more\r\n" * 100), MEMORY),
    "a line that does not end": (flood(b"2" * 1400), MEMORY),
    "1 MiB without a line end": (send(b"250 " + b"x" * MIB), 2 * MEMORY),
    "2000 lines": (send(b"250-x\r\n" * 1999 + b"250 x\r\n"), MEMORY),
    "endless empty lines": (flood(b"\r\n" * 700), MEMORY),
    "NULs": (send(b"\0\0\0\0\r\n"), None),
    "noise of eight bits": (send(b"\xff\xfe\x80\r\n"), None),
    "another protocol": (send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None),
    "an SSH server": (send(b"SSH-2.0-OpenSSH_9.2p1\r\n"), None),
    "two codes in one reply": (send(b"250-yes\r\n550 no\r\n"), None),
    "code 650": (send(b"650 2.0.0 ok\r\n"), None),
    "code 150": (send(b"150 wait\r\n"), None),
    "code of two digits": (send(b"25 ok\r\n"), None),
    "text before its code": (send(b" 250 ok\r\n"), None),
}


def rows() -> Iterator[Row]:
    """Every stage with everything."""
    for stage, patience in PATIENCE.items():
        timeouts = {patience: SHORT}
        for name, script in (("close", close), ("RST", reset)):
            yield _broken(f"{name} at {stage}", stage, script, "network")
        for name, script in (("silence", silence), ("drip", drip)):
            yield _broken(
                *(f"{name} at {stage}", stage, script, "network"), timeouts=timeouts
            )
        for name, (script, memory) in NOISE.items():
            yield _broken(
                *(f"{name} at {stage}", stage, script, "protocol"), memory=memory
            )
        # RFC 5321 §3.8: at any time. Only who has not begun asks another host.
        yield deferred(
            f"421 at {stage}",
            at(stage, say("421 4.3.2 closing")),
            "smtp",
            says="421 4.3.2 closing",
            next_host=stage in ("connect", "EHLO"),
            refuses=stage == "dot",
        )


def _broken(name: str, stage: str, then: Script, category: str, **more: Any) -> Row:
    kind = in_doubt if stage == "dot" else deferred
    return kind(name, at(stage, then), category, **more)
