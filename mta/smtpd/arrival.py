"""From accept() to the greeting: whom a connection is from, and whether it may stay.

A proxy that is believed must say first whom it speaks for; whoever else begins like one
is a client that talks nonsense. Who talks before the greeting, where time is left for
that, is no mail client but a program that does not listen.

RFC 5321 §3.1 (554 in place of a greeting), RFC 8314 §3.3 (TLS from the first octet).
"""

import contextlib
import socket
import time
from collections.abc import Callable
from datetime import timedelta

from mta.config.values import IPAddress, IPNetwork
from mta.config.zones import Interface
from mta.reply import Reply, make_reply
from mta.smtp.options import DEFAULT_BANNER, SessionOptions
from mta.smtp.proxy import MAX_V2_BLOCK, ProxiedFrom, ProxyReader

# A proxy has its header ready when it connects.
PROXY_S = 10.0
_PEEK_BYTES = MAX_V2_BLOCK + 16

TOO_MANY_CLIENTS = make_reply(421, "4.7.0", "Too many connections, try later")
STRANGER = make_reply(554, "5.7.1", "Your address may not use this server")
TALKS_FIRST = make_reply(554, "5.5.1", "Wait for the greeting")

# Verbs that go with an extension.
_VERBS_OF = {"CHUNKING": ("BDAT",)}


def read_proxied(
    sock: socket.socket, *, monotonic: Callable[[], float] = time.monotonic
) -> ProxiedFrom:
    """Read a PROXY header, and not one octet more: TLS may follow.

    Raises:
        BadProxyHeader: It is none.
        OSError: It did not come, or not in time.
    """
    reader = ProxyReader()
    until = monotonic() + PROXY_S
    while True:
        sock.settimeout(max(0.001, until - monotonic()))
        seen = sock.recv(_PEEK_BYTES, socket.MSG_PEEK)
        if not seen:
            raise ConnectionResetError("closed by the proxy")
        proxied = reader.feed(seen)
        rest = proxied.rest if proxied else b""
        sock.recv(len(seen) - len(rest))
        if proxied is not None:
            return proxied
        if monotonic() > until:
            raise TimeoutError("the PROXY header did not come in time")


def talks_first(sock: socket.socket, delay: timedelta) -> bool:
    """Whether the client says something, or goes, within ``delay``."""
    if not delay:
        return False
    sock.settimeout(delay.total_seconds())
    with contextlib.suppress(TimeoutError):
        sock.recv(1, socket.MSG_PEEK)
        return True
    return False


def refusal_of(interface: Interface, origin: IPAddress) -> Reply | None:
    """Why an address may not use an interface; None if it may."""
    if interface.allowed_networks:
        is_allowed = is_in(origin, interface.allowed_networks)
    else:
        is_allowed = origin.is_loopback or interface.authentication is True
    return None if is_allowed else STRANGER


def is_in(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(address in network for network in networks)


def session_options(interface: Interface, hostname: str) -> SessionOptions:
    """What an interface promises its clients."""
    hidden = frozenset(interface.hidden_extensions)
    verbs = {verb for keyword in hidden for verb in _VERBS_OF.get(keyword, ())}
    return SessionOptions(
        hostname=interface.hostname or hostname,
        banner=interface.banner or ("LMTP ready" if interface.lmtp else DEFAULT_BANNER),
        max_size=interface.max_size,
        max_recipients=interface.max_recipients,
        is_lmtp=interface.lmtp,
        starttls=bool(interface.starttls),
        requires_tls=interface.starttls == "required",
        mechanisms=interface.auth_methods if interface.authentication else (),
        requires_login=interface.authentication is True,
        allows_clear_login=interface.allow_insecure_auth,
        refuses_stray_line_ends=interface.stray_line_ends == "reject",
        max_hold=interface.max_hold,
        hidden=hidden,
        disabled=frozenset({*interface.disabled_commands, *verbs}),
    )
