import base64
import email
import email.policy

import pytest

from mta.errors import Rejected
from mta.mail.header import HeaderSection
from tests.support.pace import costs_at_most

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def parse(message):
    return email.message_from_bytes(message.content, policy=email.policy.SMTP)


def shape(part):
    """A message's tree, as in ["multipart/mixed", "text/plain"]."""
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        return [part.get_content_type(), *map(shape, part.iter_parts())]
    return part.get_content_type()


def test_plain_message(composed):
    """The smallest mail: our fields, and the text as it is."""
    message = composed(subject="Hi", text="one\ntwo")

    names = [name for name, _ in HeaderSection.parse(message.header).fields()]
    assert names == [
        "from",
        "to",
        "subject",
        "message-id",
        "date",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
    ]
    assert message.body == b"one\r\ntwo\r\n"
    assert message.reverse_path == "ada@example.test"
    assert message.recipients == ("bob@example.test",)
    assert message.message_id.endswith("@example.test>")
    assert b"Date: Fri, 17 May 2024 12:00:00 +0000\r\n" in message.header


def test_related_names_the_type_of_its_root(composed):
    """RFC 2387 §3.1 wants it."""
    message = composed(
        html='<img src="cid:logo">',
        attachments=[{"filename": "logo.png", "content": "x", "cid": "logo"}],
    )

    assert parse(message)["content-type"].params["type"] == "text/html"


def test_empty_group_is_kept(composed):
    """How a mail says that its recipients are nobody's business (RFC 5322 §3.4)."""
    message = composed(to="undisclosed-recipients:;", bcc="bob@example.test")

    assert message.recipients == ("bob@example.test",)
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in message.header


def test_empty_group_is_nobody(composed):
    """It is not a recipient, and even less a sender."""
    with pytest.raises(Rejected, match="no recipients"):
        composed(to="undisclosed-recipients: ;")
    with pytest.raises(Rejected, match="holds no address"):
        composed(**{"from": "nobody:;"})


def test_tree_is_mixed_then_alternative_then_related(composed):
    """Attachments beside texts, forms of the text, and what the HTML shows."""
    message = composed(
        text="t",
        html='<img src="cid:logo">',
        amp="<html amp4email>",
        watchHtml="<b>w</b>",
        icalEvent={"method": "request", "content": "BEGIN:VCALENDAR\r\nEND:VCALENDAR"},
        alternatives=[{"contentType": "text/x-web-markdown", "content": "*t*"}],
        attachments=[
            {
                "filename": "logo.png",
                "content": PNG,
                "encoding": "base64",
                "cid": "logo",
            },
            {"filename": "a.pdf", "content": "x"},
        ],
    )

    parsed = parse(message)
    assert shape(parsed) == [
        "multipart/mixed",
        [
            "multipart/alternative",
            "text/plain",
            "text/watch-html",
            "text/x-amp-html",
            ["multipart/related", "text/html", "image/png"],
            "text/calendar",
            "text/x-web-markdown",
        ],
        "application/pdf",
        "application/ics",
    ]
    assert not any(part.defects for part in parsed.walk())
    logo = next(
        part for part in parsed.walk() if part.get_content_type() == "image/png"
    )
    assert logo["Content-ID"] == "<logo>"
    assert logo.get_content_disposition() == "inline"
    event = next(p for p in parsed.walk() if p.get_content_type() == "text/calendar")
    assert event.get_param("method") == "REQUEST"


@pytest.mark.parametrize(
    ("fields", "tree"),
    [
        ({}, "text/plain"),
        ({"html": "h"}, "text/html"),
        (
            {"text": "t", "html": "h"},
            ["multipart/alternative", "text/plain", "text/html"],
        ),
        (
            {"text": "t", "attachments": [{"content": "x", "filename": "a.csv"}]},
            ["multipart/mixed", "text/plain", "text/csv"],
        ),
        ({"attachments": [{"content": "x"}]}, "application/octet-stream"),
        (
            {"html": "h", "attachments": [{"content": "x", "cid": "1"}]},
            ["multipart/related", "text/html", "application/octet-stream"],
        ),
        (
            {"text": "t", "attachments": [{"content": "x", "cid": "1"}]},
            ["multipart/mixed", "text/plain", "application/octet-stream"],
        ),
        (
            {
                "text": "t",
                "attachments": [
                    {"content": "A: b\n\nc", "contentType": "message/rfc822"}
                ],
            },
            ["multipart/mixed", "text/plain", "message/rfc822"],
        ),
        (
            {"text": "t", "alternatives": [{"raw": "Content-Type: text/x-y\n\nc"}]},
            ["multipart/alternative", "text/plain", "text/x-y"],
        ),
    ],
)
def test_tree_has_no_needless_levels(composed, fields, tree):
    """A level of one part is left out."""
    assert shape(parse(composed(**fields))) == tree


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("plain\r\n.dots\r\nFrom here\r\n", id="7bit"),
        pytest.param("Grüße von Jõgeva = 100 %  \r\nund Ende", id="few accents"),
        pytest.param("дорогой друг\r\n" * 20, id="all beyond ASCII"),
        pytest.param("x" * 2000, id="a long line"),
        pytest.param("nul \x00 and \x0c\u2028\x85 inside\r\n", id="controls"),
        pytest.param("", id="nothing"),
    ],
)
@pytest.mark.parametrize("forced", [None, "base64", "quoted-printable"])
def test_text_arrives_as_it_was(composed, text, forced):
    """Whatever its encoding; lines fit SMTP's limits."""
    message = composed(text=text, html="<p>", textEncoding=forced)

    part = parse(message).get_body(("plain",))
    assert part.get_payload(decode=True).decode() == text
    assert max(map(len, message.content.split(b"\r\n"))) <= 998
    assert message.content.isascii()
    if forced:
        assert part["Content-Transfer-Encoding"] == forced


@pytest.mark.parametrize(
    ("attachment", "octets"),
    [
        ({"content": "x\ny"}, b"x\ny"),
        ({"content": "AP8-_w", "encoding": "base64"}, b"\x00\xff\x3e\xff"),
        ({"content": "00 ff", "encoding": "hex"}, b"\x00\xff"),
        ({"content": "\xff", "encoding": "latin1"}, b"\xff"),
        ({"path": "data:text/plain;base64,aGk="}, b"hi"),
        ({"href": "data:,a%20b"}, b"a b"),
        (
            {"content": "a\nb=", "contentTransferEncoding": "quoted-printable"},
            b"a\r\nb=",
        ),
        ({"content": "a\n", "contentTransferEncoding": "7bit"}, b"a\r\n"),
    ],
)
def test_attachment_arrives_as_it_was(composed, attachment, octets):
    """Octets from any encoding the JSON may use."""
    parts = list(parse(composed(text="t", attachments=[attachment])).iter_attachments())

    assert parts[0].get_payload(decode=True) == octets
    assert parts[0].get_filename() == "attachment-1"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.PDF", "application/pdf"),
        ("a.tar.gz", "application/octet-stream"),
        ("a.tgz", "application/octet-stream"),
        ("data:text,é.html", "text/html"),
        ("none", "application/octet-stream"),
    ],
)
def test_type_comes_from_the_file_name(composed, name, media_type):
    """What is compressed is not called what it holds."""
    message = composed(text="t", attachments=[{"content": "x", "filename": name}])

    assert next(parse(message).iter_attachments()).get_content_type() == media_type


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ("a.pdf", "a.pdf"),
        ('a "quoted" \\ name; x=y.pdf', "name; x=y.pdf"),
        ('say "hi".pdf', 'say "hi".pdf'),
        ("Jõgeva.pdf", "Jõgeva.pdf"),
        ("長い名前" * 20 + ".pdf", "長い名前" * 20 + ".pdf"),
        ("x" * 200 + ".pdf", "x" * 200 + ".pdf"),
        ("../../etc/passwd.pdf", "passwd.pdf"),
        (False, None),
    ],
)
def test_file_name_arrives(composed, given, arrives):
    """By RFC 2231 where it is needed, and without folders."""
    message = composed(text="t", attachments=[{"content": "x", "filename": given}])

    part = next(iter(parse(message).iter_attachments()))
    assert part.get_filename() == arrives


def test_addresses_of_all_forms(composed):
    """Strings, objects, lists and groups; each recipient once, Bcc unseen."""
    message = composed(
        **{"from": {"name": "Ada, L.", "address": "ada@example.test"}},
        to=["Bob <bob@b.test>", {"name": "Jõgeva", "address": "c@jõgeva.ee"}],
        cc="Team: d@d.test, bob@B.test;",
        bcc=["hidden@e.test"],
        replyTo="r@f.test",
    )

    parsed = parse(message)
    assert parsed["From"] == '"Ada, L." <ada@example.test>'
    assert (
        b"\r\nTo: Bob <bob@b.test>, =?UTF-8?Q?J=C3=B5geva?= <c@xn--" in message.header
    )
    assert parsed["Cc"] == "d@d.test, bob@b.test"
    assert parsed["Reply-To"] == "r@f.test"
    assert b"hidden" not in message.content
    assert message.recipients == (
        "bob@b.test",
        "c@xn--jgeva-dua.ee",
        "d@d.test",
        "hidden@e.test",
    )


@pytest.mark.parametrize(
    ("fields", "reverse_path", "recipients"),
    [
        (
            {"envelope": {"from": "bounce@v.test", "to": ["x@y.test"]}},
            "bounce@v.test",
            ("x@y.test",),
        ),
        ({"envelope": {"from": ""}}, "", ("bob@example.test",)),
        ({"envelope": {"from": None}}, "", ("bob@example.test",)),
        ({"envelope": {"cc": "x@y.test"}}, "ada@example.test", ("x@y.test",)),
        ({"from": ..., "sender": "s@y.test"}, "s@y.test", ("bob@example.test",)),
        (
            {"from": ..., "headers": {"From": "h@y.test"}},
            "h@y.test",
            ("bob@example.test",),
        ),
    ],
)
def test_envelope(composed, fields, reverse_path, recipients):
    """An explicit envelope overrides what the header says."""
    message = composed(**fields)

    assert (message.reverse_path, message.recipients) == (reverse_path, recipients)


def test_custom_headers(composed):
    """As an object or a list; the mail's own fields win."""
    message = composed(
        subject="mine",
        headers={"X-One": ["a", "b"], "Subject": "theirs", "X-Sending-Zone": "bulk"},
    )
    listed = composed(headers=[{"key": "X-Two", "value": "é"}])

    section = HeaderSection.parse(message.header)
    assert section.get_all("x-one") == ["a", "b"]
    assert section.get_all("subject") == ["mine"]
    assert section.get("x-sending-zone") == "bulk"
    assert HeaderSection.parse(listed.header).get("X-Two") == "é"


def test_identifiers_and_date(composed):
    """Given ones are kept in their normal form."""
    message = composed(
        messageId="a@b.test",
        date="2024-01-02T03:04:05.000Z",
        inReplyTo="<c@d.test>",
        references=["<c@d.test>", "e@f.test"],
    )

    parsed = parse(message)
    assert message.message_id == parsed["Message-ID"] == "<a@b.test>"
    assert parsed["Date"] == "Tue, 02 Jan 2024 03:04:05 +0000"
    assert parsed["In-Reply-To"] == "<c@d.test>"
    assert parsed["References"] == "<c@d.test> <e@f.test>"


def test_raw_message_is_taken_as_it_is(composed):
    """But for its line ends; the envelope comes from beside it or from its header."""
    raw = "From: x@y.test\nTo: z@y.test\nBcc: w@y.test\n\nbody"

    message = composed(**{"from": ..., "to": ..., "raw": raw})
    redirected = composed(raw={"content": raw})

    assert message.header == b"From: x@y.test\r\nTo: z@y.test\r\nBcc: w@y.test\r\n"
    assert message.body == b"body\r\n"
    assert message.reverse_path == "x@y.test"
    assert message.recipients == ("z@y.test", "w@y.test")
    assert redirected.reverse_path == "ada@example.test"
    assert redirected.recipients == ("bob@example.test",)


def test_local_part_beyond_ascii_needs_smtputf8(composed):
    """A domain alone does not: it has A-labels."""
    assert composed(to="jõgeva@jõgeva.ee").smtputf8
    assert not composed(to="safe@jõgeva.ee").smtputf8


def test_ten_thousand_recipients_compose_quickly(composed):
    """One mail to a whole list must not hold the door."""
    to = [f"Member {number} <m{number}@example.test>" for number in range(10_000)]

    message = composed(to=to, text="x")

    assert costs_at_most(80, lambda: composed(to=to, text="x"))
    assert len(message.recipients) == 10_000
    assert max(map(len, message.header.split(b"\r\n"))) <= 78


def test_message_over_the_limit_is_refused(composed):
    """As stored, not as sent in."""
    with pytest.raises(Rejected) as refusal:
        composed(text="x" * 1000, limits={"max_bytes": 1000})

    assert refusal.value.reply.code == 552
