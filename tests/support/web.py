"""A web server with TLS on loopback, which answers as it is told."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class WebServer:
    """Answers every request with ``status``, ``kind`` and ``body``.

    Attributes:
        fields: More of the answer's header.
        is_slow: An octet now and then, and never the last one.
        asked: ``METHOD /path``, as they came.
        bodies: Of requests that had one.
    """

    def __init__(self, host: str, context: ssl.SSLContext, port: int = 0) -> None:
        self.status = 200
        self.kind = "text/plain"
        self.body = b""
        self.fields: dict[str, str] = {}
        self.is_slow = False
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self._over = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.answer(self)

            def do_POST(self) -> None:
                web.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                web.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Quiet((host, port), Handler)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        run = self._server.serve_forever
        threading.Thread(target=run, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        handler.send_response(self.status)
        if self.kind:
            handler.send_header("Content-Type", self.kind)
        for name, text in self.fields.items():
            handler.send_header(name, text)
        if "Transfer-Encoding" not in self.fields:
            handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        if self.is_slow:
            while not self._over.wait(0.05):
                handler.wfile.write(b"#")
            return
        handler.wfile.write(self.body)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that do not trust it, or had enough
