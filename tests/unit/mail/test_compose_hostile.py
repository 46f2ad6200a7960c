import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.errors import Rejected
from mta.mail.header import HeaderSection
from tests.support.pace import costs_at_most

BREAKS = [
    pytest.param("a\r\nX-Evil: 1", id="CRLF"),
    pytest.param("a\nX-Evil: 1", id="LF"),
    pytest.param("a\rX-Evil: 1", id="CR"),
    pytest.param("a\x00b", id="NUL"),
]
PLACES = [
    pytest.param(lambda evil: {"subject": evil}, "/subject", id="subject"),
    pytest.param(lambda evil: {"to": f"{evil} <a@b.test>"}, "/to", id="to"),
    pytest.param(
        lambda evil: {"from": {"name": evil, "address": "a@b.test"}},
        "/from/name",
        id="name",
    ),
    pytest.param(
        lambda evil: {"to": [{"address": f"{evil}@b.test"}]},
        "/to/0/address",
        id="address",
    ),
    pytest.param(lambda evil: {"headers": {"X-A": evil}}, "/headers/X-A", id="header"),
    pytest.param(
        lambda evil: {"headers": [{"key": "X-A", "value": evil}]},
        "/headers/0/value",
        id="listed header",
    ),
    pytest.param(
        lambda evil: {"headers": [{"key": evil, "value": "x"}]},
        "/headers/0/value",
        id="header name",
    ),
    pytest.param(lambda evil: {"messageId": f"<{evil}@b.test>"}, "/messageId", id="id"),
    pytest.param(
        lambda evil: {"references": [f"<{evil}@b.test>"]},
        "/references/0",
        id="references",
    ),
    pytest.param(lambda evil: {"date": evil}, "/date", id="date"),
    pytest.param(
        lambda evil: {"icalEvent": {"content": "x", "method": evil}},
        "/icalEvent/method",
        id="method",
    ),
    *(
        pytest.param(
            lambda evil, key=key: {"attachments": [{"content": "x", key: evil}]},
            f"/attachments/0/{key}",
            id=key,
        )
        for key in (
            "filename",
            "contentType",
            "contentDisposition",
            "cid",
            "contentTransferEncoding",
            "encoding",
        )
    ),
    pytest.param(
        lambda evil: {"attachments": [{"content": "x", "headers": {"X-A": evil}}]},
        "/attachments/0/headers/X-A",
        id="part header",
    ),
]


@pytest.mark.parametrize("evil", BREAKS)
@pytest.mark.parametrize(("mail", "pointer"), PLACES)
def test_line_breaks_in_header_values_are_refused(composed, mail, pointer, evil):
    """The refusal names the field; nothing is repaired in silence."""
    with pytest.raises(Rejected) as refusal:
        composed(**mail(evil))

    assert refusal.value.pointer == pointer
    assert refusal.value.reply.is_permanent


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
@pytest.mark.parametrize(("mail", "pointer"), PLACES)
def test_unicode_separators_make_no_field(composed, mail, pointer, separator):
    """Encoded or refused; counted in raw bytes, no field is added."""
    try:
        message = composed(text="t", **mail(f"a{separator}X-Evil: 1"))
    except Rejected:
        return

    lines = message.content.split(b"\r\n")
    assert not any(line.lower().startswith(b"x-evil") for line in lines)
    assert separator.encode() not in message.content
    names = [name for name, _ in HeaderSection.parse(message.header).fields()]
    assert "" not in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name",
    [
        "Received",
        "return-path",
        "DKIM-Signature",
        "Bcc",
        "X-Internal-Flag",
        "Content-Type",
        "MIME-Version",
        "ARC-Seal",
        "Resent-Bcc",
        "With Space",
        "Col:on",
        "Ünicode",
        "",
        "x" * 100,
    ],
)
def test_reserved_and_broken_header_names_are_refused(composed, name):
    """In the message and in its parts (RFC 5322 §3.6.8)."""
    with pytest.raises(Rejected):
        composed(headers={name: "x"})
    with pytest.raises(Rejected):
        composed(attachments=[{"content": "x", "headers": {name: "x"}}])


@pytest.mark.parametrize(
    "raw",
    ["Received: x\n\nc", "Bcc: a@b.test\n\nc", "Content-Type: a/b\nno field\n\nc"],
)
def test_raw_parts_describe_only_their_content(composed, raw):
    """As the only part, their fields would be the message's."""
    with pytest.raises(Rejected) as refusal:
        composed(alternatives=[{"raw": raw}])

    assert refusal.value.pointer == "/alternatives/0/raw"


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest",
        "https://[::1]/",
        "\\\\host\\share",
        "data:text/plain",
        "",
    ],
)
@pytest.mark.parametrize("key", ["path", "href"])
def test_files_and_addresses_are_never_read(composed, target, key):
    """Only data: URIs, which read nothing."""
    for mail in (
        {"attachments": [{key: target}]},
        {"html": {key: target}},
        {"raw": {key: target}},
    ):
        with pytest.raises(Rejected) as refusal:
            composed(**mail)

        assert refusal.value.pointer.endswith(f"/{key}")


@pytest.mark.parametrize(
    ("mail", "pointer"),
    [
        ({"to": "bob"}, "/to"),
        ({"to": ["a@b.test", "a@-b-"]}, "/to/1"),
        ({"to": [["a@b.test"]]}, "/to/0"),
        ({"to": {"$gt": ""}}, "/to/$gt"),
        ({"to": [{"name": "x"}]}, "/to/0/address"),
        ({"to": 7}, "/to"),
        ({"to": []}, "/to"),
        ({"from": ...}, "/from"),
        ({"from": {"address": {"$ne": 1}}}, "/from/address"),
        ({"subject": {"a": 1}}, "/subject"),
        ({"subject": "\ud800"}, "/subject"),
        ({"text": "\udfff"}, "/text"),
        ({"text": 5}, "/text"),
        ({"text": {"content": "/w==", "encoding": "base64"}}, "/text"),
        ({"text": {"content": "x", "path": "data:,x"}}, "/text"),
        ({"html": {"content": "x", "encoding": "rot13"}}, "/html/encoding"),
        ({"date": "soon"}, "/date"),
        ({"messageId": "a b@c"}, "/messageId"),
        ({"priority": "high"}, "/priority"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"attachments": [{}]}, "/attachments/0"),
        ({"attachments": [5]}, "/attachments/0"),
        (
            {"attachments": [{"content": "%%", "encoding": "base64"}]},
            "/attachments/0/content",
        ),
        (
            {"attachments": [{"content": "x", "contentType": "multipart/mixed"}]},
            "/attachments/0/contentType",
        ),
        (
            {"attachments": [{"content": "é", "contentTransferEncoding": "7bit"}]},
            "/attachments/0",
        ),
        (
            {"attachments": [{"content": "x" * 2000, "contentType": "message/rfc822"}]},
            "/attachments/0",
        ),
        ({"attachments": [{"raw": "A: b\n\nc", "filename": "x"}]}, "/attachments/0"),
        ({"textEncoding": "7bit"}, "/textEncoding"),
        ({"disableFileAccess": False}, "/disableFileAccess"),
        ({"envelope": {"to": "nobody"}}, "/envelope/to"),
        ({"envelope": {"size": 1}}, "/envelope/size"),
        ({"envelope": "x"}, "/envelope"),
        ({"raw": "A: b\n\nc", "text": "x"}, "/text"),
        ({"raw": 5}, "/raw"),
        ({"headers": "X: y"}, "/headers"),
        ({"headers": [{"key": "X"}]}, "/headers/0"),
    ],
)
def test_refusal_names_the_field(composed, mail, pointer):
    """Wrong kinds and odd values: never a crash, always a place."""
    with pytest.raises(Rejected) as refusal:
        composed(**mail)

    assert refusal.value.pointer == pointer


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param({"to": ["a@b.test"] * 1_000_000}, id="a million recipients"),
        pytest.param({"to": "a@b.test," * 1_000_000}, id="a million in a string"),
        pytest.param({"attachments": [{"content": ""}] * 10_000}, id="attachments"),
        pytest.param({"headers": {f"X-{n}": "" for n in range(10_000)}}, id="headers"),
        pytest.param({"headers": {"X": ["y"] * 100_000}}, id="values of a header"),
        pytest.param({"references": ["<a@b>"] * 100_000}, id="references"),
        pytest.param({"references": "<a@b> " * 10_000}, id="references in a string"),
        pytest.param({"alternatives": [{"content": ""}] * 1000}, id="alternatives"),
        pytest.param({"subject": "x" * 1_000_000}, id="subject"),
        pytest.param({"raw": "A: b\n" * 500_000 + "\n"}, id="header of raw"),
    ],
)
def test_counts_are_bounded(composed, mail):
    """Refused at once, whatever the size of the request."""

    def compose():
        with pytest.raises(Rejected):
            composed(**mail)

    assert costs_at_most(100, compose)


def test_recipients_are_counted_over_all_fields(composed):
    """To, Cc and Bcc share one limit."""
    fields = {"to": ["a@b.test"] * 2, "cc": ["c@b.test"], "bcc": "d@b.test"}

    assert composed(**fields, limits={"max_recipients": 4})
    with pytest.raises(Rejected) as refusal:
        composed(**fields, limits={"max_recipients": 3})

    assert refusal.value.pointer == "/bcc"
    assert str(refusal.value.reply.status) == "5.5.3"


def test_content_cannot_end_its_part(composed):
    """Boundaries come from a token that no content has seen."""
    first = composed(text="a", html="b")
    boundary = first.header.split(b'boundary="')[1].split(b'"')[0].decode()

    second = composed(text=f"--{boundary}--\r\nx", html="b")

    assert boundary.encode() not in second.header


words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["a@b.test", "data:,x", "base64", "8bit", "text/plain", "message/x"]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words)
inner = st.sampled_from(
    [
        "name",
        "address",
        "content",
        "encoding",
        "path",
        "raw",
        "filename",
        "contentType",
        "cid",
        "headers",
        "method",
        "contentDisposition",
        "contentTransferEncoding",
        "from",
        "to",
        "key",
        "value",
    ]
)
values = st.recursive(
    scalars,
    lambda deeper: st.one_of(
        st.lists(deeper, max_size=3), st.dictionaries(inner, deeper, max_size=4)
    ),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        "sender",
        "replyTo",
        "cc",
        "bcc",
        "subject",
        "messageId",
        "date",
        "inReplyTo",
        "references",
        "text",
        "html",
        "alternatives",
        "attachments",
        "icalEvent",
        "headers",
        "raw",
        "envelope",
        "encoding",
        "textEncoding",
    ]
)


@given(st.dictionaries(fields, values, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_composed_or_refused(composed, mail):
    """Never another exception, never a field that nobody asked for."""
    try:
        message = composed(**mail)
    except Rejected:
        return

    assert b"\n" not in message.content.replace(b"\r\n", b"")
    if "raw" not in mail:
        names = [name for name, _ in HeaderSection.parse(message.header).fields()]
        assert "" not in names
        assert names.count("from") == 1
