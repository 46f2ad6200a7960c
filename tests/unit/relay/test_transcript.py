"""What a transcript keeps of a session, however much is said in it."""

import pytest

from mta.errors import AttemptFailed
from mta.relay.search import Search
from mta.relay.transcript import (
    MAX_CHARS,
    MAX_LINES,
    MAX_REPLY_CHARS,
    Talk,
    Talks,
    Transcript,
)
from mta.reply import Reply, make_reply
from tests.unit.relay.fakes import (
    SECOND,
    Clock,
    FakeConnector,
    FakeSession,
    a_request,
    failure,
)


@pytest.fixture
def transcript(clock):
    return Transcript(clock)


def lines_of(transcript: Transcript) -> list[str]:
    return str(transcript.snapshot()).splitlines()


def a_failure(talk: object, *, next_host: bool = True) -> AttemptFailed:
    failed = failure(next_host=next_host)
    failed.talk = talk
    return failed


def test_each_line_tells_when_who_and_what(transcript, clock):
    """Seconds since the first line; C is us, S the server, - is neither."""
    transcript.note("connected to mx.test[192.0.2.25]")
    clock.now += 0.25
    transcript.heard(make_reply(220, None, "mx.test ESMTP"))
    clock.now += 1.5
    transcript.sent(b"EHLO us.test\r\n")

    assert lines_of(transcript) == [
        "   0.000 - connected to mx.test[192.0.2.25]",
        "   0.250 S 220 mx.test ESMTP",
        "   1.750 C EHLO us.test",
    ]


def test_commands_that_travel_together_are_told_one_by_one(transcript):
    """A pipelined group is read like any other dialogue."""
    transcript.sent(b"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n")

    assert [line.split(" C ")[1] for line in lines_of(transcript)] == [
        "MAIL FROM:<a@a.test>",
        "RCPT TO:<b@b.test>",
        "DATA",
    ]


def test_a_reply_of_many_lines_is_told_in_many(transcript):
    """Each with the code and the status."""
    transcript.heard(make_reply(550, "5.7.1", "no", "see our page"))

    assert [line[11:] for line in lines_of(transcript)] == [
        "550 5.7.1 no",
        "550 5.7.1 see our page",
    ]


def test_a_reply_without_text_is_its_code(transcript):
    """RFC 5321 §4.2.1 allows it."""
    transcript.heard(Reply(250, None, ()))

    assert lines_of(transcript) == ["   0.000 S 250 "]


def test_content_is_counted_and_not_kept(transcript, clock):
    """Piece by piece, in one line, with the time of the first."""
    transcript.sent_content(65_536)
    clock.now += 3
    transcript.sent_content(1_000)

    assert lines_of(transcript) == ["   0.000 C [66536 octets of content]"]


def test_octets_that_are_no_utf8_are_told_all_the_same(transcript):
    """Made visible, whatever they are."""
    transcript.sent(b"MAIL FROM:<\xff@a.test>\r\n")

    assert lines_of(transcript) == ["   0.000 C MAIL FROM:<\\xff@a.test>"]


def test_of_a_long_session_the_beginning_and_the_end_are_kept(transcript):
    """Between them stands how much is missing."""
    for number in range(MAX_LINES + 50):
        transcript.sent(f"NOOP {number}\r\n".encode())

    told = [line.partition("NOOP ")[2] or line for line in lines_of(transcript)]
    half = MAX_LINES // 2
    assert told[: half + 1] == [*map(str, range(half)), "... 50 lines are left out"]
    assert told[half + 1 :] == [*map(str, range(half + 50, MAX_LINES + 50))]


def test_what_is_left_out_is_told_where_it_is_missing(transcript):
    """However many lines the replies before it have."""
    for number in range(MAX_LINES + 1):
        transcript.heard(make_reply(250, None, f"{number}", "and more"))

    told = lines_of(transcript)
    at = told.index("... 1 lines are left out")
    before, after = told[at - 1 : at + 2 : 2], told[at + 1]
    assert (len(before), at) == (2, MAX_LINES)
    assert after.endswith(f"250 {MAX_LINES // 2 + 1}")


def test_a_long_line_is_cut(transcript):
    """Its beginning says what it is."""
    transcript.sent(b"EHLO " + b"x" * 10_000)

    (line,) = lines_of(transcript)
    assert len(line) == len("   0.000 C ") + MAX_CHARS


def test_of_a_long_reply_the_beginning_is_kept(transcript):
    """It ends with three dots, and so does what is kept of it in memory."""
    transcript.heard(make_reply(250, None, *["x" * 4_000] * 16))

    told = lines_of(transcript)
    assert told[-1].endswith("250 ...")
    assert len(told) == MAX_REPLY_CHARS // MAX_CHARS + 1


def test_a_server_that_talks_without_end_fills_no_memory(transcript):
    """The longest replies that are read at all, a thousand times."""
    for _ in range(1_000):
        transcript.heard(make_reply(250, None, *["y" * 640] * 100))

    kept = sum(len(text) for line in transcript.lines for text in line.what.text)
    assert kept <= MAX_LINES * (MAX_REPLY_CHARS + len("..."))


def test_who_holds_the_lines_keeps_them_when_it_begins_anew(transcript):
    """The next message on a session has nothing to do with the one before."""
    transcript.sent(b"MAIL FROM:<first@a.test>\r\n")
    first = transcript.snapshot()

    transcript.begin()
    transcript.sent(b"MAIL FROM:<second@a.test>\r\n")

    assert "first" in str(first)
    assert "second" not in str(first)
    assert "first" not in str(transcript.snapshot())


def test_what_comes_after_a_snapshot_follows_in_it(transcript):
    """A failure is told together with the words that end the session."""
    transcript.sent(b"EHLO us.test\r\n")
    talk = transcript.snapshot()

    transcript.sent(b"QUIT\r\n")

    assert str(talk).endswith("QUIT")


@pytest.mark.parametrize(
    ("talk", "is_something"),
    [
        (Talk(), False),
        (Talks([]), False),
        (Talks(["", Talk()]), False),
        (Talks(["", "said"]), True),
    ],
    ids=["nothing", "no hosts", "hosts that cannot be reached", "one that spoke"],
)
def test_where_nothing_was_said_there_is_nothing(talk, is_something):
    """So that no empty transcript is kept."""
    assert (bool(talk), bool(str(talk))) == (is_something, is_something)


def test_hosts_that_would_not_do_are_told_in_their_order():
    """With an empty line between them; the best one's word is the failure."""
    search = Search(SECOND, SECOND)
    for talk in ("first", "", "third"):
        search.note(a_failure(talk))

    assert str(search.result.talk) == "first\n\nthird"


def test_the_host_that_has_the_last_word_is_told_after_the_others():
    """Also if what it says is the failure: the way to it belongs to the story."""
    search = Search(SECOND, SECOND)
    search.note(a_failure("first"))
    last = a_failure("last", next_host=False)

    with pytest.raises(AttemptFailed):
        search.note(last)

    assert str(last.talk) == "first\n\nlast"


def test_what_was_said_goes_with_a_message_that_was_taken(a_relay):
    """As it was when the session was still this message's own."""
    session = FakeSession()
    session.talk = "what was said"

    sent = a_relay(FakeConnector(session)).send(a_request())

    assert sent.talk == "what was said"


def test_the_clock_is_asked_once_for_each_line():
    """Not when the transcript is read."""
    clock = Clock()
    transcript = Transcript(clock)
    transcript.note("now")

    clock.now += 1_000

    assert lines_of(transcript) == ["   0.000 - now"]
