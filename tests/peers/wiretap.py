"""A TCP relay that writes down what the client says, and in which pieces."""

import contextlib
import socket
import socketserver
import threading
from typing import Self


class Wiretap:
    """Listens on loopback and passes everything on to ``host``:``port``.

    Attributes:
        said: What clients said, in the order of their connections; each piece is
            what one read gave.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.said: list[list[bytes]] = []
        tap = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                pieces: list[bytes] = []
                tap.said.append(pieces)
                with socket.create_connection((host, port), 30) as server:
                    server.settimeout(30)
                    self.request.settimeout(30)
                    back = threading.Thread(
                        target=_copy, args=(server, self.request, None)
                    )
                    back.start()
                    _copy(self.request, server, pieces)
                    back.join(30)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = False
            block_on_close = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def sessions_with(self, text: str) -> list[bytes]:
        """What was said in those sessions in which ``text`` was."""
        return [said for said in map(b"".join, self.said) if text.encode() in said]

    def pieces_with(self, text: str) -> list[bytes]:
        """The pieces that have ``text`` in them."""
        return [
            piece for pieces in self.said for piece in pieces if text.encode() in piece
        ]


def _copy(source: socket.socket, target: socket.socket, kept: list | None) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(64 * 1024):
            if kept is not None:
                kept.append(piece)
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
