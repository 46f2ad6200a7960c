"""nodemailer, by which most of what runs on Node sends its mail."""

import base64
import email
import json
from pathlib import Path

import pytest

from tests.peers.mails import PASSWORD, USER
from tests.peers.tools import HOST, find_program, run

SCRIPT = Path(__file__).with_name("nodemailer_client.mjs")
AUTH = {"user": USER, "pass": PASSWORD}
MIB = 1024 * 1024


@pytest.fixture
def nodemailer(nodemailer_folder, doors):
    """Send messages through an interface; returns what nodemailer says of each."""
    node = find_program("node", "nodejs")

    def send(door, *messages, **options):
        options = {"host": HOST, "port": doors[door], "name": "node.test", **options}
        task = {"options": options, "messages": messages}
        said = run(node, SCRIPT, stdin=json.dumps(task).encode(), cwd=nodemailer_folder)
        return json.loads(said)

    return send


@pytest.fixture
def tls(certificates):
    """TLS that believes our authority alone, and checks names."""
    return {"ca": certificates.authority.read_text(), "servername": "localhost"}


def message(to, text="Hello\n.\n..dots\n", **more):
    mail = {"from": "ada@sender.test", "to": to, "subject": "Grüße", "text": text}
    return {**mail, **more}


def test_nodemailer_in_clear(nodemailer, witness, mail):
    """What it composes arrives, and it hears what became of it."""
    to = mail().recipient

    (told,) = nodemailer("feeder", message(to))

    arrived = witness.only(to)
    parsed = email.message_from_bytes(arrived.content)
    assert told["accepted"] == [to]
    assert told["response"].startswith("250 2.0.0 ")
    assert arrived.mail[0] == "<ada@sender.test>"
    assert parsed.get_payload(decode=True) == b"Hello\r\n.\r\n..dots\r\n"
    assert (
        str(email.header.make_header(email.header.decode_header(parsed["Subject"])))
        == "Grüße"
    )


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
def test_nodemailer_logs_in_after_starttls(nodemailer, tls, witness, mail, method):
    """It insists on TLS, and checks the certificate."""
    to = mail().recipient
    login = {"auth": AUTH, "authMethod": method, "requireTLS": True, "tls": tls}

    nodemailer("submission", message(to), **login)

    arrived = witness.only(to)
    assert f"(Authenticated sender: {USER})" in arrived.received
    assert " with ESMTPSA id " in arrived.received


def test_nodemailer_with_a_wrong_password(nodemailer, tls, mail):
    """It hears 535."""
    wrong = {"user": USER, "pass": "wrong"}

    (told,) = nodemailer("submission", message(mail().recipient), auth=wrong, tls=tls)

    assert told["responseCode"] == 535


def test_nodemailer_with_a_pool(nodemailer, tls, witness, mail):
    """Over TLS from the first octet, many messages share few connections."""
    many = [mail().recipient for _ in range(12)]
    pool = {"pool": True, "maxConnections": 3, "maxMessages": 5}

    nodemailer("smtps", *map(message, many), secure=True, auth=AUTH, tls=tls, **pool)

    for to in many:
        assert " with ESMTPSA id " in witness.only(to).received


def test_nodemailer_asks_for_notices(nodemailer, witness, mail):
    """Its DSN options reach the next hop."""
    to = mail().recipient
    dsn = {
        "id": "Envelope 1",
        "return": "headers",
        "notify": ["success", "delay"],
        "recipient": "rfc822;Bob@b.test",
    }

    nodemailer("feeder", message(to, dsn=dsn))

    arrived = witness.only(to)
    assert {"RET=HDRS", "ENVID=Envelope+201"} < set(arrived.mail)
    assert "NOTIFY=DELAY,SUCCESS" in arrived.rcpt


def test_nodemailer_sends_addresses_beyond_ascii(nodemailer, witness, mail):
    """It says SMTPUTF8, as we offer it."""
    to = mail(local_part="böb").recipient

    (told,) = nodemailer("feeder", message(to))

    assert told["accepted"] == [to]
    assert "SMTPUTF8" in witness.only(to).mail


def test_nodemailer_sends_a_large_attachment(nodemailer, witness, mail):
    """Eight MiB arrive as they were."""
    to = mail().recipient

    nodemailer("feeder", message(to, attachmentBytes=8 * MIB))

    parsed = email.message_from_bytes(witness.only(to).content)
    _, attachment = parsed.get_payload()
    content = base64.b64decode(attachment.get_payload())
    assert content == b"0123456789abcdef" * (8 * MIB // 16)
