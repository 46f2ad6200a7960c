"""One listener process for each configuration, started when it is first asked for."""

import ssl

import pytest
import trustme

pytest.register_assert_rewrite("tests.conformance.harness")

from tests.conformance.harness import Client, Server, check_messages  # noqa: E402

LOOPBACK = ["127.0.0.0/8"]
EVERYBODY = ["0.0.0.0/0", "::/0"]
ALL_METHODS = ["SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"]
ALL_VERBS = ["BDAT", "EXPN", "HELO", "HELP", "VRFY", "XCLIENT", "XFORWARD"]
ALL_EXTENSIONS = [
    *("PIPELINING", "SIZE", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"),
    *("CHUNKING", "BINARYMIME", "DSN", "DELIVERBY", "FUTURERELEASE"),
    *("REQUIRETLS", "LIMITS"),
]
LIMITS = {"max_size": "100 KiB", "max_recipients": 100}

# "tls" is filled in, where it is to be.
CONFIGURATIONS = {
    "plain": {},
    "strict": {"stray_line_ends": "reject"},
    "starttls": {
        "starttls": True,
        "authentication": "optional",
        "auth_methods": ALL_METHODS,
    },
    "submission": {"starttls": "required", "authentication": True},
    # Both at once; the documentation lets STARTTLS win.
    "contradictory": {
        "starttls": "required",
        "authentication": True,
        "allow_insecure_auth": True,
    },
    "secure": {
        "secure": True,
        "authentication": True,
        "tls": {"min_version": "TLSv1.3"},
    },
    "clear": {
        "authentication": True,
        "starttls": True,
        "allow_insecure_auth": True,
        "auth_methods": ALL_METHODS,
    },
    "lmtp": {
        "lmtp": True,
        "starttls": True,
        "authentication": "optional",
        "allow_insecure_auth": True,
    },
    "proxied": {
        "proxy_from": LOOPBACK,
        "allowed_networks": ["192.0.2.0/24", "2001:db8::/32", *LOOPBACK],
    },
    "door": {
        "proxy_from": LOOPBACK,
        "allowed_networks": EVERYBODY,
        "max_clients_per_address": 2,
    },
    "rated": {
        "proxy_from": LOOPBACK,
        "allowed_networks": EVERYBODY,
        "connection_rate": "3/hour",
    },
    "filter": {
        "xclient_from": LOOPBACK,
        "xforward_from": LOOPBACK,
        "authentication": "optional",
        "allow_insecure_auth": True,
        "starttls": True,
    },
    "bare": {"disabled_commands": ALL_VERBS, "hidden_extensions": ALL_EXTENSIONS},
    "impatient": {"socket_timeout": "1s"},
    "wary": {"greeting_delay": "0.2s"},
    "small": {"max_clients": 2},
    "private": {"allowed_networks": ["192.0.2.0/24"]},
}


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def certificates(authority, tmp_path_factory):
    """Settings of TLS: a certificate for mx.test, and one for other.test, if asked."""
    folder = tmp_path_factory.mktemp("certificates")

    def issue(name):
        path = folder / f"{name}.pem"
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(path)
        path.chmod(0o600)
        return {"certificate": str(path)}

    return issue("mx.test") | {"names": {"other.test": issue("other.test")}}


@pytest.fixture(scope="session")
def servers(certificates):
    """Get the server of a configuration."""
    running = {}

    def get(name):
        if name not in running:
            options = LIMITS | CONFIGURATIONS[name]
            if options.get("secure") or options.get("starttls"):
                options |= {"tls": certificates | options.get("tls", {})}
            running[name] = Server(options)
        return running[name]

    yield get
    for server in running.values():
        server.close()


@pytest.fixture
def connect(servers):
    """Connect to the server of a configuration; what it got before is forgotten."""
    clients = []

    def start(name, *, preface=b""):
        server = servers(name)
        if not clients:
            server.tell()
        clients.append(Client(server.connect()))
        clients[-1].send(preface)
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def play(connect, servers, request):
    """Play a case, and look at what the intake got."""

    def run(case):
        name = case.server or getattr(request.module, "SERVER", "plain")
        client = connect(name).greeted(case.hello)
        client.play(case.script)
        check_messages(servers(name).tell(), case.takes)

    return run


@pytest.fixture(scope="session")
def trusting(authority):
    """Make a context of a client that believes our authority."""

    def make(**settings):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    return make
