"""The server on a real socket, in a process of its own because it is patched."""

import hashlib
import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHILD = Path(__file__).parent / "api_child.py"
BLOCK = b"Some text, and a line end.\r\n" * 2340  # 64 KiB, nearly
HEADER = b"From: ada@example.test\r\nTo: bob@example.test\r\n\r\n"
MESSAGE = {"Content-Type": "message/rfc822"}


class Child:
    def __init__(self, patience_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), str(patience_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline())
        self.output = ""

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Collect the output and the exit status; stderr has to be empty."""
        self.output, errors = self.process.communicate(timeout=30)
        assert errors == ""
        return self.process.returncode


@pytest.fixture
def start() -> Iterator:
    """Starts children, and leaves none behind."""
    children: list[Child] = []

    def begin(patience_s: float = 20) -> Child:
        children.append(Child(patience_s))
        return children[-1]

    yield begin
    for child in children:
        if child.process.poll() is None:
            child.process.kill()
            child.process.communicate()
        child.process.stdout.close()
        child.process.stderr.close()


def read_answer(sock: socket.socket) -> bytes:
    """Everything until the server closes."""
    answer = b""
    while block := sock.recv(65536):
        answer += block
    return answer


def test_large_messages_stream_through_both_ways(start):
    """Memory does not grow with the message: 64 MiB in, twice, and 64 MiB out."""
    child = start()
    blocks = [HEADER, *[BLOCK] * 1024]
    digest = hashlib.sha256(b"".join(blocks)).hexdigest()
    size = str(sum(map(len, blocks)))

    chunked, whole, fetched = child.client(), child.client(), child.client()
    chunked.request("POST", "/send-raw", iter(blocks), MESSAGE)
    whole.request("POST", "/send-raw", iter(blocks), MESSAGE | {"Content-Length": size})
    fetched.request("GET", "/fetch/large")

    for client in (chunked, whole):
        answer = client.getresponse()
        assert answer.status == 200
        assert digest.encode() in answer.read()
        client.close()
    assert len(fetched.getresponse().read()) == 64 << 20
    fetched.close()
    child.terminate()
    assert child.wait() == 0
    assert int(re.search(r"grew (\d+)", child.output)[1]) < 32 * 1024


def test_answer_without_its_end_is_known_as_such(start):
    """If the store goes away half way, the client must not take it for the whole."""
    child = start()
    client = child.client()
    client.request("GET", "/fetch/lost")

    with pytest.raises(http.client.IncompleteRead):
        client.getresponse().read()

    client.close()
    child.terminate()
    assert child.wait() == 0


def test_head_of_a_stream_leaves_the_connection_usable(start):
    """No body means no end of a body either."""
    child = start()

    with child.connect() as sock:
        sock.sendall(b"HEAD /fetch/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sock.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        head, second = read_answer(sock).split(b"\r\n\r\n", 1)

    assert head.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")
    child.terminate()
    assert child.wait() == 0


def test_client_that_goes_silent_is_let_go(start):
    """After the patience: 408, the connection closed, the message forgotten."""
    child = start(patience_s=0.3)

    with child.connect() as sock:
        sock.sendall(
            b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 1000000\r\n\r\n" + BLOCK
        )
        answer = read_answer(sock)

    assert answer.startswith(b"HTTP/1.1 408 ")
    child.terminate()
    assert child.wait() == 0


def test_client_that_drips_is_let_go(start):
    """A byte now and then does not renew the patience."""
    child = start(patience_s=0.5)

    with child.connect() as sock:
        sock.sendall(b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\nX: ")
        sock.settimeout(0.05)
        drops, answer = 0, None
        while answer is None and drops < 400:
            drops += 1
            try:
                sock.sendall(b"x")
                answer = sock.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                answer = b""

    assert drops < 100
    child.terminate()
    assert child.wait() == 0


@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data"])
@pytest.mark.parametrize("size", [2_000_000, 20_000_000])
def test_refusal_reaches_a_client_that_still_sends(start, size, media_type):
    """A reset connection would hide why."""
    child = start()

    with child.connect() as sock:
        sock.sendall(
            b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n"
            % (media_type.encode(), size)
        )
        sock.sendall(b"x" * size)
        sock.shutdown(socket.SHUT_WR)
        answer = read_answer(sock)

    assert answer.startswith(b"HTTP/1.1 415 ")
    child.terminate()
    assert child.wait() == 0


def test_refused_client_is_not_asked_for_its_body(start):
    """With Expect: 100-continue nothing of a gigabyte is sent."""
    child = start()

    with child.connect() as sock:
        sock.sendall(
            b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\n"
            b"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n"
        )
        answer = read_answer(sock)

    assert answer.startswith(b"HTTP/1.1 413 ")
    child.terminate()
    assert child.wait() == 0


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n", id="fields"),
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", id="line"),
        pytest.param(
            b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            id="chunks",
        ),
        pytest.param(
            b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            id="length",
        ),
    ],
)
def test_what_is_no_http_is_answered_quietly(start, request_):
    """A stranger's noise is neither an error of ours nor a traceback."""
    child = start(patience_s=2)

    with child.connect() as sock:
        sock.sendall(request_)
        sock.shutdown(socket.SHUT_WR)
        answer = read_answer(sock)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 414 "))
    child.terminate()
    assert child.wait() == 0


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(
            b"Content-Length: 4\r\nTransfer-Encoding: chunked", id="two kinds"
        ),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 0", id="two lengths"),
        pytest.param(b"Content-Length: +5", id="a sign"),
        pytest.param(b"Content-Length: 1_0", id="a length in Python"),
        pytest.param(b"Content-Length : 5", id="a blank before the colon"),
        pytest.param(b"no field\r\nContent-Length: 5", id="a line that is no field"),
        pytest.param(b"Transfer-Encoding: xchunked", id="an unknown coding"),
        pytest.param(b"Transfer-Encoding: gzip, chunked", id="a coding more"),
    ],
)
def test_request_without_a_certain_end_is_refused(start, framing):
    """RFC 9112 §6.3: a proxy before us may see another end, and another request."""
    child = start(patience_s=2)

    with child.connect() as sock:
        sock.sendall(
            b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n"
            b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        sock.shutdown(socket.SHUT_WR)
        answer = read_answer(sock)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    child.terminate()
    assert child.wait() == 0


def test_stop_lets_a_request_finish_and_hangs_up_the_idle(start):
    """SIGTERM: no message is cut that was coming in, and nobody is waited for."""
    child = start()
    idle, busy = child.client(), child.connect()
    idle.request("GET", "/healthz")
    idle.getresponse().read()
    content = HEADER + b"Hi\r\n"
    busy.sendall(
        b"POST /send-raw HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\n\r\n" % len(content)
    )
    assert busy.recv(100).startswith(b"HTTP/1.1 100 ")

    child.terminate()
    assert idle.sock.recv(1) == b""
    busy.sendall(content)
    answer = read_answer(busy)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert hashlib.sha256(content).hexdigest().encode() in answer
    idle.close()
    busy.close()
    assert child.wait() == 0
