"""swaks, which speaks everything one may say at a door of ours but SCRAM.

That is Postfix's part.
"""

import pytest

from tests.peers.mails import EIGHT_BIT, PASSWORD, USER
from tests.peers.tools import HOST, find_program, miss, run

NO_MESSAGE = 26  # refused after the final dot (EXIT CODES in its manual)


@pytest.fixture
def swaks(tmp_path, doors):
    """Send ``mail`` to an interface; returns the dialogue."""
    program = find_program("swaks", "swaks")
    modules = ("Net::SSLeay", "Authen::SASL")
    try:
        run("perl", *[f"-M{module}" for module in modules], "-e", "1")
    except AssertionError:
        miss(
            "swaks can neither encrypt nor log in"
            " (Debian: libnet-ssleay-perl, libauthen-sasl-perl)"
        )

    def send(door, mail, *options, sender="", recipient="", expected=(0,)):
        content = tmp_path / "content"
        # It puts a line end and the dot behind its data.
        content.write_bytes(mail.content.removesuffix(b"\r\n"))
        return run(
            program,
            *("--server", HOST, "--port", str(doors[door]), "--ehlo", "swaks.test"),
            *("--from", sender or mail.sender, "--to", recipient or mail.recipient),
            *("--data", f"@{content}", "--timeout", "30"),
            *options,
            expected=expected,
        )

    return send


@pytest.fixture
def credentials():
    return ("--auth-user", USER, "--auth-password", PASSWORD)


@pytest.fixture
def trust(certificates):
    return ("--tls-verify", "--tls-ca-path", str(certificates.authority))


def test_swaks_in_clear(swaks, witness, mail):
    """What it sends arrives octet for octet, below one field of ours."""
    sent = mail()

    swaks("feeder", sent)

    arrived = witness.only(sent.recipient)
    assert arrived.content.endswith(b"\r\n" + sent.content)
    assert arrived.mail[0] == f"<{sent.sender}>"
    assert "from swaks.test ([127.0.0.1])" in arrived.received
    assert " with ESMTP id " in arrived.received


def test_swaks_that_pipelines(swaks, witness, mail):
    """MAIL, RCPT and DATA in one go."""
    sent = mail()

    said = swaks("feeder", sent, "--pipeline")

    assert " -> RCPT TO" in said.partition("<-  250 2.1.0")[0]
    assert witness.only(sent.recipient).content.endswith(sent.content)


def test_swaks_without_ehlo(swaks, witness, mail):
    """HELO is enough for mail of seven bits."""
    sent = mail()

    swaks("feeder", sent, "--protocol", "SMTP")

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert " with SMTP id " in arrived.received


def test_swaks_with_eight_bits(swaks, witness, mail):
    """Octets beyond ASCII pass, and the next hop is told of them."""
    sent = mail(EIGHT_BIT)

    swaks("feeder", sent)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert "BODY=8BITMIME" in arrived.mail


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(
    ("door", "option"), [("submission", "--tls"), ("smtps", "--tls-on-connect")]
)
def test_swaks_logs_in(
    swaks, credentials, trust, witness, mail, mechanism, door, option
):
    """After a handshake in which it checks our certificate."""
    sent = mail()

    swaks(door, sent, option, *trust, *credentials, "--auth", mechanism)

    arrived = witness.only(sent.recipient)
    assert arrived.content.endswith(sent.content)
    assert f"(Authenticated sender: {USER})" in arrived.received
    assert " with ESMTPSA id " in arrived.received


def test_swaks_by_lmtp(swaks, witness, mail):
    """LHLO, and a reply for each recipient."""
    sent, other = mail(), mail()
    both = f"{sent.recipient},{other.recipient}"

    said = swaks("lmtp", sent, "--protocol", "LMTP", recipient=both)

    assert said.count("Message queued as") == 2
    for recipient in (sent.recipient, other.recipient):
        arrived = witness.only(recipient)
        assert arrived.content.endswith(sent.content)
        assert " with LMTP id " in arrived.received


@pytest.mark.parametrize(
    ("options", "origin"),
    [
        (("1", "--proxy-family", "TCP4"), "192.0.2.7"),
        (("1", "--proxy-family", "TCP6"), "2001:db8::7"),
        (("2", "--proxy-family", "AF_INET"), "192.0.2.7"),
        (("2", "--proxy-family", "AF_INET6"), "2001:db8::7"),
    ],
)
def test_swaks_behind_a_proxy(swaks, witness, mail, options, origin):
    """The PROXY header says who the client is."""
    sent = mail()
    ends = ("--proxy-source", origin, "--proxy-dest", origin)
    ports = ("--proxy-source-port", "4711", "--proxy-dest-port", "25")

    swaks("proxied", sent, "--proxy-version", *options, *ends, *ports)

    arrived = witness.only(sent.recipient)
    literal = f"IPv6:{origin}" if ":" in origin else origin
    assert arrived.content.endswith(sent.content)
    assert f"from swaks.test ([{literal}])" in arrived.received


XCLIENT = (
    *("--xclient-addr", "192.0.2.9", "--xclient-name", "client.example"),
    *("--xclient-helo", "helo.example", "--xclient-proto", "ESMTP"),
    *("--xclient-port", "4711"),
)


def test_swaks_for_another_client(swaks, witness, mail):
    """XCLIENT says who that is, who logged in, and what it called itself."""
    sent = mail()

    swaks("trusted", sent, *XCLIENT, "--xclient-login", USER)

    arrived = witness.only(sent.recipient)
    assert arrived.content.endswith(sent.content)
    assert "(client.example [192.0.2.9])" in arrived.received
    assert f"(Authenticated sender: {USER})" in arrived.received


def test_swaks_for_a_client_that_logged_in_elsewhere(swaks, witness, mail):
    """The logins of who may use XCLIENT are believed: nobody has to know them."""
    sent = mail()

    swaks("trusted", sent, *XCLIENT, "--xclient-login", "grace@example.test")

    arrived = witness.only(sent.recipient)
    assert "(Authenticated sender: grace@example.test)" in arrived.received


def test_swaks_with_parameters(swaks, witness, mail):
    """What it slips in behind the paths reaches the next hop.

    Its own angle bracket ends up in the last value, where xtext may have it.
    """
    sent = mail()

    swaks(
        "feeder",
        sent,
        sender=f"{sent.sender}> SIZE=2000 BODY=8BITMIME RET=HDRS ENVID=a+2Bb",
        recipient=f"{sent.recipient}> NOTIFY=SUCCESS ORCPT=rfc822;bob+40b.test",
    )

    arrived = witness.only(sent.recipient)
    assert {"RET=HDRS", "ENVID=a+2Bb>"} < set(arrived.mail)
    assert {"NOTIFY=SUCCESS", "ORCPT=rfc822;bob@b.test>"} < set(arrived.rcpt)


def test_swaks_with_stray_line_ends(swaks, witness, mail):
    """A door that takes none refuses the message; the others make CRLF of them."""
    sent = mail(b"one\rtwo\nthree\r\n.\r\n")

    refused = swaks("strict", sent, "--no-data-fixup", expected=(NO_MESSAGE,))
    swaks("feeder", sent, "--no-data-fixup")

    assert "<** 5" in refused
    assert witness.only(sent.recipient).body == b"one\r\ntwo\r\nthree\r\n"
