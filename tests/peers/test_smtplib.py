"""The client of Python's own library."""

import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage

import pytest

from tests.peers.mails import EIGHT_BIT, PASSWORD, USER
from tests.peers.tools import HOST


@pytest.fixture
def trust(certificates):
    """TLS that believes our authority alone, and checks names."""
    return ssl.create_default_context(cafile=certificates.authority)


@pytest.fixture
def smtp(doors):
    """Connect to an interface."""
    opened = []

    def connect(door):
        opened.append(smtplib.SMTP(HOST, doors[door], "smtplib.test", timeout=30))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def test_smtplib_sends_mail(smtp, witness, mail):
    """Octet for octet, below one field of ours."""
    sent = mail()

    refused = smtp("feeder").sendmail(sent.sender, sent.recipient, sent.content)

    assert refused == {}
    assert witness.only(sent.recipient).content.endswith(b"\r\n" + sent.content)


def test_smtplib_sends_eight_bits(smtp, witness, mail):
    """With BODY=8BITMIME, as its caller says."""
    sent = mail(EIGHT_BIT)
    options = ["BODY=8BITMIME"]

    smtp("feeder").sendmail(sent.sender, sent.recipient, sent.content, options)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert "BODY=8BITMIME" in arrived.mail


def test_smtplib_sends_addresses_beyond_ascii(smtp, witness, mail):
    """``send_message`` chooses SMTPUTF8 by itself; the header stays UTF-8."""
    recipient = mail(local_part="böb").recipient
    message = EmailMessage()
    message["From"] = Address("Jörg", username="jörg", domain="bücher.test")
    message["To"] = recipient
    message["Subject"] = "Grüße"
    message.set_content("Schöne Grüße\n", cte="8bit")

    smtp("feeder").send_message(message)

    arrived = witness.only(recipient)
    assert "SMTPUTF8" in arrived.mail
    assert arrived.mail[0] == "<jörg@bücher.test>"
    assert " with UTF8SMTP id " in arrived.received
    assert "From: Jörg <jörg@bücher.test>\r\n".encode() in arrived.content
    assert arrived.body == "Schöne Grüße\r\n".encode()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_smtplib_logs_in_after_starttls(smtp, trust, witness, mail, mechanism):
    """The certificate is good for the address that it connected to."""
    sent = mail()
    client = smtp("submission")

    client.starttls(context=trust)
    client.ehlo()
    client.esmtp_features["auth"] = mechanism
    client.login(USER, PASSWORD)
    client.sendmail(sent.sender, sent.recipient, sent.content)

    arrived = witness.only(sent.recipient)
    assert arrived.content.endswith(sent.content)
    assert f"(Authenticated sender: {USER})" in arrived.received


def test_smtplib_over_tls_from_the_first_octet(trust, doors, witness, mail):
    """Likewise by ``SMTP_SSL``, several messages in a session."""
    mails = [mail(), mail()]

    with smtplib.SMTP_SSL(
        HOST, doors["smtps"], "smtplib.test", timeout=30, context=trust
    ) as client:
        client.login(USER, PASSWORD)
        for sent in mails:
            client.sendmail(sent.sender, sent.recipient, sent.content)

    for sent in mails:
        assert witness.only(sent.recipient).content.endswith(sent.content)


def test_smtplib_checks_the_certificate(smtp, witness):
    """A client that does not trust our authority does not go on."""
    client = smtp("submission")

    with pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())


def test_smtplib_before_starttls(smtp):
    """Nobody is asked for a password in clear, and nobody's is taken."""
    client = smtp("submission")
    client.ehlo()

    offers_login = client.has_extn("AUTH")
    code, _ = client.docmd("AUTH", "PLAIN AGEAYg==")

    assert not offers_login
    assert code in {530, 538}


def test_smtplib_with_a_wrong_password(smtp, trust):
    """It hears 535 for each mechanism."""
    client = smtp("submission")
    client.starttls(context=trust)

    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client.login(USER, "wrong")

    assert refused.value.smtp_code == 535


def test_smtplib_by_lmtp(doors, witness, mail):
    """Its LMTP class says LHLO; DATA is answered once for its one recipient."""
    sent = mail()

    with smtplib.LMTP(HOST, doors["lmtp"], "smtplib.test", timeout=30) as client:
        client.sendmail(sent.sender, sent.recipient, sent.content)

    assert witness.only(sent.recipient).content.endswith(sent.content)


def test_smtplib_asks_for_notices(smtp, witness, mail):
    """DSN parameters reach the next hop as they were."""
    sent = mail()

    smtp("feeder").sendmail(
        sent.sender,
        sent.recipient,
        sent.content,
        ["RET=HDRS", "ENVID=QQ314159+2B"],
        ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob+40example.test"],
    )

    arrived = witness.only(sent.recipient)
    assert {"RET=HDRS", "ENVID=QQ314159+2B"} < set(arrived.mail)
    assert set(arrived.rcpt[1:]) == {
        "NOTIFY=DELAY,SUCCESS",
        "ORCPT=rfc822;Bob@example.test",
    }
