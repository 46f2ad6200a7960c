"""Exim as a client that relays through us; where it may, it sends by BDAT."""

import pytest

from tests.peers.mails import EIGHT_BIT, USER


def test_exim_sends_by_bdat(exim, witness, tap, mail):
    """As we offer CHUNKING; the content is whole."""
    sent = mail(domain="tapped.test")

    exim.send(sent)

    arrived = witness.only(sent.recipient)
    (said,) = tap.sessions_with(f"RCPT TO:<{sent.recipient}>")
    assert arrived.body == sent.body
    assert b"\r\nBDAT " in said
    assert b"\r\nDATA\r\n" not in said


def test_exim_sends_a_large_message_in_chunks(exim, witness, tap, mail):
    """Several BDATs make one message: here its header, and its body."""
    line = b"." + b"z" * 70 + b"\r\n"
    sent = mail(line * (2 * 2**20 // len(line)), domain="tapped.test")

    exim.send(sent)

    arrived = witness.only(sent.recipient)
    (said,) = tap.sessions_with(f"RCPT TO:<{sent.recipient}>")
    assert arrived.body == sent.body
    assert said.count(b"BDAT ") == 2


def test_exim_sends_by_bdat_what_would_end_data(exim, witness, mail):
    """Within a chunk nothing is a command."""
    trap = (
        b"\r\n.\r\nMAIL FROM:<eve@sender.test>\r\n"
        b"RCPT TO:<victim@tapped.test>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n"
    )
    sent = mail(b"before" + trap, domain="tapped.test")

    exim.send(sent)

    assert witness.only(sent.recipient).body == sent.body
    assert "victim@tapped.test" not in witness.counts()


@pytest.mark.parametrize("how", ["plain", "login", "wrapped"])
def test_exim_logs_in(exim, witness, mail, how):
    """Over TLS, with a certificate that it checks."""
    sent = mail(domain=f"{how}.test")

    exim.send(sent)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert f"(Authenticated sender: {USER})" in arrived.received
    assert " with ESMTPSA id " in arrived.received


def test_exim_sends_eight_bits(exim, witness, mail):
    """It says BODY=8BITMIME, as we offer it."""
    sent = mail(EIGHT_BIT, domain="tapped.test")

    exim.send(sent, mail_words=" BODY=8BITMIME")

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert "BODY=8BITMIME" in arrived.mail


def test_exim_sends_addresses_beyond_ascii(exim, witness, mail):
    """It says SMTPUTF8, as we offer it."""
    sent = mail(local_part="böb", domain="tapped.test", sender="jörg@sender.test")

    exim.send(sent, mail_words=" SMTPUTF8")

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert "SMTPUTF8" in arrived.mail
    assert arrived.mail[0] == f"<{sent.sender}>"


def test_exim_asks_for_notices(exim, witness, mail):
    """It leaves them to us, and we to the next hop."""
    sent = mail(domain="tapped.test")

    exim.send(
        sent,
        mail_words=" RET=FULL ENVID=Envelope+2B1",
        rcpt_words=" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40b.test",
    )

    arrived = witness.only(sent.recipient)
    assert {"ENVID=Envelope+2B1", "RET=FULL"} < set(arrived.mail)
    assert set(arrived.rcpt[1:]) == {
        "NOTIFY=FAILURE,SUCCESS",
        "ORCPT=rfc822;Bob@b.test",
    }


def test_exim_by_lmtp(exim, witness, mail):
    """It takes a reply for each of two recipients."""
    sent, other = mail(domain="lmtp.test"), mail(domain="lmtp.test")

    exim.send(sent, to=f"RCPT TO:<{other.recipient}>\r\n")

    for recipient in (sent.recipient, other.recipient):
        arrived = witness.only(recipient)
        assert arrived.body == sent.body
        assert " with LMTP id " in arrived.received
