import pytest

from mta.delivery import Notice, Notify, Wishes
from mta.reply import Reply
from mta.smtp.client import (
    MAX_LINE_BYTES,
    MAX_REPLY_LINES,
    ClientSession,
    DotStuffer,
    ProtocolError,
    ReplyReader,
    Transaction,
    Verb,
)

EHLO = (
    b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"
    b"250 SMTPUTF8\r\n"
)
BARE_EHLO = b"250 mx.test\r\n"


def a_session(ehlo: bytes = EHLO) -> ClientSession:
    session = ClientSession()
    session.receive(b"220 mx.test\r\n")
    session.ehlo("client.test")
    session.receive(ehlo)
    return session


def octets(session: ClientSession, **changes: object) -> list[bytes]:
    fields = {"reverse_path": "ada@a.test", "forward_path": "bob@b.test", **changes}
    blocks = session.begin(Transaction(**fields), reset=False)
    return [block.octets for block in blocks]


@pytest.mark.parametrize(
    "feeds",
    [
        pytest.param([b"250-a\r\n250 b\r\n220 c\r\n"], id="whole"),
        pytest.param([bytes([o]) for o in b"250-a\r\n250 b\r\n220 c\r\n"], id="octets"),
        pytest.param([b"250-a\n250 b\n220 c\n"], id="bare line feeds"),
    ],
)
def test_replies_are_the_same_however_they_are_cut(feeds):
    """A reply ends at its last line's end, not where a read happened to end."""
    reader = ReplyReader()

    replies = [reply for data in feeds for reply in reader.feed(data)]

    assert replies == [Reply(250, None, ("a", "b")), Reply(220, None, ("c",))]
    assert reader.is_empty


def test_half_a_reply_is_not_empty():
    """What is left over shows, so that a session can be judged unusable."""
    reader = ReplyReader()

    assert list(reader.feed(b"250 OK\r\n25")) == [Reply(250, None, ("OK",))]
    assert not reader.is_empty


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"250-x\r\n" * (MAX_REPLY_LINES + 1), id="lines without end"),
        pytest.param(b"2" * (MAX_LINE_BYTES + 1), id="line without end"),
        pytest.param(b"250 " + b"x" * MAX_LINE_BYTES + b"\r\n", id="long line"),
        pytest.param((b"250-" + b"x" * 4000 + b"\r\n") * 20, id="too many octets"),
        pytest.param(b"250-a\r\n550 b\r\n", id="code changes"),
        pytest.param(b"hello\r\n", id="no code"),
        pytest.param(b"SSH-2.0-x\r\n", id="no code, and a hyphen where one may be"),
        pytest.param(b"\r\n", id="empty line"),
        pytest.param(b"999 x\r\n", id="code out of range"),
    ],
)
def test_what_is_no_reply_is_an_error(data):
    """A server that does not speak SMTP is not guessed at."""
    with pytest.raises(ProtocolError):
        list(ReplyReader().feed(data))


def test_control_characters_do_not_get_out_of_a_reply():
    """NUL and escape sequences would end up in logs and terminals."""
    (reply,) = ReplyReader().feed(b"550 \x00\x1b[2J no\r\n")

    assert reply.text == ("??[2J no",)


def test_transaction_is_pipelined_where_offered():
    """One write for MAIL, RCPT and DATA; DATA is last (RFC 2920 §3.1)."""
    assert octets(a_session()) == [
        b"MAIL FROM:<ada@a.test>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n"
    ]


def test_transaction_goes_step_by_step_where_pipelining_is_not_offered():
    """A server without PIPELINING sees one command at a time."""
    session = a_session(BARE_EHLO)
    transaction = Transaction(reverse_path="", forward_path="bob@b.test", size=5)

    blocks = session.begin(transaction, reset=True)

    assert [block.octets for block in blocks] == [
        b"RSET\r\n",
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<bob@b.test>\r\n",
        b"DATA\r\n",
    ]


def test_parameters_are_sent_when_offered_and_needed():
    """SIZE, BODY and SMTPUTF8 go out only to servers that know them."""
    needs = {"size": 900, "is_8bit": True, "is_utf8": True}

    assert octets(a_session(), **needs)[0].startswith(
        b"MAIL FROM:<ada@a.test> SIZE=900 BODY=8BITMIME SMTPUTF8\r\n"
    )
    assert octets(a_session(BARE_EHLO), **needs)[0] == b"MAIL FROM:<ada@a.test>\r\n"


WISHES = Wishes(
    ret="HDRS",
    envid="QQ 1",
    notice=Notice(frozenset({Notify.SUCCESS, Notify.DELAY}), "rfc822;bob+x@b.test"),
)


def test_wishes_are_passed_on_to_a_server_that_knows_them():
    """RFC 3461 §5.2.1; encoded again as xtext."""
    [group] = octets(a_session(EHLO.replace(b"SMTPUTF8", b"DSN")), wishes=WISHES)

    assert b"MAIL FROM:<ada@a.test> RET=HDRS ENVID=QQ+201\r\n" in group
    assert (
        b"RCPT TO:<bob@b.test> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;bob+2Bx@b.test\r\n"
        in group
    )


def test_a_server_that_does_not_know_wishes_hears_none():
    """It would answer 555."""
    [group] = octets(a_session(), wishes=WISHES)

    assert b"MAIL FROM:<ada@a.test>\r\nRCPT TO:<bob@b.test>\r\n" in group


def test_an_original_recipient_beyond_ascii_is_escaped():
    """RFC 6533 §3: so that every server with DSN may have it."""
    wishes = Wishes(notice=Notice(orcpt="utf-8;zoë@b.test"))
    [group] = octets(a_session(EHLO.replace(b"SMTPUTF8", b"DSN")), wishes=wishes)

    assert rb"ORCPT=utf-8;zo\x{EB}@b.test" in group


def test_address_beyond_ascii_asks_for_smtputf8():
    """An address may need RFC 6531 where the header section does not."""
    sent = octets(a_session(), forward_path="jõgeva@b.test")[0]

    assert b"SMTPUTF8" in sent
    assert "RCPT TO:<jõgeva@b.test>\r\n".encode() in sent


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("a@b.test>\r\nDATA\r\n", id="line end"),
        pytest.param("a@b.test> SIZE=1", id="parameter"),
        pytest.param("a\x00@b.test", id="nul"),
        pytest.param("a" * 400 + "@b.test", id="too long"),
        pytest.param('"a\nb"@b.test', id="line feed in quotes"),
    ],
)
def test_address_cannot_smuggle_in_a_command(path):
    """Whoever let it through, it does not reach the wire."""
    with pytest.raises(ValueError, match="wire"):
        octets(a_session(), forward_path=path)


def test_address_beyond_ascii_is_not_sent_to_a_server_without_smtputf8():
    """Raw UTF-8 is not said to who did not offer to hear it (RFC 6531 §3.2)."""
    with pytest.raises(ValueError, match="ascii"):
        octets(a_session(BARE_EHLO), forward_path="jõgeva@b.test")


def test_space_is_fine_in_a_quoted_local_part():
    """A quoted local part may hold a space (RFC 5321 §4.1.2)."""
    assert b'<"a b"@b.test>' in octets(a_session(), forward_path='"a b"@b.test')[0]


def test_replies_are_matched_to_commands():
    """Each reply of a group belongs to the command of its place."""
    session = a_session()
    transaction = Transaction(reverse_path="a@a.test", forward_path="b@b.test")
    for block in session.begin(transaction, reset=True):
        session.send(block)

    matched = session.receive(b"250 a\r\n250 b\r\n550 c\r\n503 d\r\n")

    verbs = [verb for verb, _ in matched]
    assert verbs == [Verb.RSET, Verb.MAIL, Verb.RCPT, Verb.DATA]
    assert session.is_in_step


def test_reply_too_many_is_an_error():
    """A reply nobody waits for would shift all that follow."""
    with pytest.raises(ProtocolError, match="too many"):
        a_session().receive(b"250 surprise\r\n")


def test_octets_after_the_reply_to_starttls_are_an_error():
    """What came in clear must not be read as if it came by TLS (RFC 3207 §4.2)."""
    session = a_session(b"250-mx.test\r\n250 STARTTLS\r\n")
    session.starttls()

    with pytest.raises(ProtocolError):
        session.receive(b"220 go\r\n250-evil")


def test_starttls_forgets_what_was_offered_in_clear():
    """Knowledge from before TLS is dropped (RFC 3207 §4.2)."""
    session = a_session(b"250-mx.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
    session.starttls()
    session.receive(b"220 go\r\n")

    assert not session.extensions


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        pytest.param(b"SIZE 1000", 1000, id="a limit"),
        pytest.param(b"SIZE 0", None, id="no fixed limit"),
        pytest.param(b"SIZE", None, id="no number"),
        pytest.param(b"SIZE lots", None, id="nonsense"),
    ],
)
def test_size_limit_is_read_from_the_offer(offer, expected):
    """RFC 1870 §4: a number, zero, or nothing."""
    session = a_session(b"250-mx.test\r\n250 " + offer + b"\r\n")

    assert session.max_size == expected


def stuff(*chunks: bytes) -> bytes:
    stuffer = DotStuffer()
    return b"".join(map(stuffer.feed, chunks)) + stuffer.close()


STUFFED = [
    pytest.param(b"", b".\r\n", id="empty"),
    pytest.param(b"a\r\n", b"a\r\n.\r\n", id="plain"),
    pytest.param(b"a", b"a\r\n.\r\n", id="no line end at the end"),
    pytest.param(b".\r\n", b"..\r\n.\r\n", id="dot first"),
    pytest.param(b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n", id="dots"),
    pytest.param(b"a.b\r\n", b"a.b\r\n.\r\n", id="dot within a line"),
    pytest.param(b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n", id="bare line feeds"),
    pytest.param(b"a\r.\rb\r", b"a\r\n..\r\nb\r\n.\r\n", id="bare returns"),
    pytest.param(b"\r\r\n\n\r", b"\r\n\r\n\r\n\r\n.\r\n", id="mixed"),
    pytest.param(b"\n.\r\n", b"\r\n..\r\n.\r\n", id="smuggled end"),
]


@pytest.mark.parametrize(("content", "expected"), STUFFED)
def test_dots_are_stuffed_and_line_ends_made_whole(content, expected):
    """Nothing in the content can end it (RFC 5321 §4.5.2)."""
    assert stuff(content) == expected


@pytest.mark.parametrize(("content", "expected"), STUFFED)
def test_dot_stuffing_does_not_depend_on_chunk_borders(content, expected):
    """Octet by octet gives what the whole gives."""
    assert stuff(*(bytes([octet]) for octet in content)) == expected


def test_clean_content_is_not_copied():
    """Content from our own spool goes out as it is, without a copy."""
    chunk = b"some line\r\n" * 100

    assert DotStuffer().feed(chunk) is chunk


@pytest.mark.parametrize("junk", [b"250 again\r\n", b"junk\r\n", b"250-half"])
def test_junk_behind_a_reply_does_not_undo_it(junk):
    """What was answered well counts; the session is over all the same."""
    session = ClientSession()

    assert [reply.code for _, reply in session.receive(b"220 mx\r\n" + junk)] == [220]
    assert not session.is_in_step
