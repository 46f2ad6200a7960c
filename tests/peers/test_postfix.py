"""Postfix as a client that relays through us."""

import pytest

from tests.peers.mails import EIGHT_BIT, USER


def test_postfix_relays_a_message(postfix, tap, witness, mail):
    """Unharmed, with MAIL, RCPT and DATA in one packet."""
    sent = mail(domain="tapped.test")

    postfix.sendmail(sent.content, sent.sender, sent.recipient)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert arrived.mail[0] == f"<{sent.sender}>"
    assert "from postfix.test ([127.0.0.1])" in arrived.received
    (group,) = tap.pieces_with(f"RCPT TO:<{sent.recipient}>")
    assert group.startswith(b"MAIL FROM:<")
    assert group.endswith(b"\r\nDATA\r\n")


def test_postfix_sends_to_many_in_one_transaction(postfix, tap, witness, mail):
    """Fifty recipients: a reply to each, and a delivery for each."""
    sent = mail(domain="tapped.test")
    many = [f"{n}-{sent.recipient}" for n in range(50)]

    postfix.sendmail(sent.content, sent.sender, *many)

    arrived = witness.all_of(f"-{sent.recipient}", len(many))
    assert len(arrived) == len(many)
    assert {letter.body for letter in arrived} == {sent.body}
    (said,) = tap.sessions_with(f"-{sent.recipient}>")
    assert said.count(b"RCPT TO:") == len(many)
    assert said.count(b"MAIL FROM:") == 1


def test_postfix_reuses_a_connection(postfix, witness, mail):
    """What comes in by one session of its own goes out whole, message by message."""
    mails = [mail(domain="tapped.test") for _ in range(10)]

    with postfix.smtp() as client:
        for sent in mails:
            client.sendmail(sent.sender, sent.recipient, sent.content)

    for sent in mails:
        assert witness.only(sent.recipient).body == sent.body


@pytest.mark.parametrize("how", ["scram", "plain", "login", "wrapped"])
def test_postfix_logs_in(postfix, witness, mail, how):
    """By each mechanism, over TLS with a certificate that it checks."""
    sent = mail(domain=f"{how}.test")

    postfix.sendmail(sent.content, sent.sender, sent.recipient)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert f"(Authenticated sender: {USER})" in arrived.received
    assert " with ESMTPSA id " in arrived.received


def test_postfix_sends_eight_bits(postfix, witness, mail):
    """It says BODY=8BITMIME, as we offer it, and changes nothing."""
    sent = mail(EIGHT_BIT, domain="tapped.test")

    postfix.sendmail(sent.content, sent.sender, "-B8BITMIME", sent.recipient)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert "BODY=8BITMIME" in arrived.mail


def test_postfix_sends_addresses_beyond_ascii(postfix, witness, mail):
    """It says SMTPUTF8, as we offer it."""
    sent = mail(local_part="böb", domain="tapped.test", sender="jörg@bücher.test")

    postfix.sendmail(sent.content, sent.sender, sent.recipient)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert "SMTPUTF8" in arrived.mail
    assert " with UTF8SMTP id " in arrived.received


def test_postfix_asks_for_notices(postfix, witness, mail):
    """It leaves them to us, and we to the next hop."""
    sent = mail(domain="tapped.test")
    wishes = ("-N", "success,delay", "-V", "Envelope+1", "-R", "hdrs")

    postfix.sendmail(sent.content, sent.sender, *wishes, sent.recipient)

    arrived = witness.only(sent.recipient)
    assert {"ENVID=Envelope+2B1", "RET=HDRS"} < set(arrived.mail)
    assert set(arrived.rcpt[1:]) == {
        "NOTIFY=DELAY,SUCCESS",
        f"ORCPT=rfc822;{sent.recipient}",
    }
    postfix.wait_until_empty()
    assert "delivery status notification" not in postfix.log


def test_postfix_by_lmtp(postfix, witness, mail):
    """It takes a reply for each of two recipients."""
    sent, other = mail(domain="lmtp.test"), mail(domain="lmtp.test")

    postfix.sendmail(sent.content, sent.sender, sent.recipient, other.recipient)

    for recipient in (sent.recipient, other.recipient):
        arrived = witness.only(recipient)
        assert arrived.body == sent.body
        assert " with LMTP id " in arrived.received


def test_postfix_forwards_what_it_knows_of_its_client(postfix, witness, mail):
    """XFORWARD: our trace names whom Postfix had the message from."""
    sent = mail(domain="forwarded.test")

    with postfix.smtp() as client:
        client.sendmail(sent.sender, sent.recipient, sent.content)

    arrived = witness.only(sent.recipient)
    assert arrived.body == sent.body
    assert "from client.test (" in arrived.received


def test_postfix_sends_a_large_message(postfix, witness, mail):
    """Eight megabytes, in lines of which some begin with dots."""
    line = b".." + b"z" * 70 + b"\r\n"
    sent = mail(line * (8 * 2**20 // len(line)), domain="tapped.test")

    postfix.sendmail(sent.content, sent.sender, sent.recipient)

    assert witness.only(sent.recipient).body == sent.body
