"""An MX on loopback that offers STARTTLS, or does not, and takes everything."""

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Session:
    """What one client did."""

    heard: list[str] = field(default_factory=list)
    tls: str = ""
    server_name: str = ""
    messages: list[bytes] = field(default_factory=list)


class TlsMx:
    """Attributes: ``context``: None: no STARTTLS; all may be changed live."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, *extensions: str
    ) -> None:
        self.context = context
        self.extensions = extensions
        self.sessions: list[Session] = []
        mx = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    mx.serve(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server((host, port), Handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        run = self._server.serve_forever
        threading.Thread(target=run, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def messages(self) -> list[bytes]:
        return [message for session in self.sessions for message in session.messages]

    def serve(self, handler: socketserver.StreamRequestHandler) -> None:
        session = Session()
        self.sessions.append(session)
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(contextlib.closing(handler.connection))
            file = stack.enter_context(sock.makefile("rwb"))

            def say(text: str) -> None:
                file.write(f"{text}\r\n".encode())
                file.flush()

            say("220 mx.test ESMTP")
            while line := file.readline().decode().strip():
                session.heard.append(line)
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self._hello(session, say)
                elif verb == "STARTTLS" and self.context is not None:
                    say("220 go")
                    wrapped = self.context.wrap_socket(
                        sock, server_side=True, do_handshake_on_connect=False
                    )
                    sock = stack.enter_context(contextlib.closing(wrapped))
                    wrapped.do_handshake()
                    session.tls = wrapped.version() or ""
                    file = stack.enter_context(wrapped.makefile("rwb"))
                elif verb == "DATA":
                    say("354 go")
                    content = b""
                    while (part := file.readline()) != b".\r\n":
                        content += part
                    session.messages.append(content)
                    say("250 2.0.0 taken")
                elif verb == "QUIT":
                    say("221 bye")
                    return
                else:
                    say("250 2.0.0 ok")

    def _hello(self, session: Session, say: Callable[[str], None]) -> None:
        lines = ["mx.test", *self.extensions]
        if self.context is not None and not session.tls:
            lines.append("STARTTLS")
        for line in lines[:-1]:
            say(f"250-{line}")
        say(f"250 {lines[-1]}")
