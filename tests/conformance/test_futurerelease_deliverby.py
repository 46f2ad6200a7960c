"""When a message is to leave, and until when it must arrive.

It is noon, July 1st 2026.
"""

from tests.conformance.harness import Case, each

BOB = "bob@example.test"
YEAR_S = 365 * 24 * 3600


def with_mail(parameters):
    return (
        f"MAIL FROM:<ada@example.test> {parameters} -> 250 2.1.0\n"
        f"RCPT TO:<{BOB}> -> 250\nDATA -> 354\n. -> 250"
    )


def bad_mail(parameters):
    return (
        f"MAIL FROM:<ada@example.test> {parameters} -> 501 5.5.4\n"
        f"RCPT TO:<{BOB}> -> 503 5.5.1"
    )


@each(
    Case(
        "4865 4",
        "held for an hour",
        with_mail("HOLDFOR=3600"),
        takes={"deliver_after": "2026-07-01T13:00:00+00:00"},
    ),
    Case(
        "4865 4",
        "held for as long as is offered",
        with_mail(f"HOLDFOR={YEAR_S}"),
        takes={"deliver_after": "2027-07-01T12:00:00+00:00"},
    ),
    Case("4865 4", "held for longer", bad_mail(f"HOLDFOR={YEAR_S + 1}")),
    Case("4865 4", "held for no time", bad_mail("HOLDFOR=0")),
    Case("4865 4", "held for a negative time", bad_mail("HOLDFOR=-1")),
    Case("4865 4", "held for ten digits", bad_mail("HOLDFOR=1000000000")),
    Case("4865 4", "held for some time", bad_mail("HOLDFOR=1h")),
    Case("4865 4", "HOLDFOR without a value", bad_mail("HOLDFOR")),
    Case(
        "4865 4",
        "held until Christmas",
        with_mail("HOLDUNTIL=2026-12-24T18:00:00Z"),
        takes={"deliver_after": "2026-12-24T18:00:00+00:00"},
    ),
    Case(
        "3339 5.6",
        "held until an hour somewhere else",
        with_mail("HOLDUNTIL=2026-12-24T18:00:00+02:00"),
        takes={"deliver_after": "2026-12-24T16:00:00+00:00"},
    ),
    Case(
        "3339 5.6",
        "held until a fraction of a second",
        with_mail("holduntil=2026-12-24t18:00:00.5z"),
        takes={"deliver_after": "2026-12-24T18:00:00.500000+00:00"},
    ),
    Case(
        "4865 4",
        "held until as late as is offered",
        with_mail("HOLDUNTIL=2027-07-01T12:00:00Z"),
        takes={"deliver_after": "2027-07-01T12:00:00+00:00"},
    ),
    Case("4865 4", "held until later", bad_mail("HOLDUNTIL=2027-07-01T12:00:01Z")),
    Case("3339 5.6", "held until no day", bad_mail("HOLDUNTIL=2026-02-30T12:00:00Z")),
    Case(
        "3339 5.6",
        "held until nowhere's time",
        bad_mail("HOLDUNTIL=2026-12-24T18:00:00"),
    ),
    Case("3339 5.6", "held until a word", bad_mail("HOLDUNTIL=tomorrow")),
    Case(
        "4865 4",
        "both of them",
        bad_mail("HOLDFOR=60 HOLDUNTIL=2026-12-24T18:00:00Z"),
    ),
    Case("4865 4", "one of them twice", bad_mail("HOLDFOR=60 HOLDFOR=60")),
    Case(
        "4865 4",
        "the next message is not held",
        f"MAIL FROM:<> HOLDFOR=60 -> 250\nRSET -> 250\n{with_mail('')}",
        takes={"deliver_after": None},
    ),
    Case(
        "4865 4",
        "held where that is not offered",
        "MAIL FROM:<> HOLDFOR=60 -> 555 5.5.4",
        server="bare",
    ),
    Case(
        "4865 4",
        "held is for MAIL to say",
        "MAIL FROM:<> -> 250\nRCPT TO:<a@b.test> HOLDFOR=60 -> 555 5.5.4",
    ),
    Case(
        "2852 4",
        "within two minutes, or back",
        with_mail("BY=120;R"),
        takes={"expires_at": "2026-07-01T12:02:00+00:00", "late_at": None},
    ),
    Case(
        "2852 4",
        "a word when it is late",
        with_mail("BY=120;N"),
        takes={"expires_at": None, "late_at": "2026-07-01T12:02:00+00:00"},
    ),
    Case(
        "2852 4",
        "late already, on its way",
        with_mail("BY=-60;N"),
        takes={"expires_at": None, "late_at": "2026-07-01T11:59:00+00:00"},
    ),
    Case(
        "2852 4",
        "with a plus sign, and traced",
        with_mail("BY=+120;RT"),
        takes={"expires_at": "2026-07-01T12:02:00+00:00"},
    ),
    Case("2852 4", "in lower case", with_mail("by=120;rt"), takes={"late_at": None}),
    Case(
        "2852 4",
        "nine digits",
        with_mail("BY=999999999;N"),
        takes={"late_at": "2058-03-09T13:46:39+00:00"},
    ),
    Case("2852 4", "nothing comes back in no time", bad_mail("BY=0;R")),
    Case("2852 4", "nor in less", bad_mail("BY=-1;R")),
    Case("2852 4", "ten digits", bad_mail("BY=1000000000;R")),
    Case("2852 4", "no mode", bad_mail("BY=120")),
    Case("2852 4", "another mode", bad_mail("BY=120;X")),
    Case("2852 4", "no time", bad_mail("BY=;R")),
    Case("2852 4", "T in front", bad_mail("BY=120;TR")),
    Case("2852 4", "BY twice", bad_mail("BY=120;R BY=120;R")),
    Case("2852 4", "BY without a value", bad_mail("BY")),
    Case(
        "2852 3",
        "BY where it is not offered",
        "MAIL FROM:<> BY=9;R -> 555",
        server="bare",
    ),
    Case(
        "2852 4",
        "along with all others",
        with_mail("SIZE=10 BODY=8BITMIME RET=HDRS ENVID=x BY=3600;R HOLDFOR=60"),
        takes={
            "deliver_after": "2026-07-01T12:01:00+00:00",
            "expires_at": "2026-07-01T13:00:00+00:00",
            "ret": "HDRS",
            "envid": "x",
            "body_8bit": True,
        },
    ),
)
def test_times(play, case):
    """RFC 4865 §4 and RFC 2852 §4: a time is taken as it was meant, or refused."""
    play(case)


def test_a_time_that_has_passed_holds_nothing(connect, servers):
    """RFC 4865 §4: it may be refused; whoever takes it may not let it wait."""
    client = connect("plain").greeted()
    reply = client.say("MAIL FROM:<ada@example.test> HOLDUNTIL=2026-07-01T11:00:00Z")
    if reply.code == 501:
        return
    client.play(f"RCPT TO:<{BOB}> -> 250\nDATA -> 354\n. -> 250")

    message = servers("plain").tell().message
    assert message["deliver_after"] <= message["received_at"]
