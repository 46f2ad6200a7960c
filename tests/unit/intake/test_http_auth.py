"""The callout against a web server that answers what it is told to."""

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from mta.intake.http_auth import MAX_ANSWER, CalloutFailed, HttpAuth, _read_name
from mta.smtp.sasl import Password, Token

ORIGIN = "192.0.2.1"
ADA = Password("ada", "correct horse")
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/json; charset=utf-8\r\n"


class Service:
    """Sends ``answer`` to each request, byte for byte; notes the last."""

    def __init__(self, server: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._server = server
        self._tls = tls
        self.answer = OK + b"\r\n"
        self.asked = b""
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/auth"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # the test is over
            with contextlib.suppress(OSError), client:
                if self._tls is None:
                    self._talk(client)
                else:
                    with self._tls.wrap_socket(client, server_side=True) as wrapped:
                        self._talk(wrapped)

    def _talk(self, client: socket.socket) -> None:
        self.asked = b""
        while more := client.recv(65536):
            self.asked += more
            if self.asked.endswith(b"\r\n\r\n"):
                break
        client.sendall(self.answer)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)

    @property
    def target(self) -> str:
        return self.asked.split()[1].decode()

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def authorization(self) -> str:
        (line,) = [
            line
            for line in self.asked.decode().split("\r\n")
            if line.startswith("Authorization: ")
        ]
        return line.partition(": ")[2]


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = Service(server, tls)
        thread = threading.Thread(target=served.serve)
        thread.start()
        yield served
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    with running() as served:
        yield served


@pytest.fixture
def tls_service(tmp_path) -> Iterator[tuple[Service, str]]:
    """With the file that holds its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with running(tls) as served:
        yield served, str(tmp_path / "ca.pem")


def json_answer(body: bytes) -> bytes:
    return OK + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_name_and_password_come_by_http_basic(service):
    """With the word by which services know what it is about."""
    assert HttpAuth(service.url).check(ADA, ORIGIN) == "ada"

    kind, _, pair = service.authorization.partition(" ")
    assert (kind, base64.b64decode(pair)) == ("Basic", b"ada:correct horse")
    assert service.asked.startswith(b"GET /auth?")
    assert service.query == [("transport", "SMTP"), ("origin", ORIGIN)]


def test_a_token_comes_as_a_bearers_and_its_user_in_the_query(service):
    """A service may know more users than one token's."""
    HttpAuth(service.url).check(Token("a&b@x.test", "abc.DEF=="), ORIGIN)

    assert service.authorization == "Bearer abc.DEF=="
    assert service.query[-1] == ("user", "a&b@x.test")


def test_the_url_keeps_its_own_query(service):
    """It may hold a key of the service's."""
    HttpAuth(f"{service.url}?key=k%26").check(ADA, ORIGIN)

    assert service.query[:2] == [("key", "k&"), ("transport", "SMTP")]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 499])
def test_4xx_is_no(service, status):
    """Whatever else it says."""
    service.answer = b"HTTP/1.1 %d No\r\n%s\r\n{}" % (status, JSON)

    assert HttpAuth(service.url).check(ADA, ORIGIN) is None


@pytest.mark.parametrize("status", [302, 304, 408, 429, 500, 503])
def test_what_is_neither_yes_nor_no_is_a_failure(service, status):
    """A client that heard no would ask its user for another password."""
    service.answer = b"HTTP/1.1 %d Later\r\nLocation: /other\r\n\r\n" % status

    with pytest.raises(CalloutFailed, match=str(status)):
        HttpAuth(service.url).check(ADA, ORIGIN)


def test_a_redirect_is_not_followed(service):
    """Passwords go where the operator sent them."""
    service.answer = b"HTTP/1.1 307 Go\r\nLocation: http://evil.test/\r\n\r\n"

    with pytest.raises(CalloutFailed):
        HttpAuth(service.url).check(ADA, ORIGIN)
    assert service.target.startswith("/auth?")


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Type: text/html\r\n\r\n<html>" + b"x" * 9000,
        OK + b'Content-Type: text/plain\r\n\r\n{"user": "eve"}',
        json_answer(b"{}"),
        json_answer(b'{"user": ""}'),
        json_answer(b""),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
def test_a_yes_without_a_name_leaves_the_name(service, answer):
    """2xx is enough."""
    service.answer = answer

    assert HttpAuth(service.url).check(ADA, ORIGIN) == "ada"


def test_a_yes_in_json_may_name_the_user(service):
    """One account may have many names to log in by."""
    service.answer = json_answer(b'{"user": "customer-7", "plan": "big"}')

    assert HttpAuth(service.url).check(ADA, ORIGIN) == "customer-7"


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b'{"user": 7}',
        b'{"user": {"$gt": ""}}',
        b'{"user": "a\\nb"}',
        b'{"user": "%s"}' % (b"x" * 256),
        b"[" * 4000,
        b'{"user": "eve", "pad": "%s"}' % (b"x" * 5000),
        b'{"user": "\xff"}',
    ],
)
def test_json_that_names_nobody_is_a_failure(service, body):
    """Whoever it meant, it may not have been the name that the client gave."""
    service.answer = json_answer(body)

    with pytest.raises(CalloutFailed, match="names no user"):
        HttpAuth(service.url).check(ADA, ORIGIN)


def test_a_token_without_a_name_needs_one_from_the_service(service):
    """Someone has to send the mail."""
    nameless = Token("", "abc")
    with pytest.raises(CalloutFailed):
        HttpAuth(service.url).check(nameless, ORIGIN)

    service.answer = json_answer(b'{"user": "ada"}')

    assert HttpAuth(service.url).check(nameless, ORIGIN) == "ada"


@pytest.mark.parametrize(
    "credentials",
    [
        Password("a:b", "x"),
        Password("", "x"),
        Password("x" * 256, "x"),
        Token("ada", "x\r\nHost: evil.test"),
        Token("ada", ""),
    ],
)
def test_what_cannot_be_asked_is_no(service, credentials):
    """HTTP Basic has no way to write a colon in a name, and lines stay lines."""
    assert HttpAuth(service.url).check(credentials, ORIGIN) is None
    assert service.asked == b""


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"220 mail.test ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        OK + b"X: y\r\n" * 200 + b"\r\n",
        OK + b"X: " + b"y" * (MAX_ANSWER + 1) + b"\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_answer_that_is_none_is_a_failure(service, answer):
    """However it breaks off, and however much there is of it."""
    service.answer = answer

    with pytest.raises(CalloutFailed):
        HttpAuth(service.url).check(ADA, ORIGIN)


def test_a_service_that_is_not_there_is_a_failure():
    """And its words do not hold what would have been sent."""
    with pytest.raises(CalloutFailed) as failure:
        HttpAuth("http://127.0.0.1:9/?key=secret").check(ADA, ORIGIN)

    assert "secret" not in str(failure.value)
    assert "horse" not in str(failure.value)


def test_the_whole_answer_has_one_deadline(service):
    """A service that sends a byte now and then does not hold a client for hours."""
    times = iter([0.0, 1.0, 11.0])
    service.answer = OK + b"X: " + b"y" * 20_000 + b"\r\n\r\n"

    with pytest.raises(CalloutFailed, match="TimeoutError"):
        HttpAuth(service.url, monotonic=lambda: next(times)).check(ADA, ORIGIN)


def test_a_service_that_says_nothing_is_given_up():
    """After the time that one answer has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        with pytest.raises(CalloutFailed, match="TimeoutError"):
            HttpAuth(url, timeout_s=0.05).check(ADA, ORIGIN)


def test_https_is_spoken_with_a_certificate_that_is_trusted(tls_service, monkeypatch):
    """By what the machine trusts."""
    service, authority = tls_service
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    service.answer = json_answer(b'{"user": "customer-7"}')

    assert HttpAuth(service.url).check(ADA, ORIGIN) == "customer-7"


def test_a_service_with_another_certificate_gets_no_password(tls_service):
    """Anybody can make one."""
    service, _ = tls_service

    with pytest.raises(CalloutFailed, match="SSLCertVerificationError"):
        HttpAuth(service.url).check(ADA, ORIGIN)
    assert service.asked == b""


@pytest.mark.parametrize("url", ["", "ftp://x.test/", "http:///x", "//x.test"])
def test_only_a_web_service_can_be_asked(url):
    """Anything else is a mistake of the operator's."""
    with pytest.raises(ValueError, match="not an http"):
        HttpAuth(url)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_whatever_the_body_is_there_is_a_name_or_a_failure(body):
    """Never another exception."""
    with contextlib.suppress(CalloutFailed):
        assert 0 < len(_read_name("application/json", body, default="ada")) <= 255
