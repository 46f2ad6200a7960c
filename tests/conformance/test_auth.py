"""Logins: mechanisms, their exchanges, and what a login changes."""

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest

from tests.conformance.harness import Case, each

SERVER = "clear"  # passwords may come in clear there, so that TLS is not in the way


def b64(text):
    return b64encode(text.encode()).decode()


def plain(text):
    return b64(text.replace("|", "\0"))


def bearer(text):
    return b64(text.replace("|", "\1"))


def scram(client, password="secret", username="ada"):
    """Do SCRAM as RFC 5802 §5 says; returns the final challenge, or the refusal."""
    bare = f"n={username},r=client-nonce"
    reply = client.say(f"AUTH SCRAM-SHA-256 {b64('n,,' + bare)}")
    assert reply.code == 334, str(reply)
    server_first = b64decode(reply.lines[0]).decode()
    nonce, salt, iterations = (part[2:] for part in server_first.split(","))
    assert nonce.startswith("client-nonce")
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), b64decode(salt), int(iterations)
    )
    without_proof = f"c=biws,r={nonce}"
    said = f"{bare},{server_first},{without_proof}".encode()
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    reply = client.say(b64(f"{without_proof},p={b64encode(proof).decode()}"))
    if reply.code == 334:
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        expected = b64encode(hmac.digest(server_key, said, "sha256"))
        assert b64decode(reply.lines[0]) == b"v=" + expected
    return reply


GOOD = plain("|ada|secret")
WRONG = plain("|ada|wrong")


@each(
    Case("4954 4", "PLAIN with an initial response", f"AUTH PLAIN {GOOD} -> 235 2.7.0"),
    Case("4954 4", "PLAIN when asked", f"AUTH PLAIN -> 334\n{GOOD} -> 235 2.7.0"),
    Case("4954 4", "a mechanism in lower case", f"auth plain {GOOD} -> 235 2.7.0"),
    Case(
        "4616 2",
        "PLAIN for oneself by name",
        f"AUTH PLAIN {plain('ada|ada|secret')} -> 235 2.7.0",
    ),
    Case("4616 2", "PLAIN, wrong", f"AUTH PLAIN {WRONG} -> 535 5.7.8\nNOOP -> 250"),
    Case(
        "4616 2",
        "PLAIN of nobody sounds the same",
        f"AUTH PLAIN {plain('|eve|secret')} -> 535 5.7.8 Authentication credentials",
    ),
    Case(
        "4616 2", "PLAIN, empty password", f"AUTH PLAIN {plain('|ada|')} -> 501 5.5.2"
    ),
    Case("4616 2", "PLAIN, a NUL missing", f"AUTH PLAIN {plain('ada|secret')} -> 501"),
    Case(
        "4616 2", "PLAIN, a NUL too many", f"AUTH PLAIN {plain('|ada|se|cret')} -> 501"
    ),
    Case("4616 2", "PLAIN, nothing", "AUTH PLAIN = -> 501 5.5.2"),
    Case(
        "4616 2",
        "PLAIN, no UTF-8",
        f"AUTH PLAIN {b64encode(bytes([0, 0x61, 0, 0xFF])).decode()} -> 501 5.5.2",
    ),
    Case(
        "4616 2",
        "PLAIN, a name as a format string is text",
        f"AUTH PLAIN {plain('|%s{0}$ne|secret')} -> 535 5.7.8",
    ),
    Case(
        "4954 4",
        "LOGIN",
        f"AUTH LOGIN -> 334 {b64('Username:')}\n"
        f"{b64('ada')} -> 334 {b64('Password:')}\n"
        f"{b64('secret')} -> 235 2.7.0",
    ),
    Case(
        "4954 4",
        "LOGIN with an initial response",
        f"AUTH LOGIN {b64('ada')} -> 334 {b64('Password:')}\n{b64('secret')} -> 235",
    ),
    Case(
        "4954 4",
        "LOGIN, wrong",
        f"AUTH LOGIN {b64('ada')} -> 334\n{b64('wrong')} -> 535 5.7.8",
    ),
    Case("4954 4", "cancelled", "AUTH PLAIN -> 334\n* -> 501 5.7.0\nNOOP -> 250"),
    Case(
        "4954 4",
        "cancelled half-way",
        f"AUTH LOGIN {b64('ada')} -> 334\n* -> 501 5.7.0",
    ),
    Case("4954 4", "no base64", "AUTH PLAIN -> 334\n!!! -> 501 5.5.2\nNOOP -> 250"),
    Case("4954 4", "no base64 at once", "AUTH PLAIN !!! -> 501 5.5.2"),
    Case("4954 4", "base64 without its padding", f"AUTH PLAIN {GOOD}= -> 501 5.5.2"),
    Case(
        "4954 4",
        "a command within an exchange",
        "AUTH PLAIN -> 334\nQUIT! -> 501 5.5.2",
    ),
    Case("4954 4", "a mechanism we do not have", "AUTH CRAM-MD5 -> 504 5.5.4"),
    Case("4954 4", "AUTH alone", "AUTH -> 501 5.5.2"),
    Case("4422 3.1", "a mechanism that is none", "AUTH PL.IN -> 501 5.5.2"),
    Case(
        "4954 4",
        "AUTH twice",
        f"AUTH PLAIN {GOOD} -> 235\nAUTH PLAIN {GOOD} -> 503 5.5.1",
    ),
    Case(
        "4954 4",
        "again after a failure",
        f"AUTH PLAIN {WRONG} -> 535\nAUTH PLAIN {GOOD} -> 235",
    ),
    Case(
        "4954 4",
        "AUTH within a transaction",
        "@envelope\nAUTH PLAIN -> 503 5.5.1",
        server="lmtp",
        hello="LHLO client.test",
    ),
    Case("4954 4", "AUTH before EHLO", f"AUTH PLAIN {GOOD} -> 503 5.5.1", hello=""),
    Case("4954 4", "AUTH after HELO", "AUTH PLAIN -> 503 5.5.1", hello="HELO a.test"),
    Case(
        "4954 4", "AUTH that is not offered", "AUTH PLAIN -> 502 5.5.1", server="plain"
    ),
    Case(
        "4954 4",
        "AUTH in clear where passwords must not be",
        f"AUTH PLAIN {GOOD} -> 538 5.7.11\nAUTH LOGIN -> 538 5.7.11",
        server="starttls",
    ),
    Case(
        "4954 4",
        "commands along with AUTH",
        f"AUTH PLAIN {GOOD}\nMAIL FROM:<ada@example.test> -> 421 4.5.0, EOF",
    ),
    Case(
        "4954 6",
        "no mail before a login",
        """
        MAIL FROM:<ada@example.test> -> 530 5.7.0
        RCPT TO:<bob@example.test> -> 503 5.5.1
        DATA -> 503 5.5.1
        """,
    ),
    Case(
        "4954 6",
        "nor after one that failed",
        f"AUTH PLAIN {WRONG} -> 535\nMAIL FROM:<> -> 530",
    ),
    Case(
        "3848 1",
        "mail after a login",
        f"AUTH PLAIN {GOOD} -> 235\n@content\n. -> 250",
        takes={"user": "ada", "protocol": "ESMTPA"},
    ),
    Case(
        "4954 3",
        "a login lasts over RSET, EHLO and messages",
        f"AUTH PLAIN {GOOD} -> 235\nRSET -> 250\nEHLO b.test -> 250\n"
        "@content\n. -> 250\n@content\n. -> 250",
        takes=({"user": "ada"}, {"user": "ada", "protocol": "ESMTPA"}),
    ),
    Case(
        "6409 6.1",
        "a sender that is not the user's",
        f"""
        AUTH PLAIN {GOOD} -> 235
        MAIL FROM:<eve@example.test> -> 550 5.7.1
        RCPT TO:<bob@example.test> -> 503
        MAIL FROM:<> -> 250
        """,
    ),
    Case(
        "4954 5",
        "who submitted it first",
        f"AUTH PLAIN {GOOD} -> 235\nMAIL FROM:<> AUTH=e+3Dmc2@example.test -> 250",
    ),
    Case(
        "4954 5",
        "nobody knows who submitted it",
        "MAIL FROM:<ada@example.test> AUTH=<> -> 250",
        server="starttls",
    ),
    Case(
        "4954 5",
        "AUTH= that is no xtext",
        "MAIL FROM:<> AUTH=a+zz -> 501",
        server="starttls",
    ),
    Case(
        "4954 5",
        "AUTH= that hides CR LF",
        "MAIL FROM:<> AUTH=a+0D+0A -> 501",
        server="starttls",
    ),
    Case("4954 5", "AUTH= empty", "MAIL FROM:<> AUTH= -> 501 5.5.4", server="starttls"),
    Case(
        "4954 5",
        "AUTH= where there is no AUTH",
        "MAIL FROM:<> AUTH=<> -> 555",
        server="plain",
    ),
    Case(
        "7628 3.1",
        "OAUTHBEARER",
        f"AUTH OAUTHBEARER {bearer('n,a=ada,|host=mx.test|auth=Bearer token-of-ada||')}"
        " -> 235 2.7.0",
    ),
    Case(
        "7628 3.2.3",
        "OAUTHBEARER that fails says why, and waits for an answer",
        f"AUTH OAUTHBEARER {bearer('n,a=ada,|auth=Bearer stolen||')} -> 334\n"
        "AQ== -> 535 5.7.8\nNOOP -> 250",
    ),
    Case(
        "7628 3.1",
        "OAUTHBEARER without its end",
        f"AUTH OAUTHBEARER {bearer('n,a=ada,|auth=Bearer token-of-ada')} -> 501 5.5.2",
    ),
    Case(
        "6750 2.1",
        "XOAUTH2",
        f"AUTH XOAUTH2 {bearer('user=ada|auth=Bearer token-of-ada||')} -> 235 2.7.0",
    ),
    Case(
        "6750 2.1",
        "XOAUTH2, wrong",
        f"AUTH XOAUTH2 {bearer('user=ada|auth=Bearer stolen||')} -> 334\n"
        "\\r\\n\\ -> 535 5.7.8",
    ),
    Case(
        "5802 6",
        "SCRAM with a channel binding that was not offered",
        f"AUTH SCRAM-SHA-256 {b64('p=tls-unique,,n=ada,r=x')} -> 501 5.5.2",
    ),
    Case(
        "5802 5.1",
        "SCRAM with an extension it must not do without",
        f"AUTH SCRAM-SHA-256 {b64('n,,m=x,n=ada,r=x')} -> 501 5.5.2",
    ),
    Case(
        "5802 5.1",
        "SCRAM with somebody else's nonce",
        f"AUTH SCRAM-SHA-256 {b64('n,,n=ada,r=x')} -> 334\n"
        f"{b64('c=biws,r=other,p=' + b64('x' * 32))} -> 501 5.5.2",
    ),
)
def test_logins(play, case):
    """RFC 4954 §4 and §6: 235, 334, 501, 503, 504, 530, 535 and 538 in their places."""
    play(case)


def test_scram(connect, servers):
    """RFC 5802 §5 and RFC 7677: each side proves that it knows the password."""
    client = connect(SERVER).greeted()

    assert scram(client).code == 334
    client.play("\\r\\n\\ -> 235 2.7.0\n@content\n. -> 250")

    assert servers(SERVER).tell().message["user"] == "ada"


@pytest.mark.parametrize("username", ["ada", "nobody"])
def test_scram_that_fails(connect, username):
    """RFC 5802 §5: a wrong password and an unknown user look the same (A16)."""
    client = connect(SERVER).greeted()

    assert scram(client, "wrong", username).begins("535 5.7.8")
    client.play("MAIL FROM:<> -> 530 5.7.0")


def test_mechanisms_are_offered_until_one_was_used(connect):
    """RFC 4954 §3 and §4: the strongest first; none after a login."""
    client = connect(SERVER).greeted("")

    before = client.say("EHLO client.test").lines
    assert "AUTH SCRAM-SHA-256 PLAIN LOGIN XOAUTH2 OAUTHBEARER" in before
    assert client.say(f"AUTH PLAIN {GOOD}").begins("235")
    assert not any("AUTH" in line for line in client.say("EHLO client.test").lines)


def test_mechanisms_are_not_offered_in_clear(connect):
    """RFC 4954 §4: not unless somebody said that it is meant (L09)."""
    client = connect("starttls").greeted("")

    assert not any("AUTH" in line for line in client.say("EHLO client.test").lines)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "OAUTHBEARER"])
def test_a_response_of_twelve_kibibytes(connect, mechanism):
    """RFC 4954 §4: lines of 12,288 octets are read; here they are only wrong."""
    client = connect(SERVER).greeted()
    assert client.say(f"AUTH {mechanism}").code == 334

    reply = client.say(b64("x" * 9213))

    assert reply.begins("501 5.5.2")
    client.play("NOOP -> 250")


@pytest.mark.parametrize("length", [12_289, 1024 * 1024])
def test_a_longer_response_ends_the_exchange(connect, length):
    """RFC 4954 §4 and §6: 500 5.5.6, and what comes next is a command (A14)."""
    client = connect(SERVER).greeted()
    assert client.say("AUTH PLAIN").code == 334

    reply = client.say("A" * (length - 2))

    assert reply.begins("500 5.5.6")
    client.play("NOOP -> 250")


def test_controls_end_the_exchange(connect):
    """RFC 4954 §4: what cannot be base64 is refused, and the exchange is over."""
    client = connect(SERVER).greeted()
    assert client.say("AUTH PLAIN").code == 334

    client.play(r"\x00\x00 -> 501 5.5.2" + "\nNOOP -> 250")


def test_quotas_are_given_back(connect, servers):
    """RFC 6409 §3.2: a message that was not taken after all is not counted."""
    client = connect(SERVER).greeted()
    client.play(f"AUTH PLAIN {GOOD} -> 235\n@content\n. -> 250", goodbye=False)
    client.play(
        """
        @envelope
        BDAT 7
        hello -> 250
        RSET -> 250
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<spam@example.test> -> 250
        DATA -> 354
        . -> 554
        """
    )

    assert servers(SERVER).tell().reserved == 1
