"""From a door to the MX that DNS names, through everything between."""

import time
import urllib.error
from email import message_from_bytes

import pytest


def a_mail(**changes):
    mail = {
        "from": "ada@a.test",
        "to": "bob@b.test",
        "subject": "Hi",
        "text": "Hello Bob",
    }
    return {**mail, **changes}


def test_http_in_and_the_mx_gets_it(stack, sink):
    """POST /send ends at the MX of the recipient's domain."""
    answer = stack.post("/send", a_mail())

    (delivery,) = stack.wait_until_finished(answer["id"])
    message = message_from_bytes(sink.contents["bob@b.test"][0])
    assert delivery["state"] == "delivered"
    assert message["Subject"] == "Hi"
    assert message.get_payload().strip() == "Hello Bob"


def test_smtp_in_and_the_mx_gets_it_byte_for_byte(stack, sink):
    """What a client sends arrives as it was, below a Received field of ours."""
    content = (
        b"From: ada@a.test\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
        b"Message-ID: <1@a.test>\r\nSubject:  odd   spacing\r\n\r\n"
        b".leading dot\r\n..two\r\n.\x2e\r\nend\r\n"
    )

    with stack.smtp() as smtp:
        smtp.sendmail("ada@a.test", ["dot@b.test"], content)

    assert sink.wait_for(["dot@b.test"], 10)
    received = sink.contents["dot@b.test"][0]
    assert received.startswith(b"Received: from ")
    assert received.endswith(content)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_server_takes_it_over_tls(stack, smtpdfix_mx):
    """smtpdfix as the MX: it asks for STARTTLS, and gets the message unharmed."""
    answer = stack.post("/send", a_mail(to="bob@smtpdfix.test", html="<p>Hi</p>"))

    (delivery,) = stack.wait_until_finished(answer["id"])
    (message,) = smtpdfix_mx.messages
    outcome = delivery["timeline"][-1]
    assert (outcome["state"], outcome["host"]) == ("delivered", "mx.smtpdfix.test")
    assert outcome["tls"].startswith("TLSv1.")
    assert message["Subject"] == "Hi"
    assert message.is_multipart()


def test_a_zone_with_a_host_sends_there_and_asks_no_dns(stack, sink, dns_server):
    """A relay instead of the MX, for a domain that DNS does not know."""
    answer = stack.post("/send", a_mail(to="bob@inside.invalid"))

    (delivery,) = stack.wait_until_finished(answer["id"])
    assert (delivery["zone"], delivery["state"]) == ("relayed", "delivered")
    assert "inside.invalid" not in {name for name, _ in dns_server.queries}


def test_each_recipient_has_a_delivery_of_its_own(stack, sink):
    """Ten recipients are ten rows, ten tasks and ten transactions."""
    to = [f"user{n}@d{n}.test" for n in range(10)]

    answer = stack.post("/send", a_mail(to=to))

    deliveries = stack.wait_until_finished(answer["id"])
    assert [delivery["recipient"] for delivery in deliveries] == to
    assert sink.arrived == dict.fromkeys(to, 1)


def test_a_deferred_delivery_is_tried_again(stack, sink):
    """451 defers by the schedule; the second attempt succeeds."""
    sink.refuse = lambda _, asked: "451 4.7.1 greylisted" if asked == 1 else None

    answer = stack.post("/send", a_mail())

    (delivery,) = stack.wait_until_finished(answer["id"])
    assert [entry["state"] for entry in delivery["timeline"]] == [
        "deferred",
        "delivered",
    ]
    assert delivery["timeline"][0]["code"] == 451
    assert delivery["attempts"] == 2


def test_a_refused_recipient_is_closed_and_others_are_not(stack, sink):
    """550 ends one delivery; the other recipient of the message gets it."""
    sink.refuse = lambda to, _: "550 5.1.1 nobody" if to.startswith("no") else None

    answer = stack.post("/send", a_mail(to=["no@b.test", "bob@b.test"]))

    refused, taken = stack.wait_until_finished(answer["id"])
    assert (refused["state"], refused["timeline"][-1]["status"]) == ("bounced", "5.1.1")
    assert taken["state"] == "delivered"


def test_the_last_deferral_is_followed_by_a_bounce(stack, sink):
    """The schedule has three waits, so the fourth failure is final."""
    sink.refuse = lambda _, __: "451 4.7.1 never"

    answer = stack.post("/send", a_mail())

    (delivery,) = stack.wait_until_finished(answer["id"])
    states = [entry["state"] for entry in delivery["timeline"]]
    assert states == ["deferred"] * 3 + ["bounced"]


@pytest.mark.parametrize(
    ("domain", "state"),
    [
        pytest.param("null.test", "bounced", id="null MX"),
        pytest.param("nowhere.invalid", "bounced", id="NXDOMAIN"),
    ],
)
def test_dns_that_says_never_ends_the_delivery(stack, sink, domain, state):
    """No retry can help where the owner of a domain says it takes no mail."""
    answer = stack.post("/send", a_mail(to=f"x@{domain}"))

    (delivery,) = stack.wait_until_finished(answer["id"])
    assert (delivery["state"], delivery["attempts"]) == (state, 1)


def test_dns_that_fails_defers(stack, sink):
    """SERVFAIL is nobody's last word."""
    answer = stack.post("/send", a_mail(to="x@servfail.test"))

    (delivery,) = stack.wait_until_finished(answer["id"])
    assert delivery["timeline"][0]["state"] == "deferred"
    assert delivery["timeline"][0]["category"] == "dns"


def test_a_sender_domain_chooses_the_zone(stack, sink):
    """Routing is per recipient, and the timeline shows the zone."""
    answer = stack.post("/send", a_mail(**{"from": "letter@news.test"}))

    (delivery,) = stack.wait_until_finished(answer["id"])
    assert delivery["zone"] == "news"


def test_raw_content_by_http_keeps_its_bytes(stack, sink):
    """POST /send-raw takes the envelope from the header, and drops Bcc."""
    raw = (
        b"From: ada@a.test\nTo: raw@b.test\nBcc: hidden@b.test\n"
        b"Date: Mon, 01 Jan 2024 00:00:00 +0000\nMessage-ID: <2@a.test>\n\nHi\n"
    )

    answer = stack.post("/send-raw", raw, "message/rfc822")

    stack.wait_until_finished(answer["id"])
    assert set(sink.arrived) == {"raw@b.test", "hidden@b.test"}
    assert b"hidden" not in sink.contents["raw@b.test"][0]
    assert sink.contents["raw@b.test"][0].endswith(b"\r\n\r\nHi\r\n")


def test_a_message_can_be_looked_at_while_it_waits(stack, sink):
    """ZoneMTA's routes show a deferred recipient and the stored message."""
    sink.refuse = lambda _, __: "451 4.7.1 later"
    answer = stack.post("/send", a_mail(subject="look"))
    wait_for_state(stack, answer["id"], "deferred")

    message = stack.get(f"/message/{answer['id']}")
    listed = stack.get("/queued/deferred/default")

    assert message["messages"][0]["status"] == "DEFERRED"
    assert message["messages"][0]["seq"] == "001"
    assert answer["id"] in [entry["id"] for entry in listed["list"]]


def test_a_bad_field_is_named(stack):
    """400, and which field."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        stack.post("/send", a_mail(to=["bob@b.test", 7]))

    assert refused.value.code == 400
    assert b"/to/1" in refused.value.read()


def test_a_message_declared_too_large_is_refused(stack):
    """552 at MAIL, before a byte of it was sent (RFC 1870 §6.1)."""
    with stack.smtp() as smtp:
        smtp.ehlo()

        code, _ = smtp.mail("a@a.test", [f"SIZE={2**40}"])

    assert code == 552


def wait_for_state(stack, message_id, state):
    deadline = time.monotonic() + 20
    while stack.deliveries(message_id)[0]["state"] != state:
        assert time.monotonic() < deadline
        time.sleep(0.05)
