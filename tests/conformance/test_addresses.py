"""Paths: what is a mailbox, how long it may be, and what becomes of it."""

import pytest

from tests.conformance.harness import Case, each

LONG_LOCAL_PART = "x" * 64
LONG_DOMAIN = ".".join(["y" * 63, "y" * 63, "y" * 63, "y" * 63])  # 255 octets

# What RCPT says, and what the intake gets.
TAKEN = {
    "5321 4.1.2 a dot-string": ("a.b.c@example.test", "a.b.c@example.test"),
    "5321 4.1.2 every atom character": (
        "!#$%&'*+/=?^_`{|}~-@example.test",
        "!#$%&'*+/=?^_`{|}~-@example.test",
    ),
    "5321 4.1.2 a quoted string": ('"a b"@example.test', '"a b"@example.test'),
    "5321 4.1.2 a quoted at sign": ('"a@b"@example.test', '"a@b"@example.test'),
    "5321 4.1.2 a quoted bracket": ('"a>b"@example.test', '"a>b"@example.test'),
    "5321 4.1.2 a quoted pair": (r'"a\"b"@example.test', r'"a\"b"@example.test'),
    "5321 4.1.2 an empty quoted string": ('""@example.test', '""@example.test'),
    "5321 2.3.5 a host without dots": ("bob@localhost", "bob@localhost"),
    "5321 2.3.5 digits alone": ("1@2.test", "1@2.test"),
    "5321 2.4 case of the local part": ("BoB@example.test", "BoB@example.test"),
    "5321 2.4 case of the domain": ("bob@EXAMPLE.Test", "bob@example.test"),
    "5321 4.1.3 an IPv4 literal": ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
    "5321 4.1.3 an IPv6 literal": (
        "bob@[IPv6:2001:db8::1]",
        "bob@[ipv6:2001:db8::1]",
    ),
    "5321 4.1.1.3 a source route": (
        "@relay.test,@other.test:bob@example.test",
        "bob@example.test",
    ),
    "5321 4.5.1 postmaster alone": ("Postmaster", "Postmaster@mx.test"),
    "5321 4.5.1 postmaster in any case": ("pOSTMASTER", "pOSTMASTER@mx.test"),
    "5321 4.5.1 postmaster somewhere": (
        "postmaster@example.test",
        "postmaster@example.test",
    ),
    "5321 4.5.3.1.1 64 octets of local part": (
        f"{LONG_LOCAL_PART}@example.test",
        f"{LONG_LOCAL_PART}@example.test",
    ),
    "5321 4.5.3.1.2 255 octets of domain": (f"b@{LONG_DOMAIN}", f"b@{LONG_DOMAIN}"),
    "5890 2.3.2.1 an A-label": (
        "bob@xn--bcher-kva.test",
        "bob@xn--bcher-kva.test",
    ),
    "5321 2.3.11 a percent hack is a name": (
        "bob%other.test@example.test",
        "bob%other.test@example.test",
    ),
    "5321 2.3.11 a bang path is a name": (
        "other.test!bob@example.test",
        "other.test!bob@example.test",
    ),
    "5321 2.3.11 a shell's words are a name": (
        "`id`|$HOME&{run}@example.test",
        "`id`|$HOME&{run}@example.test",
    ),
}

# What RCPT says, and the reply; with MAIL it is 501 5.1.7.
REFUSED = {
    "5321 4.1.2 nothing": ("", "553 5.1.3"),
    "5321 4.1.2 a local part alone": ("bob", "553 5.1.3"),
    "5321 4.1.2 a domain alone": ("@example.test", "553 5.1.3"),
    "5321 4.1.2 no domain": ("bob@", "553 5.1.3"),
    "5321 4.1.2 two at signs": ("bob@a.test@b.test", "553 5.1.3"),
    "5321 4.1.2 a dot in front": (".bob@example.test", "553 5.1.3"),
    "5321 4.1.2 a dot behind": ("bob.@example.test", "553 5.1.3"),
    "5321 4.1.2 two dots": ("bob..b@example.test", "553 5.1.3"),
    "5321 4.1.2 a blank": ("bob b@example.test", "553 5.1.3"),
    "5321 4.1.2 a comment": ("bob(b)@example.test", "553 5.1.3"),
    "5321 4.1.2 a comma": ("bob,cy@example.test", "553 5.1.3"),
    "5321 4.1.2 half a quote": ('"bob"b@example.test', "553 5.1.3"),
    "5321 4.1.2 a hyphen in front": ("bob@-example.test", "553 5.1.3"),
    "5321 4.1.2 a hyphen behind": ("bob@example-.test", "553 5.1.3"),
    "5321 4.1.2 an empty label": ("bob@example..test", "553 5.1.3"),
    "5321 2.3.5 a dot at the end of a domain": ("bob@example.test.", "553 5.1.3"),
    "5321 4.1.3 an IPv4 address that is none": ("bob@[192.0.2.256]", "553 5.1.3"),
    "5321 4.1.3 an IPv6 address without its tag": ("bob@[2001:db8::1]", "553 5.1.3"),
    "5321 4.1.3 an IPv6 address that is none": ("bob@[IPv6:1::2::3]", "553 5.1.3"),
    "5321 4.1.3 an empty literal": ("bob@[]", "553 5.1.3"),
    "5321 4.1.1.3 a source route to nobody": ("@relay.test:", "553 5.1.3"),
    "5321 4.5.3.1.1 65 octets of local part": ("x" * 65 + "@b.test", "501 5.1.3"),
    "5321 4.5.3.1.2 256 octets of domain": (
        f"b@{LONG_DOMAIN[:-1]}.y",
        "501 5.1.3",
    ),
    "1035 2.3.4 64 octets of label": (f"bob@{'y' * 64}.test", "501 5.1.3"),
    "5321 4.1.2 a command of a shell": ("|/bin/sh -c x@example.test", "553 5.1.3"),
}


def as_ids(table):
    return pytest.mark.parametrize(("path", "wanted"), table.values(), ids=table.keys())


@as_ids(TAKEN)
def test_a_mailbox_is_taken(connect, servers, path, wanted):
    """RFC 5321 §4.1.2: as recipient and, but for ``Postmaster``, as sender."""
    client = connect("plain").greeted()

    reverse_path = path if "@" in path else ""
    assert client.say(f"MAIL FROM:<{reverse_path}>").begins("250 2.1.0")
    assert client.say(f"RCPT TO:<{path}>").begins("250 2.1.5")
    client.play("DATA -> 354\n. -> 250")

    message = servers("plain").tell().message
    assert message["recipients"] == [wanted]
    assert message["reverse_path"] == (wanted if reverse_path else "")


@as_ids(REFUSED)
def test_a_recipient_that_is_none_is_refused(connect, path, wanted):
    """RFC 5321 §4.1.2, §4.2.3 (553) and §4.5.3.1; the transaction goes on."""
    client = connect("plain").greeted()
    client.say("MAIL FROM:<ada@example.test>")

    assert client.say(f"RCPT TO:<{path}>").begins(wanted)

    client.play("RCPT TO:<bob@example.test> -> 250")


@as_ids({what: row for what, row in REFUSED.items() if row[0]})
def test_a_sender_that_is_none_is_refused(connect, path, wanted):
    """RFC 5321 §4.1.2; no transaction is open after it."""
    client = connect("plain").greeted()

    assert client.say(f"MAIL FROM:<{path}>").begins("501 5.1.7")

    client.play("RCPT TO:<bob@example.test> -> 503")


@each(
    Case(
        "5321 4.5.5",
        "the null reverse path",
        "MAIL FROM:<> -> 250\nRCPT TO:<bob@example.test> -> 250\nDATA -> 354\n. -> 250",
        takes={"reverse_path": "", "recipients": ["bob@example.test"]},
    ),
    Case(
        "5321 4.5.5",
        "the null reverse path for more than one recipient",
        """
        MAIL FROM:<> -> 250
        RCPT TO:<bob@example.test> -> 250
        RCPT TO:<cy@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={
            "reverse_path": "",
            "recipients": ["bob@example.test", "cy@example.test"],
        },
    ),
    Case(
        "5321 4.1.1.2",
        "a source route of the sender's",
        "MAIL FROM:<@relay.test:ada@example.test> -> 250\n"
        "RCPT TO:<bob@example.test> -> 250\nDATA -> 354\n. -> 250",
        takes={"reverse_path": "ada@example.test"},
    ),
    Case(
        "5321 4.5.1",
        "postmaster is no sender without a domain",
        "MAIL FROM:<postmaster> -> 501 5.1.7",
    ),
    Case(
        "5321 3.3",
        "the same recipient twice is one",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<bob@example.test> -> 250
        RCPT TO:<bob@EXAMPLE.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
    Case(
        "5321 3.3",
        "the order of recipients is kept",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<z@example.test>
        RCPT TO:<a@example.test>
        RCPT TO:<m@example.test> -> 250, 250, 250
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["z@example.test", "a@example.test", "m@example.test"]},
    ),
    Case(
        "5321 4.2.5",
        "a transient refusal of one leaves the others alone",
        """
        MAIL FROM:<ada@example.test> -> 250
        RCPT TO:<busy@example.test> -> 450 4.2.1 Busy
        RCPT TO:<busy@example.test> -> 450 4.2.1 Busy
        RCPT TO:<bob@example.test> -> 250
        DATA -> 354
        . -> 250
        """,
        takes={"recipients": ["bob@example.test"]},
    ),
)
def test_envelope(play, case):
    """RFC 5321 §3.3: what the intake gets is what was accepted."""
    play(case)
