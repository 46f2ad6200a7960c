"""A small authoritative DNS server, UDP and TCP, on real sockets."""

import socketserver
import struct
import threading
from collections.abc import Mapping
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

PAYLOAD_BYTES = 1232  # of a datagram


class DnsServer:
    """Answers from ``records``: name → list of ``(type, text)``, changeable live.

    A name under ``servfail.test`` gets SERVFAIL, an unknown one NXDOMAIN. A name
    beginning with ``*.`` answers for all names below it. What does not fit a datagram
    is to be fetched by TCP.
    """

    def __init__(self, records: Mapping[str, list[tuple[str, str]]]) -> None:
        self.records = dict(records)
        self.queries: list[tuple[str, str]] = []
        server = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, sock = self.request
                if (wire := server.answer(data)) is not None:
                    sock.sendto(_fit(wire), self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                (length,) = struct.unpack("!H", self.request.recv(2))
                wire = server.answer_by_tcp(self.request.recv(length))
                if wire is not None:
                    self.request.sendall(struct.pack("!H", len(wire)) + wire)

        self._udp, self._tcp = _bind_both(Udp, Tcp)
        self.port: int = self._udp.server_address[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    def answer_by_tcp(self, wire: bytes) -> bytes | None:
        return self.answer(wire)

    def answer(self, wire: bytes) -> bytes | None:
        """The answer to a question; None: there is none."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, rdtype))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if name.endswith("servfail.test"):
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire(max_size=65535, want_shuffle=False)
        found = self._find(name)
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        texts = [text for kind, text in found or [] if kind == rdtype]
        if texts:
            rrset = dns.rrset.from_text(question.name, 60, "IN", rdtype, *texts)
            response.answer.append(rrset)
        return response.to_wire(max_size=65535, want_shuffle=False)

    def _find(self, name: str) -> list[tuple[str, str]] | None:
        if name in self.records:
            return self.records[name]
        parent = name.partition(".")[2]
        while parent:
            if f"*.{parent}" in self.records:
                return self.records[f"*.{parent}"]
            parent = parent.partition(".")[2]
        return None


def _fit(wire: bytes) -> bytes:
    if len(wire) <= PAYLOAD_BYTES:
        return wire
    truncated = dns.message.from_wire(wire)
    truncated.flags |= dns.flags.TC
    truncated.answer.clear()
    return truncated.to_wire()


def _bind_both(
    udp: type[socketserver.BaseRequestHandler],
    tcp: type[socketserver.BaseRequestHandler],
) -> tuple[socketserver.ThreadingUDPServer, socketserver.ThreadingTCPServer]:
    """Find a port that is free for both; a free one for UDP need not be for TCP."""
    while True:
        server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), udp)
        try:
            return server, socketserver.ThreadingTCPServer(server.server_address, tcp)
        except OSError:
            server.server_close()
