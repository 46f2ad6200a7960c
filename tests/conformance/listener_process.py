"""A listener in its own, monkey-patched process, with an intake that keeps it all.

Prints its port and that of a side door, which answers each line with what the intake
got since the last one. Ends when its input does.

Some recipients bring refusals about, each at its own step: ``nobody`` and ``busy`` at
RCPT, ``unwanted`` at DATA, ``spam`` and ``full`` once all of the content is there;
``bug`` and ``late-bug`` are programming errors at RCPT and at the end.
"""

# ruff: noqa: E402 - patching comes before every other import
from gevent import monkey

monkey.patch_all()

import json
import sys
from datetime import UTC, datetime, timedelta

import gevent
from gevent.server import StreamServer

from mta.config.interfaces import Interface
from mta.errors import Rejected, StoreUnavailable
from mta.reply import make_reply
from mta.smtp.sasl import Password, Proof, Token
from mta.smtp.scram import make_keys
from mta.smtpd.listener import Listener
from mta.smtpd.ports import Guards

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
INVALID = make_reply(535, "5.7.8", "Authentication credentials invalid")
REFUSED_RECIPIENTS = {
    "nobody": make_reply(550, "5.1.1", "No such mailbox"),
    "busy": make_reply(450, "4.2.1", "Busy"),
}
AT_BEGIN = {"unwanted": Rejected(make_reply(550, "5.7.1", "Not wanted"))}
AT_COMMIT = {
    "spam": Rejected(make_reply(554, "5.7.1", "Looks like spam")),
    "full": StoreUnavailable("replica set of db7"),
    "late-bug": RuntimeError("secret of db7"),
}
# What of an envelope is told by the side door as it is; the rest as text.
PLAIN = (
    *("reverse_path", "recipients", "interface", "protocol", "session_id", "origin"),
    *("origin_host", "helo", "user", "smtputf8", "body_8bit", "tls", "ret", "envid"),
    *("require_tls", "is_binary"),
)
INSTANTS = ("received_at", "deliver_after", "expires_at", "late_at")


class Intake:
    """Keeps messages until they are told of."""

    def __init__(self):
        self.messages = []
        self.committed = self.aborted = self.open = 0

    def begin(self, envelope):
        raise_for(envelope, AT_BEGIN)
        self.open += 1
        return Submission(self, envelope)

    def tell(self):
        told = {"messages": self.messages, "aborted": self.aborted, "open": self.open}
        self.messages, self.aborted = [], 0
        return told


class Submission:
    def __init__(self, intake, envelope):
        self._intake = intake
        self._envelope = envelope
        self._content = bytearray()
        self.id = ""

    def write(self, chunk):
        self._content += chunk

    def commit(self):
        self._intake.open -= 1
        raise_for(self._envelope, AT_COMMIT)
        self._intake.committed += 1
        self._intake.messages.append(describe(self._envelope, bytes(self._content)))
        self.id = f"m{self._intake.committed}"
        return self

    def abort(self):
        self._intake.open -= 1
        self._intake.aborted += 1


class Logins:
    """Knows ada, whose password is secret, and her token."""

    def __init__(self):
        self._keys = make_keys("secret", salt=b"conformance-salt", iterations=4096)
        self.reserved = 0

    def keys(self, username):
        return self._keys if username == "ada" else None

    def login(self, credentials, *, origin, mechanism):
        match credentials:
            case Password("ada", "secret") | Proof("ada", True):
                return "ada"
            case Token(_, "token-of-ada"):
                return "ada"
        raise Rejected(INVALID)

    def may_send(self, username, reverse_path, *, is_vouched=False):
        if reverse_path in {"", f"{username}@example.test"}:
            return None
        return make_reply(550, "5.7.1", "You may not send from this address")

    def reserve(self, username, recipients):
        self.reserved += recipients

    def give_back(self, username, recipients, *, reserved_at=None):
        self.reserved -= recipients


def screen(reverse_path, recipient):
    local_part = recipient.partition("@")[0]
    if local_part == "bug":
        raise RuntimeError("secret of db7")
    return REFUSED_RECIPIENTS.get(local_part)


def raise_for(envelope, errors):
    for recipient in envelope.recipients:
        error = errors.get(recipient.partition("@")[0])
        if error is not None:
            raise error


def describe(envelope, content):
    told = {name: getattr(envelope, name) for name in PLAIN}
    for name in INSTANTS:
        instant = getattr(envelope, name)
        told[name] = instant and instant.isoformat()
    told["notices"] = {
        recipient: [sorted(notice.notify), notice.orcpt]
        for recipient, notice in envelope.notices.items()
    }
    return told | {"content": content.decode("latin-1")}


def read_interface(options):
    """Lists of JSON are tuples here."""
    return Interface(
        name="door",
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        },
    )


def main():
    interface = read_interface(json.loads(sys.argv[1]))
    intake, logins = Intake(), Logins()
    listener = Listener(
        interface,
        "mx.test",
        intake,
        port=0,
        guards=Guards(logins=logins, screen=screen),
        now=lambda: NOW,
    )

    def answer(sock, _):
        with sock.makefile("rwb") as file:
            for _ in file:
                told = intake.tell() | {"reserved": logins.reserved}
                logins.reserved = 0
                file.write(json.dumps(told).encode() + b"\n")
                file.flush()

    side_door = StreamServer(("127.0.0.1", 0), answer)
    side_door.start()
    listener.start()
    print(listener.address[1], side_door.address[1], flush=True)
    gevent.get_hub().threadpool.spawn(sys.stdin.read).get()
    side_door.stop(timeout=0.1)
    listener.stop(timedelta(0))


if __name__ == "__main__":
    main()
