"""Deliveries to a web server: what it is given, and what follows from its answers."""

import contextlib
import email
import json
import socket
import threading
import time
from datetime import timedelta
from email.policy import HTTP

import pytest

from mta.config.zones import HttpTarget
from mta.errors import PermanentFailure, StoreUnavailable, TransientFailure
from mta.mail.multipart_form import MAX_BODY_FIELD
from mta.relay.fuse import Fuse
from mta.relay.http_session import HttpSession
from mta.relay.request import Hop
from mta.relay.wire import Timeouts, Wire
from mta.smtp.client import Transaction

MAIL = Transaction(
    reverse_path="ada@a.test", forward_path="bob@b.test", name="157ca04c.001"
)
HEADER = b"From: Ada <ada@a.test>\r\nTo: bob@b.test\r\nSubject: Hi\r\n"
TARGET = HttpTarget(url="http://web.test/in?x=1", authorization="Bearer s3cret")


def content(*chunks):
    return lambda hop: iter(chunks)


@pytest.fixture
def against():
    """Build a session with a web server that reads a request and answers."""
    started = []

    def run(sock, answer, requests):
        with sock, sock.makefile("rb") as stream:
            lines = []
            while (line := stream.readline().rstrip(b"\r\n")) != b"":
                lines.append(line.decode())
            body = b""
            while size := int(stream.readline() or b"0", 16):
                body += stream.read(size)
                stream.readline()
            requests.append((lines, body))
            with contextlib.suppress(OSError):  # the client may have had enough
                sock.sendall(answer)

    def build(answer, **timeouts):
        ours, theirs = socket.socketpair()
        theirs.settimeout(20)
        requests = []
        thread = threading.Thread(target=run, args=(theirs, answer, requests))
        thread.start()
        hop = Hop(host="web.test", address="192.0.2.1", source="", ehlo_name="us.test")
        session = HttpSession(Wire(ours), hop, TARGET, timeouts=Timeouts(**timeouts))
        started.append((session, thread))
        return session, requests

    yield build
    for session, thread in started:
        session.close()
        thread.join(20)


def parts_of(lines, body):
    """The fields of a form, read by Python's own parser."""
    kind = next(line for line in lines if line.startswith("Content-Type:"))
    message = email.message_from_bytes(f"{kind}\r\n\r\n".encode() + body, policy=HTTP)
    return {
        part.get_param("name", header="content-disposition"): part
        for part in message.iter_parts()
    }


def test_the_message_is_a_file_in_a_form(against):
    """With the envelope, and what the header section says, in fields beside it."""
    session, requests = against(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")

    reply = session.transact(MAIL, content(HEADER, b"\r\n", b"Hello\r\n"), Fuse())

    assert str(reply) == "250 2.0.0 HTTP 202 ok"
    [(lines, body)] = requests
    assert lines[0] == "POST /in?x=1 HTTP/1.1"
    assert "Authorization: Bearer s3cret" in lines
    parts = parts_of(lines, body)
    assert parts["id"].get_content().strip() == "157ca04c.001"
    assert parts["to"].get_content().strip() == "bob@b.test"
    sender = json.loads(parts["headers[from]"].get_content())
    assert sender == [{"name": "Ada", "address": "ada@a.test"}]
    assert json.loads(parts["headers[subject]"].get_content()) == "Hi"
    assert parts["message"].get_filename() == "157ca04c.001.eml"
    assert parts["mail_to_http[real_length]"].get_content().strip() == str(
        len(HEADER) + 2 + 7
    )
    assert HEADER + b"\r\nHello\r\n" in body


def test_a_large_message_is_streamed(against):
    """Whatever its size; only its beginning is repeated in a field."""
    session, requests = against(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    line = b"x" * 998 + b"\r\n"

    session.transact(MAIL, content(HEADER, b"\r\n", *[line * 1000] * 4), Fuse())

    [(_, body)] = requests
    assert body.count(line) >= 4000
    assert len(body) < 4_600_000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PermanentFailure),
        (404, PermanentFailure),
        (408, TransientFailure),
        (429, TransientFailure),
        (301, TransientFailure),
        (500, TransientFailure),
        (503, TransientFailure),
    ],
)
def test_the_status_decides(against, status, kind):
    """4xx is for good, but for what asks for patience; a redirect is not followed."""
    session, _ = against(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())

    with pytest.raises(kind, match=f"HTTP {status}") as raised:
        session.transact(MAIL, content(HEADER, b"\r\n"), Fuse())

    assert (raised.value.category, raised.value.is_in_doubt) == ("http", False)


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 2"])
def test_without_an_answer_it_may_have_arrived(against, answer):
    """As after the final dot."""
    session, _ = against(answer)

    with pytest.raises(TransientFailure) as raised:
        session.transact(MAIL, content(HEADER, b"\r\n"), Fuse())

    assert raised.value.is_in_doubt


def test_a_whole_delivery_has_its_time_however_slowly_it_is_taken(against):
    """Each block is in time; all together they are not."""

    def slowly(hop):
        yield HEADER + b"\r\n"
        for _ in range(1000):
            yield b"x" * 998 + b"\r\n"
            time.sleep(0.002)

    session, _ = against(b"", transaction=timedelta(seconds=0.2))

    with pytest.raises(TransientFailure, match="timed out at content"):
        session.transact(MAIL, slowly, Fuse())
    session.close()


def test_content_that_is_not_read_to_its_end_can_clean_up(against):
    """A connection to the store may hang on it."""
    is_over = []

    def broken(hop):
        try:
            yield HEADER + b"\r\n" + b"x" * MAX_BODY_FIELD
            raise StoreUnavailable("away")
        finally:
            is_over.append(True)

    session, _ = against(b"")

    with pytest.raises(StoreUnavailable):
        session.transact(MAIL, broken, Fuse())

    assert is_over
    assert not session.is_usable
    session.close()


def test_no_secret_is_in_the_transcript(against):
    """Not even if the server shows what it was given."""
    session, _ = against(
        b"HTTP/1.1 500 x\r\nContent-Length: 22\r\n\r\ngot Bearer s3cret, why?"[:-1]
    )

    with pytest.raises(TransientFailure) as raised:
        session.transact(MAIL, content(HEADER, b"\r\n"), Fuse())

    assert "POST /in" in str(raised.value.talk)
    assert "s3cret" not in str(raised.value.talk) + str(raised.value.reply)
    assert "s3cret" not in repr(TARGET)
