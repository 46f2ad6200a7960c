"""Mail that real workers sign, as its receiver checks it."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from mta.config.signing_key import ED25519, RSA, parse_signing_key
from mta.mail.dkim_record import format_record
from mta.operate.dkim import make_pem
from tests.support.dns import DnsServer
from tests.support.signing import in_quotes, verdicts
from tests.support.stack import Stack

CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{defer_times: [1s, 1s, 1s, 1s, 1s, 1s], add_missing: [message-id, date, to]}}
dkim:
  sign_transport_domain: true
  signature_expire_in: 7d
  keys:
    signed.test:
      - {{selector: r1, path: {folder}/rsa.pem}}
      - {{selector: e1, path: {folder}/ed25519.pem}}
    mta.signed.test: [{{selector: host, path: {folder}/host.pem}}]
interfaces:
  feeder: {{port: 0, processes: 1, max_size: 30 MiB}}
pools:
  one: [{{address: 127.0.0.1, name: mta.signed.test}}]
zones:
  default: {{connections: 20, pool: one, port: {mx_port}}}
  bounces: {{connections: 1, port: {mx_port}}}
domains:
  default: {{max_connections: 20}}
"""
MX_HOST = "127.77.0.1"
KEYS = {"rsa": RSA, "ed25519": ED25519, "host": RSA}
NAMES = {
    "rsa": "r1._domainkey.signed.test",
    "ed25519": "e1._domainkey.signed.test",
    "host": "host._domainkey.mta.signed.test",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Keys in files that nobody else can read."""
    folder = tmp_path_factory.mktemp("keys")
    for name, algorithm in KEYS.items():
        path = folder / f"{name}.pem"
        path.write_bytes(make_pem(algorithm, 2048))
        path.chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def names(folder) -> Iterator[DnsServer]:
    records = {
        "mx.host.test": [("A", MX_HOST)],
        "*.test": [("MX", "10 mx.host.test.")],
    }
    for name, where in NAMES.items():
        records[where] = [("TXT", in_quotes(record_of(folder / f"{name}.pem")))]
    with DnsServer(records) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory, folder, names, sink_of_session) -> Iterator[Stack]:
    config = CONFIG.format(
        dns=names.address, folder=folder, mx_port=sink_of_session.port
    )
    with Stack(tmp_path_factory.mktemp("signing"), config) as running:
        yield running
        assert "Traceback" not in running.log_file.read_text(errors="replace")


def record_of(path):
    key = parse_signing_key(path.read_bytes())
    return format_record(key.algorithm, key.public)


def holds(content, names):
    """Which of a message's signatures hold, from the topmost on."""

    def find(name):
        texts = [text for kind, text in names.records.get(name, []) if kind == "TXT"]
        return "".join(re.findall(r'"([^"]*)"', texts[0])) if texts else None

    return verdicts(content, find)


def signatures(content):
    """d= and s= of each, from the topmost on."""
    header = content.partition(b"\r\n\r\n")[0]
    return re.findall(rb"DKIM-Signature:.*?d=([^;]+);\s+s=([^;]+);", header, re.DOTALL)


def made(stack):
    """How many signatures were made so far."""
    with urllib.request.urlopen(stack.ready["metrics"][0]) as answer:
        text = answer.read().decode()
    found = re.search(r'mta_dkim_signatures_total{result="made"} ([0-9.]+)', text)
    return float(found[1]) if found else 0.0


def test_what_is_delivered_is_signed(stack, names, sink):
    """By both keys of the author's domain, and in the name of the sending host."""
    sent = {
        "from": "Ada <ada@signed.test>",
        "to": "bob@b.test",
        "subject": "Grüße,   with  blanks \t and a long line " + "x " * 80,
        "text": "Hello \r\n\r\n there  \r\n\r\n\r\n",
        "html": "<p>Grüße</p>",
    }

    stack.post("/send", sent)

    assert sink.wait_for(["bob@b.test"], 30)
    (content,) = sink.contents["bob@b.test"]
    assert content.startswith(b"Received: ")
    assert signatures(content) == [
        (b"signed.test", b"r1"),
        (b"signed.test", b"e1"),
        (b"mta.signed.test", b"host"),
    ]
    assert holds(content, names) == [True, True, True]


def test_a_change_on_the_way_breaks_every_signature(stack, names, sink):
    """So what the test before has seen means something."""
    stack.post("/send", {"from": "a@signed.test", "to": "eve@b.test", "text": "Hi"})

    assert sink.wait_for(["eve@b.test"], 30)
    (content,) = sink.contents["eve@b.test"]
    again = content.replace(b"\r\n\r\n", b"\r\nSubject: another\r\n\r\n", 1)
    assert holds(again, names) == [False, False, False]


def test_a_thousand_recipients_cost_one_signature_of_each_key(stack, names, sink):
    """All in one worker: whoever comes first signs, and the others share it."""
    recipients = [f"r{number}@many.test" for number in range(1000)]
    before = made(stack)

    stack.post("/send", {"from": "a@signed.test", "to": recipients, "text": "Hi"})

    assert sink.wait_for(recipients, 120)
    stack.wait_until_finished(stack.accepted[-1])
    assert made(stack) - before == 3
    fields = {
        content.partition(b"DKIM-Signature:")[2].partition(b"\r\nMIME")[0]
        for each in recipients
        for content in sink.contents[each]
    }
    assert len(fields) == 1
    assert holds(sink.contents[recipients[-1]][0], names) == [True] * 3


def test_copies_that_name_their_recipient_are_signed_each(stack, names, sink):
    """The To field that each gets is covered."""
    recipients = [f"t{number}@each.test" for number in range(3)]
    raw = b"From: <a@signed.test>\r\nSubject: hi\r\n\r\nHi\r\n"
    with stack.smtp() as client:
        client.sendmail("a@signed.test", recipients, raw)

    assert sink.wait_for(recipients, 30)
    for each in recipients:
        (content,) = sink.contents[each]
        assert f"To: <{each}>".encode() in content
        assert holds(content, names) == [True] * 3
        assert holds(content.replace(b"To: <t", b"To: <u"), names) == [False] * 3


def test_a_domain_without_a_key_is_not_signed_in_its_name(stack, sink, names):
    """The sending host vouches alone."""
    stack.post("/send", {"from": "a@other.test", "to": "carl@b.test", "text": "Hi"})

    assert sink.wait_for(["carl@b.test"], 30)
    (content,) = sink.contents["carl@b.test"]
    assert signatures(content) == [(b"mta.signed.test", b"host")]
    assert holds(content, names) == [True]


@pytest.mark.slow
def test_a_key_in_mongodb_signs_once_it_is_published(stack, sink, names):
    """`mta dkim keygen` makes it; what it prints is what DNS must have."""
    env = {**os.environ, "MTA_MONGO_URI": stack.ready["mongo"]}
    mta = [sys.executable, "-m", "mta.cli.main", "dkim"]

    def run(*command):
        done = subprocess.run(
            [*mta, *command], capture_output=True, env=env, check=True
        )
        return done.stdout.decode()

    where, text = run("keygen", "stored.test", "--selector", "s1").splitlines()
    stack.post("/send", {"from": "a@stored.test", "to": "early@b.test", "text": "Hi"})
    assert sink.wait_for(["early@b.test"], 30)
    names.records[where] = [("TXT", in_quotes(text))]
    deadline = time.monotonic() + 150
    while json.loads(run("list", "stored.test", "--json"))[0]["state"] != "active":
        assert time.monotonic() < deadline
        time.sleep(1)
    time.sleep(30)  # what the worker knew of the domain
    stack.post("/send", {"from": "a@stored.test", "to": "late@b.test", "text": "Hi"})

    assert sink.wait_for(["late@b.test"], 30)
    ((early,), (late,)) = (sink.contents[f"{who}@b.test"] for who in ("early", "late"))
    assert b"d=stored.test" not in early
    assert signatures(late)[0] == (b"stored.test", b"s1")
    assert holds(late, names) == [True, True]


def test_mail_waits_for_a_key_that_cannot_be_read(stack, sink, names, folder):
    """It is deferred with a reply of ours, and goes out signed when the key is back."""
    config = stack._config.read_text()
    gone = folder / "gone.pem"
    gone.write_bytes((folder / "rsa.pem").read_bytes())
    gone.chmod(0o600)
    key = f"    late.test: [{{selector: r1, path: {gone}, domain: signed.test}}]\n"
    stack._config.write_text(config.replace("  keys:\n", "  keys:\n" + key))
    reload = [sys.executable, "-m", "mta.cli.main", "reload", "--state"]
    subprocess.run([*reload, str(stack._folder / "var")], check=True)
    gone.chmod(0o644)

    answer = stack.post(
        "/send", {"from": "a@late.test", "to": "l@b.test", "text": "Hi"}
    )

    deadline = time.monotonic() + 30
    while "cannot be signed" not in str(stack.deliveries(answer["id"])):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    gone.chmod(0o600)
    assert sink.wait_for(["l@b.test"], 30)
    (content,) = sink.contents["l@b.test"]
    assert holds(content, names) == [True, True]
    assert "4.7.5" in str(stack.deliveries(answer["id"]))
