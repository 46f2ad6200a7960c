"""The doors by which mail comes in: where they are, and whom they let in."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from mta.config.base import (
    HOUR,
    MINUTE,
    SECOND,
    YEAR,
    Frozen,
    Priority,
)
from mta.config.fields import (
    Boolean,
    CalloutUrl,
    CertificateName,
    Domain,
    FilePath,
    FrozenMapping,
    Line,
    ListenHost,
    ListenPort,
    Network,
    RateValue,
    lasting,
    or_word,
    sized,
    whole,
)
from mta.config.values import GIB, KIB, MIB

__all__ = ["ApiConfig", "Certificate", "Interface", "Tls", "UsersConfig"]

Mechanism: TypeAlias = Literal[
    "SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"
]
Verb: TypeAlias = Literal["BDAT", "EXPN", "HELO", "HELP", "VRFY", "XCLIENT", "XFORWARD"]
Extension: TypeAlias = Literal[
    "PIPELINING",
    "SIZE",
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "SMTPUTF8",
    "CHUNKING",
    "BINARYMIME",
    "DSN",
    "DELIVERBY",
    "FUTURERELEASE",
    "REQUIRETLS",
    "LIMITS",
]


class ApiConfig(Frozen):
    """The HTTP door. ``max_size`` is that of a message as stored."""

    host: ListenHost = "127.0.0.1"
    port: ListenPort = 12080
    max_size: Annotated[int, sized(KIB, 4 * GIB)] = 256 * MIB
    max_recipients: Annotated[int, whole(1, 10_000)] = 10_000


class Certificate(Frozen):
    """A chain of certificates in PEM, and its key.

    Attributes:
        key: None: it is in the same file.
    """

    certificate: FilePath
    key: FilePath | None = None


class Tls(Certificate):
    """How an interface encrypts; the files may change while it runs.

    Attributes:
        names: Certificates for the names that clients ask for (SNI, RFC 6066 §3);
            ``*.`` stands for one label.
        ciphers: Of TLS 1.2, in OpenSSL's words; None: OpenSSL's own choice.
    """

    names: Annotated[Mapping[CertificateName, Certificate], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )
    min_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    ciphers: Line | None = None


class Interface(Frozen):
    """One SMTP door.

    Attributes:
        name: Its key in ``interfaces``.
        port: 0: any free one.
        hostname: What it calls itself; None: the machine's name.
        lmtp: LMTP is spoken, and not SMTP.
        tls: Its certificates; needed for the two that follow.
        starttls: STARTTLS is offered; ``required``: and nothing else before it.
        secure: TLS from the first octet.
        authentication: Nobody sends mail before a login; ``optional``: one may.
        allow_insecure_auth: Passwords may come in clear.
        allowed_networks: Empty: everybody where a login is needed, else loopback only.
        socket_timeout: A client that is silent for longer is let go.
        session_timeout: None is served for longer; it hears 421 between messages.
        greeting_delay: Who talks within this time of the connect is no mail client.
        max_clients: Per process.
        max_clients_per_address, connection_rate: Per process and client address.
        proxy_from: Who has to begin with a PROXY header, and is believed.
        xclient_from, xforward_from: Who may speak for other clients.
        stray_line_ends: What becomes of a CR or an LF alone in a message.
        max_hold: How far ahead a client may put its mail (FUTURERELEASE).
        allow_routing_headers: Clients may choose zones, tenants and priorities by
            header.
        priority: Of what comes in here, unless a client may choose, and does.
    """

    derived = frozenset({"name"})

    name: str
    host: ListenHost = "127.0.0.1"
    port: ListenPort = 2525
    processes: Annotated[int, whole(1, 64)] = 2
    hostname: Domain | None = None
    banner: Line | None = None
    lmtp: Boolean = False
    max_size: Annotated[int, sized(KIB, 4 * GIB)] = 30 * MIB
    max_recipients: Annotated[int, whole(1, 10_000)] = 1000
    tls: Tls | None = None
    starttls: Annotated[bool | Literal["required"], or_word("required")] = False
    secure: Boolean = False
    authentication: Annotated[bool | Literal["optional"], or_word("optional")] = False
    auth_methods: Annotated[tuple[Mechanism, ...], Field(min_length=1)] = (
        "SCRAM-SHA-256",
        "PLAIN",
        "LOGIN",
    )
    allow_insecure_auth: Boolean = False
    allowed_networks: tuple[Network, ...] = ()
    socket_timeout: Annotated[timedelta, lasting(SECOND, HOUR)] = 10 * MINUTE
    session_timeout: Annotated[timedelta, lasting(MINUTE, 24 * HOUR)] = HOUR
    greeting_delay: Annotated[timedelta, lasting(timedelta(0), 30 * SECOND)] = (
        timedelta(0)
    )
    max_clients: Annotated[int, whole(1, 100_000)] = 1000
    max_clients_per_address: Annotated[int, whole(1, 100_000)] = 1000
    connection_rate: RateValue | None = None
    proxy_from: tuple[Network, ...] = ()
    xclient_from: tuple[Network, ...] = ()
    xforward_from: tuple[Network, ...] = ()
    disabled_commands: tuple[Verb, ...] = ()
    hidden_extensions: tuple[Extension, ...] = ()
    stray_line_ends: Literal["normalize", "reject"] = "normalize"
    max_hold: Annotated[timedelta, lasting(timedelta(0), YEAR)] = YEAR
    allow_routing_headers: Boolean = False
    priority: Priority = "normal"

    @property
    def has_tls(self) -> bool:
        """Clients can encrypt."""
        return self.secure or bool(self.starttls)

    @property
    def takes_strangers(self) -> bool:
        """Whoever can reach it may send mail, without a login or a network named."""
        return self.authentication is not True and not self.allowed_networks


class UsersConfig(Frozen):
    """Who may log in, besides those that ``mta user`` knows.

    Attributes:
        http_auth: Asked about each login that the store does not know, with HTTP
            Basic; None: nobody is.
    """

    http_auth: CalloutUrl | None = Field(default=None, repr=False)
