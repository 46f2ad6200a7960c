"""Logins, from AUTH to the credentials."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.smtp import sasl, scram
from mta.smtp.sasl import (
    MAX_RESPONSE,
    MECHANISMS,
    BadResponse,
    Challenge,
    KeysWanted,
    Password,
    Proof,
    ScramExchange,
    Token,
    decode_response,
    parse_auth,
    start_exchange,
)
from mta.smtp.scram import make_keys

# RFC 7677 §3.
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
OUR_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CLIENT_FIRST = f"n,,n=user,r={CLIENT_NONCE}".encode()
CLIENT_FINAL = (
    f"c=biws,r={CLIENT_NONCE}{OUR_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
).encode()
PENCIL = make_keys(
    "pencil", salt=b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), iterations=4096
)
# RFC 7628 §4.
BEARER_TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

TEXTS = {
    text
    for name, text in [*vars(scram).items(), *vars(sasl).items()]
    if name.startswith("_") and isinstance(text, str)
}


def refusal_of(act, *arguments):
    with pytest.raises(BadResponse) as refused:
        act(*arguments)
    return refused.value.text


def begin(mechanism, initial):
    return start_exchange(mechanism).begin(initial)


def a_scram_exchange(keys=PENCIL):
    """One that waits for the client's final message."""
    exchange = ScramExchange(OUR_NONCE, decoy_secret=b"s" * 32)
    exchange.begin(CLIENT_FIRST)
    exchange.provide(keys)
    return exchange


def shape_of(challenge):
    """A server's first message without the salt itself."""
    nonce, salt, iterations = challenge.split(b",")
    return nonce, salt[:2], len(salt), iterations


# AUTH and the lines after it.


@pytest.mark.parametrize(
    ("argument", "read"),
    [
        (b"LOGIN", ("LOGIN", None)),
        (b"login ", ("LOGIN", None)),
        (b"PLAIN AGFkYQBz", ("PLAIN", b"\0ada\0s")),
        (b"PLAIN =", ("PLAIN", b"")),
        (b"Scram-Sha-256", ("SCRAM-SHA-256", None)),
        (b"X_UNKNOWN-1", ("X_UNKNOWN-1", None)),
    ],
)
def test_an_argument_of_auth(argument, read):
    """RFC 4954 §4: "=" is an initial response that is empty; none is none."""
    assert parse_auth(argument) == read


@pytest.mark.parametrize(
    "argument",
    [b"", b" ", b"PLAIN\tAAAA", b"PL\xc4IN", b"X" * 21, b"A.B", b"=", b"*"],
)
def test_a_mechanism_that_cannot_be_one(argument):
    """RFC 4422 §3.1: up to twenty letters, digits, hyphens and underscores."""
    assert refusal_of(parse_auth, argument).startswith("Syntax: AUTH")


@pytest.mark.parametrize(
    "argument",
    [b"PLAIN *", b"PLAIN ==", b"PLAIN YQ", b"PLAIN  YQ==", b"PLAIN YQ== YQ=="],
)
def test_an_initial_response_that_is_not_base64(argument):
    """RFC 4954 §4: 501; and nothing can be cancelled before it began."""
    assert refusal_of(parse_auth, argument) == "Not base64"


@pytest.mark.parametrize(
    ("line", "response"), [(b"YWRh", b"ada"), (b"", b""), (b"*", None)]
)
def test_a_response(line, response):
    """RFC 4954 §4: "*" gives up; an empty line is an empty response."""
    assert decode_response(line) == response


@pytest.mark.parametrize("line", [b"=", b"**", b"* ", b"YQ", b"Y Q==", b"\xff"])
def test_a_response_that_is_not_base64(line):
    """Only the initial response may be "=" for nothing."""
    assert refusal_of(decode_response, line) == "Not base64"


def test_a_response_of_the_greatest_length():
    """RFC 4954 §4: 12288 octets with CRLF; 12284 are the most that base64 fills."""
    assert decode_response(b"A" * 12_284) == bytes(9213)


def test_a_response_that_is_too_long():
    """Also where it comes beside AUTH."""
    line = b"A" * MAX_RESPONSE

    assert refusal_of(decode_response, line) == "Response too long"
    assert refusal_of(parse_auth, b"PLAIN " + line) == "Response too long"


def test_the_mechanisms_come_in_the_order_of_their_strength():
    """Clients take the first they know."""
    offered = "SCRAM-SHA-256 PLAIN LOGIN XOAUTH2 OAUTHBEARER"

    assert " ".join(MECHANISMS) == offered


@pytest.mark.parametrize("mechanism", [name for name in MECHANISMS if name != "LOGIN"])
def test_a_client_without_an_initial_response_is_asked_for_it(mechanism):
    """RFC 4954 §4: 334 with nothing behind it."""
    assert begin(mechanism, None) == Challenge(b"")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_an_empty_response_is_no_login(mechanism):
    """No mechanism of ours has anything to do with one."""
    assert refusal_of(begin, mechanism, b"") in TEXTS


@pytest.mark.parametrize(
    "mechanism", [name for name in MECHANISMS if "SCRAM" not in name]
)
def test_keys_are_for_scram_only(mechanism):
    """Whoever gives some to others has lost the thread."""
    with pytest.raises(RuntimeError):
        start_exchange(mechanism).provide(None)


# PLAIN.


@pytest.mark.parametrize(
    ("response", "username", "password"),
    [
        (b"\0tim\0tanstaaftanstaaf", "tim", "tanstaaftanstaaf"),
        (b"tim\0tim\0secret", "tim", "secret"),
        (b"tim\0\0secret", "tim", "secret"),
        ("\0ad\u00aa\0pen\u00adcil".encode(), "ada", "pencil"),
        ("\0zo\u00eb\0\u00fcber".encode(), "zo\u00eb", "\u00fcber"),
        (b"\0" + b"a" * 1024 + b"\0" + b"p" * 1024, "a" * 1024, "p" * 1024),
    ],
    ids=["RFC 4616 §4", "both names", "authzid only", "prepared", "UTF-8", "long"],
)
def test_plain(response, username, password):
    """RFC 4616 §2; without an authcid, the authzid is the user."""
    assert begin("PLAIN", response) == Password(username, password)


def test_plain_when_asked():
    """The initial response and the one to an empty challenge are the same."""
    exchange = start_exchange("PLAIN")
    exchange.begin(None)

    assert exchange.respond(b"\0ada\0pencil") == Password("ada", "pencil")


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (b"Ursel\0Kurt\0xipj3plmq", "Acting for another user is not supported"),
        (b"ada\0pencil", "Malformed response"),
        (b"\0ada\0pen\0cil", "Malformed response"),
        (b"ada", "Malformed response"),
        (b"\0\0pencil", "Names and passwords have 1 to 1024 characters"),
        (b"\0ada\0", "Names and passwords have 1 to 1024 characters"),
        (b"\0" + b"a" * 1025 + b"\0p", "Names and passwords have 1 to 1024 characters"),
        (b"\0a\0" + b"p" * 1025, "Names and passwords have 1 to 1024 characters"),
        (b"\0a\nda\0p", "A character that names and passwords cannot have"),
        (b"\0ada\0p\r\n", "A character that names and passwords cannot have"),
        (b"\0ada\0\xff", "Not UTF-8"),
    ],
)
def test_plain_that_is_refused(response, text):
    """RFC 4616 §4's last example is one of them: Ursel cannot be Kurt here."""
    assert refusal_of(begin, "PLAIN", response) == text


# LOGIN.


def test_login_asks_twice():
    """Clients wait for these two words."""
    exchange = start_exchange("LOGIN")

    assert exchange.begin(None) == Challenge(b"Username:")
    assert exchange.respond(b"ada") == Challenge(b"Password:")
    assert exchange.respond("pen\u00adcil".encode()) == Password("ada", "pencil")


def test_login_with_the_name_beside_auth():
    """Some clients save a round trip."""
    exchange = start_exchange("LOGIN")

    assert exchange.begin(b"ada") == Challenge(b"Password:")
    assert exchange.respond(b"pencil") == Password("ada", "pencil")


@pytest.mark.parametrize(
    ("name", "password"),
    [(b"", b"p"), (b"a\0b", b"p"), (b"\xff", b"p"), (b"a", b""), (b"a", b"p\0")],
)
def test_login_that_is_refused(name, password):
    """The same names and passwords as by any other mechanism."""

    def log_in():
        exchange = start_exchange("LOGIN")
        exchange.begin(name)
        exchange.respond(password)

    assert refusal_of(log_in) in TEXTS


# OAuth.


def test_xoauth2():
    """As Google describes it."""
    response = b"user=ada@example.test\1auth=Bearer ya29.vF9dft4qmTc2Nvb3Rlcg\1\1"

    assert begin("XOAUTH2", response) == Token(
        "ada@example.test", "ya29.vF9dft4qmTc2Nvb3Rlcg"
    )


@pytest.mark.parametrize("port", [b"143", b"587"])
def test_oauthbearer(port):
    """RFC 7628 §4: host and port are for schemes that sign them."""
    response = (
        b"n,a=user@example.com,\1host=server.example.com\1port=" + port + b"\1"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"
    )

    assert begin("OAUTHBEARER", response) == Token("user@example.com", BEARER_TOKEN)


@pytest.mark.parametrize(
    ("response", "username"),
    [
        (b"n,,\1auth=Bearer t\1\1", ""),
        (b"y,,\1auth=bearer t\1\1", ""),
        (b"n,a=a=2Cb=3D,\1auth=BEARER   t\1\1", "a,b="),
        (b"n,a=ada,\1x=y=z\1auth=Bearer t\1q=\1\1", "ada"),
    ],
    ids=["no name", "would bind the channel", "encoded name", "unknown keys"],
)
def test_oauthbearer_in_other_words(response, username):
    """RFC 7628 §3.1; the scheme's case does not matter (RFC 9110 §11.1)."""
    assert begin("OAUTHBEARER", response) == Token(username, "t")


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (b"auth=Bearer t\1\1", "Names and passwords have 1 to 1024 characters"),
        (b"user=\1auth=Bearer t\1\1", "Names and passwords have 1 to 1024 characters"),
        (
            b"user=a\nb\1auth=Bearer t\1\1",
            "A character that names and passwords cannot have",
        ),
        (b"user=ada\1\1", "No bearer token"),
        (b"user=ada\1auth=\1\1", "No bearer token"),
        (b"user=ada\1auth=Bearer\1\1", "No bearer token"),
        (b"user=ada\1auth=Bearer \1\1", "No bearer token"),
        (b"user=ada\1auth=Basic YTpi\1\1", "No bearer token"),
        (b"user=ada\1auth=Bearer a b\1\1", "No bearer token"),
        (b"user=ada\1auth=Bearer a\n\1\1", "No bearer token"),
        (b"user=ada\1auth=Bearer a=b\1\1", "No bearer token"),
        (b"user=ada\1auth=Bearer t\1", "Malformed response"),
        (b"user=ada\1auth=Bearer t", "Malformed response"),
        (b"user=ada\1auth=Bearer t\1auth=Bearer u\1\1", "Malformed response"),
        (b"user=ada\1auth\1\1", "Malformed response"),
        (b"user=ada\1=Bearer t\1\1", "Malformed response"),
        (b"user=ada\1auth=Bearer t\1\1\1", "Malformed response"),
        (b"\1\1", "Malformed response"),
        (b"\1", "Malformed response"),
        (b"user=\xff\1auth=Bearer t\1\1", "Not UTF-8"),
    ],
)
def test_xoauth2_that_is_refused(response, text):
    """A user and one bearer token, each once."""
    assert refusal_of(begin, "XOAUTH2", response) == text


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (b"p=tls-exporter,,\1auth=Bearer t\1\1", "Channel binding is not supported"),
        (b"\1auth=Bearer t\1\1", "Malformed response"),
        (b"n,,auth=Bearer t\1\1", "Malformed response"),
        (b"n,,\1auth=Bearer t\1", "Malformed response"),
        (b"n,a=,\1auth=Bearer t\1\1", "Malformed response"),
        (b"n,a=b=c,\1auth=Bearer t\1\1", "Malformed response"),
        (b"n,,\1", "Malformed response"),
        (b"n,,\1\1", "Malformed response"),
        (b"\1", "Malformed response"),
        (b"n,a=ada,\1auth=\1\1", "No bearer token"),
        (
            b"n,a=a\nb,\1auth=Bearer t\1\1",
            "A character that names and passwords cannot have",
        ),
    ],
)
def test_oauthbearer_that_is_refused(response, text):
    """An empty scheme asks where to get a token (RFC 7628 §4.3); we do not know."""
    assert refusal_of(begin, "OAUTHBEARER", response) == text


# SCRAM-SHA-256.


def test_scram_as_in_the_rfc():
    """RFC 7677 §3, octet by octet."""
    exchange = ScramExchange(OUR_NONCE)

    assert exchange.begin(CLIENT_FIRST) == KeysWanted("user")
    assert exchange.provide(PENCIL) == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert exchange.respond(CLIENT_FINAL) == Proof("user", is_valid=True)
    assert exchange.conclude(True) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_scram_with_a_wrong_password():
    """The answer is the same as for nobody; no signature follows."""
    exchange = a_scram_exchange(make_keys("pen", salt=PENCIL.salt, iterations=4096))

    assert exchange.respond(CLIENT_FINAL) == Proof("user", is_valid=False)
    assert exchange.conclude(False) is None


def test_scram_with_a_valid_proof_and_a_refusal():
    """The user may be barred; then we sign nothing."""
    exchange = a_scram_exchange()
    exchange.respond(CLIENT_FINAL)

    assert exchange.conclude(False) is None


def test_scram_for_nobody_goes_on_as_for_somebody():
    """Whoever tries names must not learn which exist."""
    real = make_keys("pencil", salt=b"s" * scram.SALT_BYTES)
    for_somebody, for_nobody = (
        ScramExchange(OUR_NONCE, decoy_secret=b"s" * 32) for _ in range(2)
    )

    steps = [for_somebody.begin(CLIENT_FIRST), for_nobody.begin(CLIENT_FIRST)]
    challenges = [for_somebody.provide(real).data, for_nobody.provide(None).data]

    assert steps[0] == steps[1]
    assert shape_of(challenges[0]) == shape_of(challenges[1])


def test_scram_for_nobody_has_the_same_salt_in_each_login():
    """Within a process, without anybody giving a secret."""
    salts = set()
    for _ in range(2):
        exchange = start_exchange("SCRAM-SHA-256")
        exchange.begin(CLIENT_FIRST)
        salts.add(exchange.provide(None).data.split(b",")[1])

    assert len(salts) == 1


def test_a_proof_for_nobody_is_not_valid():
    """Not even a good one of somebody; and nobody cannot be let in."""
    exchange = a_scram_exchange(None)

    assert exchange.respond(CLIENT_FINAL) == Proof("user", is_valid=False)
    with pytest.raises(RuntimeError):
        exchange.conclude(True)


def test_our_part_of_the_nonce_is_new_each_time():
    """Twenty-four printable characters: an old proof fits no new exchange."""
    nonces = set()
    for _ in range(2):
        exchange = start_exchange("SCRAM-SHA-256")
        exchange.begin(CLIENT_FIRST)
        said = exchange.provide(PENCIL).data.split(b",")[0].decode()
        nonces.add(said.removeprefix(f"r={CLIENT_NONCE}"))

    assert [len(nonce) for nonce in nonces] == [24, 24]
    assert all(nonce.isascii() and nonce.isprintable() for nonce in nonces)


def test_scram_when_asked():
    """Without an initial response, the first message answers an empty challenge."""
    exchange = ScramExchange(OUR_NONCE)
    exchange.begin(None)

    assert exchange.respond(CLIENT_FIRST) == KeysWanted("user")


def test_a_final_message_of_another_exchange_is_refused():
    """Somebody replays what they overheard."""
    exchange = ScramExchange("another")
    exchange.begin(CLIENT_FIRST)
    exchange.provide(PENCIL)

    assert refusal_of(exchange.respond, CLIENT_FINAL) == (
        "The nonce is not the one of this exchange"
    )


def test_one_set_of_keys_checks_one_proof():
    """Guesses cost an exchange each, the malformed ones too."""
    exchange = a_scram_exchange()
    refusal_of(exchange.respond, b"")

    with pytest.raises(RuntimeError):
        exchange.respond(CLIENT_FINAL)


@pytest.mark.parametrize(
    "act",
    [
        lambda: ScramExchange().provide(PENCIL),
        lambda: a_scram_exchange().provide(PENCIL),
        lambda: a_scram_exchange().conclude(True),
    ],
    ids=["keys before the name", "keys twice", "accepted without proof"],
)
def test_scram_out_of_turn(act):
    """A caller that lost the thread must not get anybody in."""
    with pytest.raises(RuntimeError):
        act()


# What they share.


@pytest.mark.parametrize(
    ("mechanism", "initial", "refused"),
    [
        ("PLAIN", b"\0ada\0pencil", None),
        ("LOGIN", b"ada", None),
        (
            "XOAUTH2",
            b"user=ada\1auth=Bearer t\1\1",
            b'{"status":"401","schemes":"bearer"}',
        ),
        ("OAUTHBEARER", b"n,,\1auth=Bearer t\1\1", b'{"status":"invalid_token"}'),
    ],
)
def test_the_last_word(mechanism, initial, refused):
    """A token's refusal is told before the reply (RFC 7628 §3.2.2); nothing else is."""
    exchange = start_exchange(mechanism)
    exchange.begin(initial)

    assert exchange.conclude(False) == refused
    assert exchange.conclude(True) is None


@pytest.mark.parametrize("secret", [Password("ada", "pencil"), Token("ada", "pencil")])
def test_secrets_do_not_show_themselves(secret):
    """Credentials end up in tracebacks."""
    assert "ada" in repr(secret)
    assert "pencil" not in repr(secret)


PIECES = (
    *(b"\0", b"\1", b",", b"=", b" ", b"\r\n", b"n,,", b"y,", b"a=", b"n=", b"r="),
    *(b"c=biws", b"p=", b"m=", b"=2C", b"user=", b"auth=Bearer ", b"ada"),
    *(b"\xff", b"\xed\xa0\x80", "\u0627".encode(), "\u00ad".encode()),
    *(CLIENT_FIRST, CLIENT_FINAL, CLIENT_FINAL.rpartition(b"=")[0]),
)
RESPONSES = st.binary(max_size=100) | st.lists(st.sampled_from(PIECES)).map(b"".join)


def complaint_of(act, *arguments):
    """What is wrong with it, or None; any other error is the test's failure."""
    try:
        act(*arguments)
    except BadResponse as bad:
        return bad.text
    return None


@given(
    st.sampled_from(MECHANISMS),
    st.none() | RESPONSES,
    st.lists(RESPONSES, min_size=3, max_size=3),
    st.sampled_from([None, PENCIL]),
)
@example("SCRAM-SHA-256", CLIENT_FIRST, [CLIENT_FINAL] * 3, PENCIL)
def test_nothing_a_client_says_breaks_an_exchange(mechanism, initial, responses, keys):
    """It ends in credentials or in a sentence of ours."""

    def log_in():
        exchange = start_exchange(mechanism)
        step = exchange.begin(initial)
        for response in responses:
            if isinstance(step, KeysWanted):
                step = exchange.provide(keys)
            if isinstance(step, Challenge):
                step = exchange.respond(response)

    assert complaint_of(log_in) in {None, *TEXTS}


@given(RESPONSES)
@example(CLIENT_FINAL)
def test_nothing_a_client_says_breaks_the_end_of_scram(response):
    """Few of the logins above get that far."""
    exchange = a_scram_exchange()

    assert complaint_of(exchange.respond, response) in {None, *TEXTS}


@given(st.binary(max_size=60) | st.binary(max_size=60).map(b64encode))
def test_nothing_a_client_sends_breaks_the_reading_of_a_line(line):
    """Of AUTH, and of what comes after it."""
    assert complaint_of(parse_auth, line) in {None, *TEXTS}
    assert complaint_of(parse_auth, b"PLAIN " + line) in {None, *TEXTS}
    assert complaint_of(decode_response, line) in {None, *TEXTS}
