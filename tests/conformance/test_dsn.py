"""What senders say of notices: it arrives whole, or is refused."""

import pytest

from tests.conformance.harness import Case, each

START = "MAIL FROM:<ada@example.test> -> 250\n"
END = "\nDATA -> 354\n. -> 250"
BOB = "bob@example.test"


def rcpt(parameters):
    return f"{START}RCPT TO:<{BOB}> {parameters} -> 250 2.1.5{END}"


def bad_rcpt(parameters):
    return f"{START}RCPT TO:<{BOB}> {parameters} -> 501 5.5.4"


@each(
    Case(
        "3461 4.1",
        "NOTIFY=NEVER",
        rcpt("NOTIFY=NEVER"),
        takes={"notices": {BOB: [["NEVER"], ""]}},
    ),
    Case(
        "3461 4.1",
        "NOTIFY with all three",
        rcpt("NOTIFY=SUCCESS,FAILURE,DELAY".replace(",", "\\x2c")),
        takes={"notices": {BOB: [["DELAY", "FAILURE", "SUCCESS"], ""]}},
    ),
    Case(
        "3461 4.1",
        "NOTIFY in lower case",
        rcpt("notify=failure"),
        takes={"notices": {BOB: [["FAILURE"], ""]}},
    ),
    Case("3461 4.1", "NEVER and another", bad_rcpt("NOTIFY=NEVER\\x2cDELAY")),
    Case("3461 4.1", "NOTIFY of another kind", bad_rcpt("NOTIFY=ALWAYS")),
    Case("3461 4.1", "NOTIFY with an empty word", bad_rcpt("NOTIFY=DELAY\\x2c")),
    Case("3461 4.1", "NOTIFY without a value", bad_rcpt("NOTIFY")),
    Case("3461 4.1", "NOTIFY twice", bad_rcpt("NOTIFY=DELAY NOTIFY=DELAY")),
    Case(
        "3461 4.1",
        "NOTIFY is for one recipient",
        f"{START}RCPT TO:<bob@example.test> NOTIFY=NEVER -> 250\n"
        f"RCPT TO:<cy@example.test> -> 250{END}",
        takes={
            "recipients": [BOB, "cy@example.test"],
            "notices": {BOB: [["NEVER"], ""]},
        },
    ),
    Case(
        "3461 4.2",
        "ORCPT",
        rcpt("ORCPT=rfc822;Bob@Example.TEST"),
        takes={"notices": {BOB: [[], "rfc822;Bob@Example.TEST"]}},
    ),
    Case(
        "3461 4.2",
        "ORCPT in xtext",
        rcpt("ORCPT=rfc822;bob+2Btag+3D1@example.test"),
        takes={"notices": {BOB: [[], "rfc822;bob+tag=1@example.test"]}},
    ),
    Case(
        "3461 4.2",
        "ORCPT of another type",
        rcpt("ORCPT=X400;/c=us/".replace("=us", "+3Dus")),
        takes={"notices": {BOB: [[], "x400;/c=us/"]}},
    ),
    Case("3461 4.2", "ORCPT without a type", bad_rcpt("ORCPT=bob@example.test")),
    Case("3461 4.2", "ORCPT without an address", bad_rcpt("ORCPT=rfc822;")),
    Case("3461 4", "ORCPT with a broken code", bad_rcpt("ORCPT=rfc822;bob+2@b.test")),
    Case(
        "3461 4",
        "ORCPT that hides CR LF",
        bad_rcpt("ORCPT=rfc822;b+0D+0AX:+20y@b.test"),
    ),
    Case("3461 4", "ORCPT that hides NUL", bad_rcpt("ORCPT=rfc822;b+00@b.test")),
    Case("3461 4.2", "ORCPT of 501 characters", bad_rcpt("ORCPT=rfc822;" + "x" * 494)),
    Case(
        "3461 4.2",
        "ORCPT twice",
        bad_rcpt("ORCPT=rfc822;a@b.test ORCPT=rfc822;a@b.test"),
    ),
    Case(
        "3461 4.2",
        "ORCPT of 500 characters",
        rcpt("ORCPT=rfc822;" + "x" * 493),
        takes={"notices": {BOB: [[], "rfc822;" + "x" * 493]}},
    ),
    Case(
        "6533 3",
        "ORCPT of type utf-8, in ASCII",
        rcpt(r"ORCPT=utf-8;zo\\x{EB}@example.test"),
        takes={"notices": {BOB: [[], "utf-8;zoë@example.test"]}},
    ),
    Case(
        "6533 3",
        "ORCPT of type utf-8, as it is",
        "MAIL FROM:<ada@example.test> SMTPUTF8 -> 250\n"
        f"RCPT TO:<{BOB}> ORCPT=utf-8;zoë@example.test -> 250{END}",
        takes={"notices": {BOB: [[], "utf-8;zoë@example.test"]}},
    ),
    Case(
        "6533 3",
        "ORCPT beyond ASCII without SMTPUTF8",
        bad_rcpt("ORCPT=utf-8;zoë@example.test"),
    ),
    Case(
        "6533 3",
        "ORCPT of type utf-8 that hides CR LF",
        bad_rcpt(r"ORCPT=utf-8;zo\\x{D}\\x{A}@example.test"),
    ),
    Case("3461 4.3", "RET of another kind", "MAIL FROM:<> RET=SOME -> 501 5.5.4"),
    Case("3461 4.3", "RET twice", "MAIL FROM:<> RET=FULL RET=HDRS -> 501 5.5.4"),
    Case(
        "3461 4.3", "RET is MAIL's", f"{START}RCPT TO:<a@b.test> RET=FULL -> 555 5.5.4"
    ),
    Case(
        "3461 4.4",
        "ENVID",
        f"MAIL FROM:<> ENVID=QQ314159+2B1 -> 250\nRCPT TO:<{BOB}> -> 250{END}",
        takes={"envid": "QQ314159+1", "ret": ""},
    ),
    Case(
        "3461 4.4",
        "ENVID of 100 characters",
        f"MAIL FROM:<> ENVID={'x' * 100} -> 250\nRCPT TO:<{BOB}> -> 250{END}",
        takes={"envid": "x" * 100},
    ),
    Case("3461 4.4", "ENVID of 101", f"MAIL FROM:<> ENVID={'x' * 101} -> 501 5.5.4"),
    Case("3461 4.4", "ENVID empty", "MAIL FROM:<> ENVID= -> 501 5.5.4"),
    Case(
        "3461 4", "ENVID that hides CR LF", "MAIL FROM:<> ENVID=a+0D+0Ab -> 501 5.5.4"
    ),
    Case("3461 4", "ENVID that is no xtext", "MAIL FROM:<> ENVID=a+zz -> 501 5.5.4"),
    Case(
        "3461 4.4", "ENVID is MAIL's", f"{START}RCPT TO:<a@b.test> ENVID=a -> 555 5.5.4"
    ),
    Case(
        "3461 4",
        "parameters where they are not offered",
        """
        MAIL FROM:<> RET=FULL -> 555 5.5.4
        MAIL FROM:<> -> 250
        RCPT TO:<bob@example.test> NOTIFY=NEVER -> 555 5.5.4
        """,
        server="bare",
    ),
    Case(
        "3461 4",
        "they are for one transaction",
        f"MAIL FROM:<> ENVID=x RET=HDRS -> 250\nRSET -> 250\n"
        f"RCPT TO:<{BOB}> -> 503\n@content\n. -> 250",
        takes={"envid": "", "ret": "", "notices": {}},
    ),
)
def test_notices(play, case):
    """RFC 3461 §4: what comes out decoded is what a DSN will say."""
    play(case)


@pytest.mark.parametrize("ret", ["FULL", "HDRS", "full", "hdrs"])
def test_how_much_is_to_be_returned(connect, servers, ret):
    """RFC 3461 §4.3: all of it, or its header section."""
    client = connect("plain").greeted()
    client.play(f"MAIL FROM:<> RET={ret} -> 250\nRCPT TO:<{BOB}> -> 250{END}")

    assert servers("plain").tell().message["ret"] == ret.upper()
