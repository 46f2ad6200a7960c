"""Two parsers in a row: what we take for one message is one message at Postfix.

Postfix, with the settings that its version 3.7 comes with, still takes some other line
ends than CRLF for the end of content. So it is the next hop that a smuggler hopes for.
"""

import contextlib
import re
import smtplib

import pytest

from tests.dialogue.server.test_server_smuggling import FAKE_ENDS
from tests.peers.tools import HOST

FOOLED = "victim@next.test"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_smuggled(witness, postfix):
    """Once Postfix has nothing left, no victim has mail but that of the first test."""
    yield
    postfix.wait_until_empty()
    victims = {who for who in witness.counts() if who.startswith("victim")}
    assert victims <= {FOOLED}


@pytest.fixture
def talk(doors):
    """A session at the feeder, EHLO said."""
    with smtplib.SMTP(HOST, doors["feeder"], "eve.test", timeout=30) as client:
        client.ehlo()
        yield client


def smuggled(victim):
    """Commands that would be taken by who sees the end of the content before them."""
    return (
        f"MAIL FROM:<eve@sender.test>\r\nRCPT TO:<{victim}>\r\n"
        "DATA\r\nSubject: smuggled\r\n\r\nhello\r\n"
    ).encode()


def hand_over(client, sent, data):
    """MAIL, RCPT and DATA, and then ``data`` as it is; the last reply."""
    assert client.mail(sent.sender)[0] == 250
    assert client.rcpt(sent.recipient)[0] == 250
    assert client.docmd("DATA")[0] == 354
    client.send(data)
    return client.getreply()


def normalized(data):
    """What content by DATA means, once every line end is CRLF."""
    lines = data.removesuffix(b".\r\n").split(b"\r\n")
    content = b"\r\n".join(line.removeprefix(b".") for line in lines)
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)


def test_the_next_hop_can_be_fooled(postfix, witness, mail):
    """Else what follows would prove nothing."""
    sent = mail(domain="next.test")
    data = b"Subject: outer\r\n\r\nbody\n.\r\n" + smuggled(FOOLED) + b".\r\n"

    with contextlib.closing(postfix.smtp()) as client:
        client.ehlo()
        hand_over(client, sent, data)
        replies = [client.getreply()[0] for _ in ("MAIL", "RCPT", "DATA", "end")]

    assert replies == [250, 250, 354, 250]
    assert witness.only(sent.recipient).body == b"body\r\n"
    assert witness.only(FOOLED).body == b"hello\r\n"


@pytest.mark.parametrize("fake", FAKE_ENDS.values(), ids=FAKE_ENDS)
def test_a_fake_end_of_content_is_content_at_the_next_hop(
    postfix, witness, talk, mail, fake
):
    """One message comes out of Postfix, and it is ours with its line ends put right."""
    sent = mail(b"body" + fake, domain="next.test")
    victim = f"victim-of-{sent.recipient}"
    data = sent.content + smuggled(victim) + b".\r\n"

    code, _ = hand_over(talk, sent, data)

    arrived = witness.only(sent.recipient)
    assert code == 250
    assert arrived.body == normalized(data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    "fake", [b"\r\n.\r\n", *FAKE_ENDS.values()], ids=["the true end", *FAKE_ENDS]
)
def test_an_end_of_content_within_a_chunk_is_content_at_the_next_hop(
    postfix, witness, talk, mail, fake
):
    """BDAT knows no end but its count; when we hand it on by DATA it is dots."""
    sent = mail(b"body" + fake, domain="next.test")
    victim = f"victim-of-{sent.recipient}"
    content = sent.content + smuggled(victim)
    cut = len(sent.content) - len(fake) + 1  # within what looks like an end

    talk.mail(sent.sender)
    talk.rcpt(sent.recipient)
    for chunk, last in ((content[:cut], b""), (content[cut:], b" LAST")):
        talk.send(b"BDAT %d%s\r\n" % (len(chunk), last) + chunk)
        assert talk.getreply()[0] == 250

    arrived = witness.only(sent.recipient)
    body = content.partition(b"\r\n\r\n")[2]
    assert arrived.body == re.sub(rb"\r\n|\r|\n", b"\r\n", body)
