"""A nameserver that also answers as nobody should."""

import threading
from collections.abc import Callable
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.dns import DnsServer

Answer = Callable[[dns.message.Message], bytes | None]


class OddDns(DnsServer):
    """Knows mail hosts, and does worse things where it is told to.

    Attributes:
        odd: What a question is answered with instead, by name and type.
        odd_below: Likewise every name below one.
        odd_by_tcp: Likewise over TCP; else it is the same.
        is_secure: It says that it has validated what it knows.
    """

    def __init__(self, records: dict[str, list[tuple[str, str]]]) -> None:
        super().__init__(records)
        self.odd: dict[tuple[str, str], Answer] = {}
        self.odd_below: dict[str, Answer] = {}
        self.odd_by_tcp: dict[tuple[str, str], Answer] = {}
        self.is_secure = False

    def __enter__(self) -> Self:
        for server in (self._udp, self._tcp):
            # It looks often whether it is to end.
            threading.Thread(
                target=server.serve_forever, args=(0.01,), daemon=True
            ).start()
        return self

    def mend(self) -> None:
        """Be as nameservers should be."""
        self.odd, self.odd_by_tcp, self.odd_below = {}, {}, {}
        self.is_secure = False

    def answer_by_tcp(self, wire: bytes) -> bytes | None:
        odd = self.odd_by_tcp.get(_asked(wire))
        return odd(dns.message.from_wire(wire)) if odd else self.answer(wire)

    def answer(self, wire: bytes) -> bytes | None:
        name = _asked(wire)[0]
        odd = self.odd.get(_asked(wire)) or self.odd_below.get(name.partition(".")[2])
        if odd is not None:
            self.queries.append(_asked(wire))
            return odd(dns.message.from_wire(wire))
        answer = super().answer(wire)
        if not self.is_secure or answer is None:
            return answer
        secure = dns.message.from_wire(answer)
        secure.flags |= dns.flags.AD
        return secure.to_wire(max_size=65535, want_shuffle=False)


def _asked(wire: bytes) -> tuple[str, str]:
    question = dns.message.from_wire(wire).question[0]
    name = question.name.to_text(omit_final_dot=True).lower()
    return name, dns.rdatatype.to_text(question.rdtype)


def nothing(query: dns.message.Message) -> None:
    """No answer at all."""


def with_code(code: dns.rcode.Rcode) -> Answer:
    """Nothing but a code."""

    def answer(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(code)
        return response.to_wire()

    return answer


def records(*texts: str) -> Answer:
    """Records in the form of a zone file, of whatever name they say."""

    def answer(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        for text in texts:
            name, kind, data = text.split(" ", 2)
            rrset = dns.rrset.from_text(name, 60, "IN", kind, data)
            response.answer.append(rrset)
        return response.to_wire(max_size=65535)

    return answer


def referral(query: dns.message.Message) -> bytes:
    """A lame server: it knows somebody who should know, and that is the root."""
    response = dns.message.make_response(query)
    root = dns.rrset.from_text(".", 60, "IN", "NS", "a.root-servers.net.")
    response.authority.append(root)
    return response.to_wire()


def truncated(query: dns.message.Message) -> bytes:
    """Ask by TCP."""
    response = dns.message.make_response(query)
    response.flags |= dns.flags.TC
    return response.to_wire()


def of_another_question(query: dns.message.Message) -> bytes:
    """As a forger does it who does not know what was asked."""
    other = dns.message.make_query("elsewhere.test", "MX", id=query.id)
    return records("elsewhere.test. MX 5 evil.test.")(other)


def with_another_id(query: dns.message.Message) -> bytes:
    """As one who does not know the question's number."""
    wire = records(f"{query.question[0].name} MX 5 evil.test.")(query)
    return bytes([wire[0] ^ 0xFF, wire[1]]) + wire[2:]


def garbage(query: dns.message.Message) -> bytes:
    """The right number, and then noise."""
    return query.to_wire()[:2] + b"\x81\x80" + b"\xff" * 200


def pointer_loop(query: dns.message.Message) -> bytes:
    """A name that is where it is: compression without an end."""
    head = query.to_wire()[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
    return head + b"\xc0\x0c\x00\x0f\x00\x01" + b"\xc0\x0c\x00\x0f\x00\x01\x00" * 3
