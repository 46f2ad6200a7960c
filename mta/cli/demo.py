"""``mta demo``: the whole stack, finite. Sends, foretells, and checks what came.

Speaks to the stack only as a user would: HTTP, SMTP, and the API's timelines.
"""

import json
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

CONFIG = Path(__file__).with_name("demo.yaml")
START_S = 120.0
FINISH_S = 120.0
STOP_S = 60.0
ASK_EVERY_S = 0.3


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of message, and what is foretold of each of its recipients."""

    name: str
    door: str
    count: int
    sender: str
    recipient: str  # {n} is the message's number
    zone: str
    state: str
    attempts: int
    recipients: int = 1


KINDS = (
    Kind("plain", "http", 100, "shop@shop.example", "ann{n}@mail.example",
         "default", "delivered", 1),
    Kind("plain", "smtp", 100, "shop@shop.example", "bob{n}@mail.example",
         "default", "delivered", 1),
    Kind("newsletter", "smtp", 50, "letter@news.example", "eve{n}@list.example",
         "newsletter", "delivered", 1),
    Kind("many recipients", "http", 1, "shop@shop.example", "team{n}@staff.example",
         "default", "delivered", 1, recipients=100),
    Kind("urgent", "http", 20, "shop@shop.example", "code{n}@bank.example",
         "urgent", "delivered", 1),
    Kind("greylisted", "smtp", 20, "shop@shop.example", "greylist{n}@slow.example",
         "default", "delivered", 2),
    Kind("refused", "http", 15, "shop@shop.example", "refuse{n}@gone.example",
         "default", "bounced", 1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was accepted."""

    id: str
    kind: Kind
    recipients: tuple[str, ...]


@click.command()
def demo() -> None:
    """Run the sandbox, send some hundred messages, check their way, stop."""
    with tempfile.TemporaryDirectory(prefix="mta-demo-") as folder:
        with stack(Path(folder)) as ready:
            surprises = run(ready)
        left = [entry for entry in ready["processes"] if _is_alive(entry["pid"])]
        surprises += [f"still running: {entry['name']}" for entry in left]
    for surprise in surprises[:20]:
        click.echo(f"NOT AS FORETOLD: {surprise}", err=True)
    click.echo("demo: all as foretold" if not surprises else "demo: failed")
    sys.exit(1 if surprises else 0)


@contextmanager
def stack(folder: Path) -> Iterator[dict[str, Any]]:
    """Run ``mta up --sandbox`` meanwhile; yields what its ready file says."""
    ready_file, log_file = folder / "demo-ready.json", folder / "demo.log"
    up = ["up", "--sandbox", "--config", str(CONFIG), "--state", str(folder / "state")]
    command = [
        sys.executable,
        "-m",
        "mta.cli.main",
        *up,
        "--ready-file",
        str(ready_file),
    ]
    click.echo("starting MongoDB, Redis, SMTP, API, workers, scheduler, sandbox MX ...")
    started = time.monotonic()
    with (
        log_file.open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,  # noqa: S603 - ours
    ):
        try:
            while not ready_file.exists():
                if process.poll() is not None or _is_over(started, START_S):
                    raise click.ClickException(_tail(log_file))
                time.sleep(ASK_EVERY_S)
            click.echo(f"ready after {time.monotonic() - started:.1f} s")
            yield json.loads(ready_file.read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def run(ready: Mapping[str, Any]) -> list[str]:
    """Send everything, wait for its end, report; returns what surprised."""
    started = time.monotonic()
    sent = send_all(ready)
    total = sum(len(message.recipients) for message in sent)
    took = time.monotonic() - started
    click.echo(f"accepted {len(sent)} messages for {total} recipients in {took:.1f} s")
    timelines = wait_for_all(ready["api"], sent)
    took = time.monotonic() - started
    click.echo(f"all finished after {took:.1f} s, {total / took:.0f} deliveries/s\n")
    surprises = compare(sent, timelines) + compare_inbox(ready["api"], sent)
    show(sent, timelines)
    return surprises


def send_all(ready: Mapping[str, Any]) -> list[Sent]:
    """Hand every message of every kind to its door."""
    host, _, port = ready["smtp"]["feeder"].rpartition(":")
    sent = []
    with smtplib.SMTP(host, int(port), timeout=30) as smtp:
        smtp.ehlo()
        for kind in KINDS:
            for number in range(kind.count):
                numbers = range(number, number + kind.recipients)
                to = tuple(kind.recipient.format(n=n) for n in numbers)
                if kind.door == "smtp":
                    message_id = send_by_smtp(smtp, kind, to)
                else:
                    message_id = send_by_http(ready["api"], kind, to)
                sent.append(Sent(message_id, kind, to))
    return sent


def send_by_smtp(smtp: smtplib.SMTP, kind: Kind, to: tuple[str, ...]) -> str:
    """One transaction; returns the queue id the server told."""
    content = (
        f"From: {kind.sender}\r\nTo: {to[0]}\r\nSubject: {kind.name}\r\n\r\nHi\r\n"
    )
    smtp.mail(kind.sender)
    for recipient in to:
        smtp.rcpt(recipient)
    code, text = smtp.data(content)
    if code != 250:
        raise click.ClickException(f"SMTP refused: {code} {text!r}")
    return text.decode().rpartition(" ")[2]


def send_by_http(api: str, kind: Kind, to: tuple[str, ...]) -> str:
    """One ``POST /send``; returns the queue id of its answer."""
    body = {"from": kind.sender, "to": list(to), "subject": kind.name, "text": "Hi"}
    request = urllib.request.Request(  # noqa: S310 - our own API, on loopback
        f"{api}/send",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    return str(_fetch(request)["id"])


def wait_for_all(api: str, sent: list[Sent]) -> dict[str, dict[str, Any]]:
    """Every message's timeline, once all its deliveries are finished."""
    finished: dict[str, dict[str, Any]] = {}
    started = time.monotonic()
    while len(finished) < len(sent) and not _is_over(started, FINISH_S):
        for message in sent:
            if message.id not in finished:
                timeline = _fetch(f"{api}/v1/messages/{message.id}")
                if all(is_finished(entry) for entry in timeline["deliveries"]):
                    finished[message.id] = timeline
                else:
                    break
        time.sleep(ASK_EVERY_S)
    return finished


def is_finished(delivery: Mapping[str, Any]) -> bool:
    """Nothing more happens to it."""
    return delivery["state"] in ("delivered", "bounced", "expired")


def compare(sent: list[Sent], timelines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What came to pass otherwise than foretold, in words."""
    surprises = []
    for message in sent:
        kind, timeline = message.kind, timelines.get(message.id)
        if timeline is None:
            surprises.append(f"{message.id} ({kind.name}): not finished")
            continue
        foretold = {
            (to, kind.zone, kind.state, kind.attempts) for to in message.recipients
        }
        came = {
            (entry["recipient"], entry["zone"], entry["state"], entry["attempts"])
            for entry in timeline["deliveries"]
        }
        if came != foretold:
            surprises.append(f"{message.id} ({kind.name}): {sorted(came ^ foretold)}")
    return surprises


def compare_inbox(api: str, sent: list[Sent]) -> list[str]:
    """Everything delivered lies in the inbox, once."""
    foretold = Counter(
        recipient
        for message in sent
        if message.kind.state == "delivered"
        for recipient in message.recipients
    )
    inbox = _fetch(f"{api}/inbox.json?limit=1000")
    came = Counter(recipient for entry in inbox for recipient in entry["to"])
    odd = (came - foretold) + (foretold - came)
    return [f"inbox: {recipient} {came[recipient]} times" for recipient in odd]


def show(sent: list[Sent], timelines: Mapping[str, Mapping[str, Any]]) -> None:
    """The way of one message of each kind, and the figures of its kind."""
    for kind in KINDS:
        messages = [message for message in sent if message.kind is kind]
        states = Counter(
            entry["state"]
            for message in messages
            if message.id in timelines
            for entry in timelines[message.id]["deliveries"]
        )
        figures = ", ".join(f"{count} {state}" for state, count in states.items())
        click.echo(f"{kind.name} by {kind.door}, zone {kind.zone}: {figures}")
        timeline = timelines.get(messages[0].id)
        for entry in timeline["deliveries"][0]["timeline"] if timeline else []:
            status = f" {entry['status']}" if entry["status"] else ""
            said = f"{entry['code']}{status} {entry['text']}"
            click.echo(f"    {entry['at']}  {entry['state']:<10} {said[:90]}")


def _fetch(request: urllib.request.Request | str) -> Any:
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.load(response)


def _is_over(started: float, limit_s: float) -> bool:
    return time.monotonic() - started > limit_s


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()[-20:]
    return "the stack did not start:\n  " + "\n  ".join(lines)
