"""TLS by STARTTLS and from the first octet: what is offered, forgotten and refused."""

import ssl
import warnings
from base64 import b64encode

import pytest

from tests.conformance.harness import Case, each

SERVER = "starttls"
PLAIN = b64encode(b"\0ada\0secret").decode()


def keywords(client, hello="EHLO client.test"):
    reply = client.say(hello)
    assert reply.introduces
    return {line.split()[0] for line in reply.lines[1:]}


@pytest.fixture
def encrypted(connect, trusting):
    """A session after STARTTLS; EHLO is still to be said."""

    def start(name="mx.test"):
        client = connect(SERVER).greeted()
        assert client.say("STARTTLS").begins("220 2.0.0")
        return client.encrypt(trusting(), name)

    return start


@each(
    Case(
        "3207 4", "STARTTLS with an argument", "STARTTLS now -> 501 5.5.4\nNOOP -> 250"
    ),
    Case("3207 4", "STARTTLS that is not offered", "STARTTLS -> 502", server="plain"),
    Case(
        "3207 4",
        "commands along with STARTTLS",
        "STARTTLS\nMAIL FROM:<eve@example.test>\nNOOP -> 421 4.5.0, EOF",
    ),
    Case(
        "3207 4",
        "half a command along with STARTTLS",
        "STARTTLS\nMAIL FROM:\\ -> 421 4.5.0, EOF",
    ),
    Case(
        "3207 4.1",
        "mail in clear where TLS is one's choice",
        "@content\n. -> 250",
        takes={"protocol": "ESMTP", "tls": ""},
    ),
    Case(
        "3207 4",
        "no mail before TLS where it is required",
        """
        NOOP -> 250
        EHLO client.test -> 250
        MAIL FROM:<ada@example.test> -> 530 5.7.0
        """,
        server="submission",
    ),
    Case(
        "3207 4",
        "NOOP, EHLO and QUIT where TLS is required",
        "NOOP -> 250\nEHLO client.test -> 250\nQUIT -> 221 2.0.0, EOF",
        server="submission",
    ),
    Case(
        "3207 4",
        "RCPT, DATA and BDAT where TLS is required",
        """
        RCPT TO:<bob@example.test> -> 530 5.7.0
        DATA -> 530 5.7.0
        BDAT 6
        QUIT -> 530 5.7.0
        """,
        server="submission",
    ),
    Case(
        "3207 4",
        "RSET, VRFY and HELP where TLS is required",
        "RSET -> 530 5.7.0\nVRFY bob -> 530 5.7.0\nHELP -> 530 5.7.0",
        server="submission",
    ),
    Case(
        "3207 4",
        "no login in clear where TLS is required, whatever else is allowed",
        f"AUTH PLAIN {PLAIN} -> 538 5.7.11\nMAIL FROM:<> -> 530 5.7.0",
        server="contradictory",
    ),
    Case(
        "8689 4",
        "REQUIRETLS in clear",
        "MAIL FROM:<ada@example.test> REQUIRETLS -> 555 5.5.4",
    ),
)
def test_in_clear(play, case):
    """RFC 3207 §4: what may be said before the handshake, and what with it."""
    play(case)


def test_starttls_is_offered_until_it_is_used(connect, encrypted):
    """RFC 3207 §4.2: a client must not find it again."""
    assert "STARTTLS" in keywords(connect(SERVER).greeted(""))

    assert "STARTTLS" not in keywords(encrypted())


def test_starttls_is_offered_where_it_is_required(connect):
    """RFC 3207 §4, and AUTH is not (RFC 4954 §4: no passwords in clear)."""
    offered = keywords(connect("submission").greeted(""))

    assert "STARTTLS" in offered
    assert "AUTH" not in offered


def test_a_login_is_not_offered_before_the_tls_that_is_required(connect):
    """RFC 3207 §4, also where passwords in clear are allowed."""
    offered = keywords(connect("contradictory").greeted(""))

    assert "AUTH" not in offered


def test_mail_by_starttls(encrypted, servers):
    """RFC 3848: ESMTPS, and the envelope tells of version and cipher."""
    client = encrypted()
    keywords(client)
    client.play("@content\n. -> 250")

    message = servers(SERVER).tell().message
    assert message["protocol"] == "ESMTPS"
    assert message["tls"].startswith("TLSv1.3 ")


def test_names_beyond_ascii_by_starttls(encrypted, servers):
    """RFC 6531 §4.3: UTF8SMTPS."""
    client = encrypted()
    keywords(client)
    client.play(
        """
        MAIL FROM:<zoë@example.test> SMTPUTF8 -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
    )

    assert servers(SERVER).tell().message["protocol"] == "UTF8SMTPS"


def test_the_client_says_hello_again(encrypted):
    """RFC 3207 §4.2: what it said in clear, its name included, is forgotten."""
    encrypted().play(
        "MAIL FROM:<ada@example.test> -> 503 5.5.1\nRCPT TO:<a@b.test> -> 503",
    )


def test_a_transaction_in_clear_is_forgotten(connect, trusting, servers):
    """RFC 3207 §4.2: not one recipient survives the handshake."""
    client = connect(SERVER).greeted()
    client.play("@envelope\nSTARTTLS -> 220 2.0.0", goodbye=False)

    client.encrypt(trusting())

    client.play("DATA -> 503 5.5.1\nEHLO client.test -> 250\nDATA -> 503 5.5.1")
    assert servers(SERVER).tell().messages == []


def test_a_login_in_clear_is_forgotten(connect, trusting):
    """RFC 3207 §4.2: the client has to log in again."""
    client = connect("clear").greeted()
    client.play(f"AUTH PLAIN {PLAIN} -> 235\nSTARTTLS -> 220", goodbye=False)

    client.encrypt(trusting())

    assert "AUTH" in keywords(client)
    client.play("MAIL FROM:<ada@example.test> -> 530 5.7.0")


def test_starttls_within_tls(encrypted):
    """RFC 3207 §4.2: 503, and the encryption stays as it is."""
    client = encrypted()
    keywords(client)

    client.play("STARTTLS -> 503 5.5.1\nNOOP -> 250")


def test_octets_in_clear_after_starttls_are_no_commands(connect):
    """RFC 3207 §6 and CVE-2011-0411: they are a bad handshake, and the end (L03)."""
    client = connect(SERVER).greeted()
    assert client.say("STARTTLS").begins("220")

    client.send(b"MAIL FROM:<eve@example.test>\r\nNOOP\r\n")

    assert b"250" not in client.end_input()


def test_requiretls_within_tls(encrypted, servers):
    """RFC 8689 §2 and §4: offered over TLS alone, and kept with the message."""
    client = encrypted()

    assert "REQUIRETLS" in client.say("EHLO client.test").lines  # and no argument
    client.play(
        """
        MAIL FROM:<ada@example.test> REQUIRETLS=1 -> 501 5.5.4
        MAIL FROM:<ada@example.test> REQUIRETLS -> 250
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
    )
    assert servers(SERVER).tell().message["require_tls"] is True


def test_a_name_has_its_own_certificate(encrypted):
    """RFC 6066 §3: the client asks for a name, and is shown that one's certificate."""
    client = encrypted("other.test")

    [(_, name)] = client.sock.getpeercert()["subjectAltName"]
    assert name == "other.test"


def test_tls_from_the_first_octet(connect, trusting, servers):
    """RFC 8314 §3.3: no STARTTLS is needed, or offered."""
    client = connect("secure").encrypt(trusting()).greeted("")

    offered = keywords(client)
    assert {"AUTH", "REQUIRETLS"} <= offered
    assert "STARTTLS" not in offered
    client.play(f"AUTH PLAIN {PLAIN} -> 235\n@content\n. -> 250")
    message = servers("secure").tell().message
    assert (message["protocol"], message["user"]) == ("ESMTPSA", "ada")


def test_starttls_where_tls_is_on_from_the_first_octet(connect, trusting):
    """RFC 8314 §3.3: it is not implemented there."""
    client = connect("secure").encrypt(trusting())

    client.greeted().play("STARTTLS -> 502 5.5.1")


def test_clear_text_where_tls_is_expected(connect):
    """RFC 8314 §3.3: no greeting, and not one command (L08)."""
    client = connect("secure", preface=b"EHLO client.test\r\n")

    assert b"250" not in client.end_input()


@pytest.mark.parametrize(
    ("name", "newest"),
    [
        (SERVER, ssl.TLSVersion.TLSv1),
        (SERVER, ssl.TLSVersion.TLSv1_1),
        ("secure", ssl.TLSVersion.TLSv1_2),
    ],
    ids=["8996 4 TLS 1.0", "8996 5 TLS 1.1", "8314 4.1 older than what we want"],
)
def test_old_versions_are_refused(connect, trusting, name, newest):
    """RFC 8996: no handshake comes about with them (L07)."""
    context = trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    client = connect(name)
    if name == SERVER:
        assert client.greeted().say("STARTTLS").begins("220")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.encrypt(context)


def test_tls_1_2_is_taken(connect, trusting):
    """RFC 8996 §1 leaves it."""
    client = connect(SERVER).greeted()
    assert client.say("STARTTLS").begins("220")

    client.encrypt(trusting(maximum_version=ssl.TLSVersion.TLSv1_2))

    assert "PIPELINING" in keywords(client)


def test_the_end_of_tls_is_said(encrypted):
    """RFC 5246 §7.2.1 and RFC 8446 §6.1: a client can tell our end from a cut."""
    client = encrypted()

    client.play("QUIT -> 221 2.0.0, EOF")
