"""Nameservers at their worst, and zones that name hosts where there are none."""

from collections.abc import Callable, Iterator
from typing import Any

import dns.rcode

from tests.dialogue.hostile.mx import Peer
from tests.dialogue.hostile.odd_dns import (
    Answer,
    OddDns,
    garbage,
    nothing,
    of_another_question,
    pointer_loop,
    records,
    referral,
    truncated,
    with_another_id,
    with_code,
)
from tests.dialogue.hostile.rows import Row, bounced, deferred, delivered
from tests.dialogue.hostile.steps import plain

Names = Callable[[OddDns], None]

GOOD = ("MX", "20 mx1.test.")
# Where nothing is to be sent: the machine itself, its site, nobody, everybody.
INSIDE = {
    "loopback": "127.0.0.1",
    "another loopback": "127.99.0.1",
    "private": "10.0.0.25",
    "private, too": "192.168.1.1",
    "of a cloud": "169.254.169.254",
    "of carriers": "100.64.0.1",
    "nowhere": "0.0.0.0",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
}
INSIDE_6 = {
    "loopback": "::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "loopback by NAT64": "64:ff9b::7f00:1",
    "loopback by 6to4": "2002:7f00:1::1",
    "link-local": "fe80::1",
    "unique local": "fd00::25",
    "compatible loopback": "::7f00:1",
    "multicast": "ff02::1",
}


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _nameservers()
    yield from _exchanges()
    yield from _addresses()


def _nameservers() -> Iterator[Row]:
    def later(
        name: str, answer: Answer, *, by_tcp: Answer | None = None, **more: Any
    ) -> Row:
        names = _odd(answer, by_tcp=by_tcp)
        return _nowhere(deferred, f"DNS: {name}", names=names, **more)

    yield later("no answer", nothing, says="4.4.3")
    for code in ("SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", "YXDOMAIN"):
        yield later(code, with_code(dns.rcode.from_text(code)), says=code)
    yield later("lame: a referral to the root", referral)
    yield later("noise", garbage)
    yield later("a name that is where it is", pointer_loop)
    yield later("an answer to another question", of_another_question)
    yield later("an answer with another id", with_another_id)
    yield later(
        "CNAME loop in one answer",
        records("b.test. CNAME c.test.", "c.test. CNAME b.test."),
    )
    yield later("CNAME to itself", records("b.test. CNAME b.test."))
    endless = [f"n{n}.test. CNAME n{n + 1}.test." for n in range(60)]
    yield later("60 aliases", records("b.test. CNAME n0.test.", *endless))
    yield later("truncated, and no TCP", truncated, by_tcp=nothing)
    yield later("truncated, and SERVFAIL by TCP", truncated, by_tcp=with_code(2))
    yield _nowhere(deferred, "DNS: a loop over two answers", names=_loops)
    yield delivered(
        "DNS: truncated, and all of it by TCP",
        plain,
        names=_odd(truncated, by_tcp=records("b.test. MX 10 mx1.test.")),
    )
    yield delivered(
        "DNS: 1000 MX by TCP, the best one is good",
        plain,
        names=_exchange(*_many(1000), ("MX", "1 mx1.test.")),
    )
    yield delivered(
        "DNS: records of others beside the answer",
        plain,
        names=_odd(records("b.test. MX 10 mx1.test.", "mx1.test. A 127.0.0.1")),
    )
    yield _nowhere(
        bounced, "DNS: no such domain", names=_odd(with_code(3)), says="5.1.2"
    )
    yield _nowhere(
        *(deferred, "DNS: SERVFAIL for the host"),
        names=_odd(with_code(2), ("mx1.test", "A")),
    )
    yield delivered("DNS: an alias of the domain", plain, names=_aliased)


def _exchanges() -> Iterator[Row]:
    yield _nowhere(
        bounced, "MX: null", names=_exchange(("MX", "0 .")), says="556 5.1.10"
    )
    yield delivered(
        "MX: null beside others", plain, names=_exchange(("MX", "0 ."), GOOD)
    )
    yield _nowhere(
        bounced, "MX: we are the best one", names=_exchange(("MX", "5 mta.test."), GOOD)
    )
    for name, exchange in {
        "an address": "192.0.2.1.",
        "the loopback address": "127.0.0.1.",
        "an address in brackets": r"\091127.0.0.1\093.",
        "no host name": r"a\032b.test.",
        "a name with a NUL": r"a\000b.test.",
        "a name with a line end": r"a\013\010b.test.",
        "a name of nobody": "nobody.test.",
    }.items():
        names = _exchange(("MX", f"10 {exchange}"))
        yield _nowhere(bounced, f"MX: {name}", names=names, says="5.4.4")
        beside = _exchange(("MX", f"10 {exchange}"), GOOD)
        yield delivered(f"MX: {name}, beside a good one", plain, names=beside)
    yield delivered(
        "MX: an alias", plain, names=_exchange(("MX", "10 alias.test."), alias=True)
    )
    yield _nowhere(
        *(deferred, "A: twenty-one, the last one is good"),
        names=_at(*_dead(20), ("A", "127.81.0.1")),
        category="network",
    )
    yield _nowhere(
        *(deferred, "MX: 1000 where nobody listens"),
        names=_exchange(*_many(1000), address="127.81.0.9"),
        category="network",
    )
    yield delivered("MX: none, but an address", plain, names=_implicit)
    yield _nowhere(bounced, "MX: none, and no address", names=_exchange())
    yield delivered(
        "MX: preferences as they come",
        plain,
        names=_exchange(("MX", "65535 nobody.test."), ("MX", "0 mx1.test.")),
    )


def _addresses() -> Iterator[Row]:
    for kind, inside in (("A", INSIDE), ("AAAA", INSIDE_6)):
        for name, address in inside.items():
            yield _nowhere(
                *(bounced, f"{kind}: {name}"),
                names=_at((kind, address)),
                says="where no mail is sent",
            )
    yield delivered(
        "A: loopback beside a good one",
        plain,
        names=_at(("A", "127.0.0.1"), ("A", "127.81.0.1")),
    )
    yield delivered(
        "A: a hundred, the last one of use is good",
        plain,
        names=_at(*_dead(19), ("A", "127.81.0.1"), *_dead(80)),
    )
    yield delivered(
        "MX: localhost beside a good one",
        plain,
        names=_exchange(("MX", "5 localhost."), GOOD),
    )


def _nowhere(kind: Any, name: str, category: str = "dns", **more: Any) -> Row:
    """No host is connected to."""
    more = {"connections": 0, "has_next": False, "next_host": False, **more}
    row: Row = kind(name, _never, category, **more)
    return row


def _never(peer: Peer) -> None:
    raise AssertionError("nobody should be here")


def _odd(
    answer: Answer,
    asked: tuple[str, str] = ("b.test", "MX"),
    *,
    by_tcp: Answer | None = None,
) -> Names:
    def names(server: OddDns) -> None:
        server.odd[asked] = answer
        if by_tcp is not None:
            server.odd_by_tcp[asked] = by_tcp

    return names


def _exchange(*found: tuple[str, str], address: str = "", alias: bool = False) -> Names:
    """The domain's MX records."""

    def names(server: OddDns) -> None:
        server.records["b.test"] = list(found)
        server.records["localhost"] = [("A", "127.0.0.1")]
        if address:
            server.records["*.many.test"] = [("A", address)]
        if alias:
            server.records["alias.test"] = []
            server.odd["alias.test", "A"] = records(
                "alias.test. CNAME mx1.test.", "mx1.test. A 127.81.0.1"
            )

    return names


def _many(count: int) -> list[tuple[str, str]]:
    return [("MX", f"{100 + n % 7} mx{n}.many.test.") for n in range(count)]


def _dead(count: int) -> list[tuple[str, str]]:
    return [("A", f"127.81.{count}.{n}") for n in range(1, count + 1)]


def _at(*addresses: tuple[str, str]) -> Names:
    """The host's addresses."""

    def names(server: OddDns) -> None:
        server.records["mx1.test"] = list(addresses)

    return names


def _implicit(server: OddDns) -> None:
    server.records["b.test"] = [("A", "127.81.0.1")]


def _loops(server: OddDns) -> None:
    server.odd["b.test", "MX"] = records("b.test. CNAME c.test.")
    server.odd["c.test", "MX"] = records("c.test. CNAME b.test.")


def _aliased(server: OddDns) -> None:
    server.odd["b.test", "MX"] = records("b.test. CNAME c.test.")
    server.records["c.test"] = [("MX", "10 mx1.test.")]
