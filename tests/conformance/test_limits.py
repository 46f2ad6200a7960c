"""How much, how many, how often and how long: every limit has an answer."""

import random

import pytest

from tests.conformance.harness import Case, each


def proxied_from(address):
    return f"PROXY TCP4 {address} 192.0.2.1 40000 25\r\n".encode()


@each(
    Case(
        "5321 4.5.3.1.8",
        "a hundred recipients",
        "MAIL FROM:<ada@example.test> -> 250\n"
        + "\n".join(f"RCPT TO:<r{n}@example.test>" for n in range(100))
        + " -> "
        + ", ".join(["250 2.1.5"] * 100)
        + "\nDATA -> 354\n. -> 250",
        takes={"recipients": [f"r{n}@example.test" for n in range(100)]},
    ),
    Case(
        "5321 4.5.3.1.10",
        "one more is for another transaction",
        "MAIL FROM:<ada@example.test> -> 250\n"
        + "\n".join(f"RCPT TO:<r{n}@example.test>" for n in range(101))
        + " -> "
        + ", ".join(["250 2.1.5"] * 100)
        + ", 452 4.5.3\nRCPT TO:<r7@example.test> -> 250\nDATA -> 354\n. -> 250\n"
        + "MAIL FROM:<ada@example.test> -> 250\nRCPT TO:<r100@example.test> -> 250\n"
        + "DATA -> 354\n. -> 250",
        takes=({}, {"recipients": ["r100@example.test"]}),
    ),
    Case(
        "5321 4.5.3.1.10",
        "5,000 are too many, and the session goes on",
        "MAIL FROM:<ada@example.test> -> 250\n"
        + "\n".join(f"RCPT TO:<r{n}@example.test>" for n in range(5000))
        + " -> "
        + ", ".join(["250"] * 100 + ["452 4.5.3"] * 4900)
        + "\nDATA -> 354\n. -> 250",
        takes={},
    ),
    Case(
        "5321 3.8",
        "nine unknown commands",
        "XYZZY\n" * 8 + "XYZZY -> " + ", ".join(["500 5.5.2"] * 9),
    ),
    Case(
        "5321 3.8",
        "the tenth unknown command is the end",
        "XYZZY\n" * 10 + "NOOP -> " + "500 5.5.2, " * 9 + "421 4.7.0, EOF",
    ),
    Case(
        "5321 3.8",
        "a hundred commands without a message are the end",
        "RSET\n" * 120 + "NOOP -> " + "250, " * 98 + "421 4.7.0, EOF",
    ),
    Case(
        "5321 3.8",
        "a client at work may stay",
        ("MAIL FROM:<> -> 250\n" + "RSET -> 250\n" * 90) * 2 + "NOOP -> 250",
    ),
)
def test_within_a_session(play, case):
    """RFC 5321 §4.5.3.1 and §3.8: a limit is told, and 421 before the end."""
    play(case)


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        ("BDAT", "0 LAST"),
        ("EXPN", "staff"),
        ("HELO", "client.test"),
        ("HELP", ""),
        ("VRFY", "bob"),
        ("XCLIENT", "NAME=a"),
        ("XFORWARD", "NAME=a"),
    ],
)
def test_what_is_disabled_is_not_implemented(connect, verb, argument):
    """RFC 5321 §4.2.4: 502, in any case of the verb."""
    client = connect("bare").greeted()

    assert client.say(f"{verb.title()} {argument}").begins("502 5.5.1")
    client.play("NOOP -> 250")


def test_what_is_hidden_is_not_offered(connect):
    """RFC 5321 §2.2.1: EHLO with nothing to offer is one line."""
    client = connect("bare").greeted("")

    assert client.say("EHLO client.test").lines == ("mx.test",)
    client.play("@content\n. -> 250")


def test_silence_is_answered_with_421(connect, servers):
    """RFC 5321 §4.5.3.2.7: a client that says nothing is let go, and told so."""
    client = connect("impatient")
    other = connect("impatient").greeted()
    other.play("@content\nhalf of it ->", goodbye=False)

    client.expect("220")
    client.expect("421 4.4.2")
    client.expect("EOF")
    other.expect("421 4.4.2")
    other.expect("EOF")
    other.close()
    server = servers("impatient")
    assert any(not server.tell().open for _ in range(10_000))


def test_who_talks_first_is_no_mail_client(connect):
    """RFC 5321 §3.1: a client must wait for the greeting."""
    client = connect("wary", preface=b"EHLO client.test\r\n")

    client.expect("554 5.5.1")
    client.expect("EOF")


def test_who_waits_is_greeted(connect):
    """RFC 5321 §3.1, §4.3.1: then the greeting comes, and nothing is lost."""
    connect("wary").greeted().play("NOOP -> 250")


def test_strangers_hear_554_in_place_of_the_greeting(connect):
    """RFC 5321 §3.1: and are not asked what they want (RFC 7504 is not needed)."""
    client = connect("private")

    client.expect("554 5.7.1")
    client.expect("EOF")


def test_too_many_clients_hear_421(connect):
    """RFC 5321 §3.8: come back later; those who are here are served."""
    first = connect("small").greeted()
    second = connect("small").greeted()

    third = connect("small")
    third.expect("421 4.7.0")
    third.expect("EOF")
    first.play("NOOP -> 250")
    second.play("NOOP -> 250")


def test_too_many_clients_from_one_address_hear_421(connect):
    """RFC 5321 §7.8: an address has its share, and others have theirs."""
    for _ in range(2):
        connect("door", preface=proxied_from("192.0.2.1")).greeted()

    third = connect("door", preface=proxied_from("192.0.2.1"))
    third.expect("421 4.7.0 Too many connections at once")
    third.expect("EOF")
    connect("door", preface=proxied_from("192.0.2.2")).greeted()


def test_who_comes_too_often_hears_421(connect):
    """RFC 5321 §7.8: three an hour; the fourth has to wait, and only that address."""
    for _ in range(3):
        connect("rated", preface=proxied_from("192.0.2.3")).greeted().play(
            "NOOP -> 250"
        )

    fourth = connect("rated", preface=proxied_from("192.0.2.3"))
    fourth.expect("421 4.7.0 Your address connects too often,")
    fourth.expect("EOF")
    connect("rated", preface=proxied_from("192.0.2.4")).greeted()


def test_junk_ends_the_session(connect):
    """RFC 5321 §3.8: not a mebibyte of it is worth an answer a line (C32)."""
    client = connect("plain").greeted("")

    client.send(random.Random(1).randbytes(1024 * 1024))

    replies = 0
    while (reply := client.read()) is not None:
        assert reply.code >= 400
        replies += 1
    assert 0 < replies <= 100


def test_as_many_recipients_are_taken_as_are_offered(connect):
    """RFC 9422 §4.2: whoever keeps to RCPTMAX hears no 452."""
    client = connect("plain").greeted("")
    limits = client.say("EHLO client.test").lines[-1]
    most = int(limits.removeprefix("LIMITS RCPTMAX="))

    client.say("MAIL FROM:<ada@example.test>")

    for number in range(most):
        assert client.say(f"RCPT TO:<r{number}@example.test>").begins("250 2.1.5")
    assert client.say("RCPT TO:<one-more@example.test>").begins("452 4.5.3")


def test_many_refused_recipients_are_the_end(connect):
    """RFC 5321 §3.8: 10,000 refusals are patience enough (R05)."""
    client = connect("plain").greeted()
    client.say("MAIL FROM:<ada@example.test>")

    for _ in range(10):
        client.send(b"RCPT TO:<nobody@example.test>\r\n" * 1000)
        for _ in range(999):
            client.expect("550 5.1.1")
        last = client.read()

    assert last.begins("421 4.7.0")
    client.expect("EOF")
