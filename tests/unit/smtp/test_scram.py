"""SCRAM's keys, messages and arithmetic, and the preparation of names."""

import unicodedata
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp.scram import (
    DEFAULT_ITERATIONS,
    MAX_CHARACTERS,
    MAX_CLIENT_NONCE,
    MIN_ITERATIONS,
    SALT_BYTES,
    BadResponse,
    ScramKeys,
    choose_name,
    compose_server_first,
    decode_base64,
    decode_text,
    is_proof_of,
    make_decoy,
    make_keys,
    parse_client_final,
    parse_client_first,
    parse_gs2_header,
    prepare,
    sign,
)

# RFC 7677 §3: user "user", password "pencil".
SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
PROOF = b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SIGNATURE = b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
SERVER_FIRST = f"r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
AUTH_MESSAGE = (
    f"n=user,r=rOprNGfwEbeRWgbNEkqO,{SERVER_FIRST},c=biws,r={NONCE}"
).encode()


@pytest.fixture(scope="module")
def keys():
    return make_keys("pencil", salt=SALT, iterations=4096)


def refusal_of(act, *arguments, **options):
    with pytest.raises(BadResponse) as refused:
        act(*arguments, **options)
    return refused.value.text


def final(binding="biws", nonce=NONCE, extensions="", proof=PROOF):
    encoded = b64encode(proof).decode()
    return f"c={binding},r={nonce}{extensions},p={encoded}".encode()


def read_final(message, header="n,,"):
    return parse_client_final(message, header=header, nonce=NONCE)


def test_the_proof_of_the_rfc_is_one(keys):
    """RFC 7677 §3: the same octets as everybody else."""
    assert is_proof_of(keys, AUTH_MESSAGE, PROOF)


def test_the_signature_of_the_rfc_is_ours(keys):
    """RFC 7677 §3: the client checks us by it."""
    assert sign(keys, AUTH_MESSAGE) == SIGNATURE


def test_a_proof_with_one_other_bit_is_none(keys):
    """Close is not enough."""
    almost = bytes([PROOF[0] ^ 1]) + PROOF[1:]

    assert not is_proof_of(keys, AUTH_MESSAGE, almost)


def test_a_proof_is_none_for_other_messages(keys):
    """It was made for one exchange; overheard, it opens nothing."""
    assert not is_proof_of(keys, AUTH_MESSAGE.replace(b"k0", b"k1"), PROOF)


def test_the_servers_first_message_of_the_rfc(keys):
    """RFC 7677 §3, to the octet."""
    assert compose_server_first(keys, NONCE) == SERVER_FIRST


def test_keys_do_not_show_themselves(keys):
    """With the keys, one can pretend to be the server."""
    shown = repr(keys)

    assert repr(keys.stored_key) not in shown
    assert repr(keys.server_key) not in shown


def test_passwords_that_are_prepared_alike_have_the_same_keys():
    """RFC 5802 §2.2: Normalize(password); clients type it on different keyboards."""
    typed = make_keys("cafe\u0301", salt=SALT, iterations=4096)
    pasted = make_keys("caf\u00e9", salt=SALT, iterations=4096)

    assert typed == pasted


def test_keys_are_made_with_more_iterations_than_the_least():
    """RFC 7677 §4 asks for 4096 at least, and that was long ago."""
    made = make_keys("pencil", salt=SALT)

    assert made.iterations == DEFAULT_ITERATIONS > MIN_ITERATIONS


@pytest.mark.parametrize(
    "changed",
    [
        {"salt": b""},
        {"iterations": 4095},
        {"stored_key": b"k" * 31},
        {"server_key": b"k" * 33},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_keys_that_cannot_be(changed):
    """A record gone wrong is found where it is read, not where it is used."""
    sound = {"salt": b"s", "iterations": 4096}
    sound |= {"stored_key": b"k" * 32, "server_key": b"k" * 32}

    with pytest.raises(ValueError, match=r"salt|iterations|octets"):
        ScramKeys(**sound | changed)


def test_a_password_that_cannot_be_one_makes_no_keys():
    """Nobody could ever log in with it."""
    with pytest.raises(ValueError, match="character"):
        make_keys("pen\x07cil", salt=SALT)


def test_a_decoy_is_the_same_each_time():
    """A salt that changes would say that nobody has it."""
    assert make_decoy("ada", b"s" * 32) == make_decoy("ada", b"s" * 32)


def test_decoys_of_two_names_have_nothing_in_common():
    """A salt that two names share would say so, too."""
    ada, bob = make_decoy("ada", b"s" * 32), make_decoy("bob", b"s" * 32)

    assert ada.salt != bob.salt
    assert ada.stored_key != bob.stored_key


def test_a_decoy_depends_on_the_secret():
    """Whoever reads our source must not be able to compute it."""
    assert make_decoy("ada", b"s" * 32).salt != make_decoy("ada", b"t" * 32).salt


def test_a_decoy_looks_like_keys_that_were_made():
    """As many iterations, and as much salt."""
    decoy = make_decoy("ada", b"s" * 32)

    assert (decoy.iterations, len(decoy.salt)) == (DEFAULT_ITERATIONS, SALT_BYTES)


def test_the_clients_first_message_of_the_rfc():
    """RFC 7677 §3."""
    first = parse_client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")

    assert (first.header, first.bare) == ("n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert (first.username, first.nonce) == ("user", "rOprNGfwEbeRWgbNEkqO")


def test_a_client_that_would_bind_the_channel_is_welcome():
    """RFC 5802 §6: "y" is wrong only if we had offered it."""
    assert parse_client_first(b"y,,n=ada,r=x").header == "y,,"


def test_an_authzid_that_is_the_user_changes_nothing():
    """To act for oneself is no privilege."""
    first = parse_client_first(b"n,a=ada,n=ada,r=x")

    assert (first.header, first.username) == ("n,a=ada,", "ada")


def test_a_name_with_commas_and_equals_signs_is_decoded():
    """RFC 5802 §5.1; what the decoding makes is not decoded again."""
    assert parse_client_first(b"n,,n=a=2Cb=3D2C,r=x").username == "a,b=2C"


def test_a_name_is_prepared():
    """RFC 5802 §5.1 wants SASLprep."""
    assert parse_client_first("n,,n=a\u00add\u00aa,r=x".encode()).username == "ada"


def test_optional_extensions_are_ignored():
    """RFC 5802 §5.1."""
    assert parse_client_first(b"n,,n=ada,r=x,z=1,y=a=b").nonce == "x"


def test_a_nonce_of_the_greatest_length_is_taken():
    """The limit is ours; it is far from what clients send."""
    nonce = b"x" * MAX_CLIENT_NONCE

    assert parse_client_first(b"n,,n=ada,r=" + nonce).nonce == nonce.decode()


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"p=tls-unique,,n=ada,r=x", "Channel binding is not supported"),
        (b"n,,m=1,n=ada,r=x", "SCRAM extensions are not supported"),
        (b"n,a=bob,n=ada,r=x", "Acting for another user is not supported"),
        (b"n,,n=\xff,r=x", "Not UTF-8"),
        (b"n,,n=a\0da,r=x", "A character that names and passwords cannot have"),
        (b"", "Malformed response"),
        (b"n", "Malformed response"),
        (b"n,", "Malformed response"),
        (b"n,,", "Malformed response"),
        (b"N,,n=ada,r=x", "Malformed response"),
        (b"z,,n=ada,r=x", "Malformed response"),
        (b"F,n,,n=ada,r=x", "Malformed response"),
        (b" n,,n=ada,r=x", "Malformed response"),
        (b"n,ada,n=ada,r=x", "Malformed response"),
        (b"n,a=,n=ada,r=x", "Malformed response"),
        (b"n,a=a=da,n=ada,r=x", "Malformed response"),
        (b"n,,r=x,n=ada", "Malformed response"),
        (b"n,,n=ada", "Malformed response"),
        (b"n,,n=,r=x", "Malformed response"),
        (b"n,,n=a=2cda,r=x", "Malformed response"),
        (b"n,,n=ada=,r=x", "Malformed response"),
        (b"n,,n=a=20da,r=x", "Malformed response"),
        (b"n,,n=ada,r=", "Malformed response"),
        (b"n,,n=ada,r=x y", "Malformed response"),
        ("n,,n=ada,r=é".encode(), "Malformed response"),
        (b"n,,n=ada,r=" + b"x" * (MAX_CLIENT_NONCE + 1), "Malformed response"),
        (b"n,,n=ada,r=x,", "Malformed response"),
        (b"n,,n=ada,r=x,zz=1", "Malformed response"),
        (b"n,,n=ada,r=x,z=", "Malformed response"),
        (b"n,,n=ada,r=x,z=\0", "Malformed response"),
        (b"n,,n=ada,r=x\n", "Malformed response"),
    ],
)
def test_first_messages_that_are_refused(message, text):
    """What we do not have is named; what is no message at all is malformed."""
    assert refusal_of(parse_client_first, message) == text


def test_the_clients_final_message_of_the_rfc():
    """RFC 7677 §3."""
    read = read_final(final())

    assert (read.without_proof, read.proof) == (f"c=biws,r={NONCE}", PROOF)


def test_the_final_message_repeats_the_first_ones_header():
    """RFC 5802 §7: ``c=`` is that header in base64, authzid included."""
    binding = b64encode(b"y,a=ada,").decode()

    assert read_final(final(binding), "y,a=ada,").proof == PROOF


def test_what_stands_before_the_proof_is_what_was_proved():
    """RFC 5802 §3: extensions are ignored, yet they are part of what is signed."""
    read = read_final(final(extensions=",z=1,p=2"))

    assert read.without_proof == f"c=biws,r={NONCE},z=1,p=2"


def test_a_proof_does_not_show_itself():
    """With the stored key, the client's key can be computed from it."""
    assert repr(PROOF) not in repr(read_final(final()))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (final("eSws"), "The channel binding is not the one of the first message"),
        (final("biwsAA=="), "The channel binding is not the one of the first message"),
        (final("\u00e9"), "The channel binding is not the one of the first message"),
        (final(nonce=NONCE[:-1]), "The nonce is not the one of this exchange"),
        (final(nonce=NONCE + "x"), "The nonce is not the one of this exchange"),
        (
            final(nonce="rOprNGfwEbeRWgbNEkqO"),
            "The nonce is not the one of this exchange",
        ),
        (final(proof=b""), "Malformed response"),
        (final(proof=PROOF[:-1]), "Malformed response"),
        (final(proof=PROOF + b"x"), "Malformed response"),
        (final() + b"\n", "Not base64"),
        (final() + b"=", "Not base64"),
        (final()[:-1], "Not base64"),
        (final() + b",z=1", "Malformed response"),
        (final(extensions=",z"), "Malformed response"),
        (f"c=biws,r={NONCE}".encode(), "Malformed response"),
        (f"r={NONCE},c=biws,p=AAAA".encode(), "Malformed response"),
        (b"", "Malformed response"),
        (b"\xff", "Not UTF-8"),
    ],
)
def test_final_messages_that_are_refused(message, text):
    """A message of another exchange, or of none."""
    assert refusal_of(read_final, message) == text


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
    ],
)
def test_examples_of_saslprep(text, prepared):
    """RFC 4013 §3."""
    assert prepare(text) == prepared


def test_foreign_blanks_become_spaces():
    """RFC 4013 §2.1."""
    assert prepare("a\u3000b\u00a0c") == "a b c"


def test_right_to_left_text_is_taken_if_it_is_that_throughout():
    """RFC 3454 §6; marks and digits may stand inside."""
    assert prepare("\u0627\u0031\u0628") == "\u0627\u0031\u0628"


def test_characters_younger_than_unicode_3_2_are_taken():
    """Here we depart from RFC 4013 §2.5: passwords with emoji exist."""
    assert prepare("pencil\U0001f58d") == "pencil\U0001f58d"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\x07", id="control"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("a\x7f", id="DEL"),
        pytest.param("a\u0085", id="control beyond ASCII"),
        pytest.param("a\u2028", id="line separator"),
        pytest.param("a\ue000", id="private use"),
        pytest.param("a\ufffe", id="no character"),
        pytest.param("a\ud800", id="surrogate"),
        pytest.param("a\ufffd", id="replacement character"),
        pytest.param("a\u2ff0", id="ideographic description"),
        pytest.param("a\u202e", id="change of direction"),
        pytest.param("a\U000e0041", id="tag"),
        pytest.param("\u0627\u0031", id="right to left, ends otherwise"),
        pytest.param("\u0031\u0627", id="right to left, begins otherwise"),
        pytest.param("\u0627a\u0628", id="both directions"),
    ],
)
def test_texts_that_saslprep_prohibits(text):
    """RFC 4013 §2.3 and §2.4."""
    assert refusal_of(prepare, text) == (
        "A character that names and passwords cannot have"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("\u00ad", id="empty afterwards"),
        pytest.param("a" * (MAX_CHARACTERS + 1), id="long"),
        pytest.param("\ufdfa" * 57, id="long afterwards"),
    ],
)
def test_texts_of_a_bad_length(text):
    """One character can become eighteen: both sides have the limit."""
    assert refusal_of(prepare, text) == "Names and passwords have 1 to 1024 characters"


def test_a_text_of_the_greatest_length():
    """The limit itself is within it."""
    assert prepare("a" * MAX_CHARACTERS) == "a" * MAX_CHARACTERS


@given(st.text())
def test_what_was_prepared_does_not_change_again(text):
    """Or what is stored prepared would not be found again."""
    try:
        prepared = prepare(text)
    except BadResponse:
        return

    assert prepare(prepared) == prepared
    assert not any(unicodedata.category(character) == "Cc" for character in prepared)


@pytest.mark.parametrize(
    ("authcid", "authzid"),
    [("ada", ""), ("", "ada"), ("ada", "ada"), ("ada", "\u00aada")],
)
def test_a_name_said_once_or_twice(authcid, authzid):
    """Compared as prepared; either may be missing."""
    assert choose_name(authcid, authzid) == "ada"


def test_two_names_are_refused():
    """One user cannot act for another."""
    assert refusal_of(choose_name, "ada", "bob") == (
        "Acting for another user is not supported"
    )


def test_a_name_with_invisible_characters_of_later_days_is_refused():
    """RFC 3454's tables end before U+2066, which turns log lines around."""
    assert refusal_of(choose_name, "a\u2066da") == (
        "A character that names and passwords cannot have"
    )


def test_a_gs2_header_keeps_what_follows():
    """RFC 5801 §4; the rest may have commas of its own."""
    assert parse_gs2_header("n,a=a=2Cb,x,,y") == ("n,a=a=2Cb,", "a,b", "x,,y")


@pytest.mark.parametrize(
    "encoded",
    [
        b"YQ",
        b"YQ=",
        b"YQ===",
        b"YR==",
        b"YQ==\r",
        b"Y Q==",
        b" YQ==",
        b"YQ== ",
        b"YQ==YQ==",
        b"Y-_=",
        b"====",
        b"=",
        b"*",
        b"YWF\xff",
        b"YWF",
    ],
)
def test_base64_that_is_not_strict(encoded):
    """RFC 4648 §3: padded, nothing foreign, and no stray bits at the end."""
    assert refusal_of(decode_base64, encoded) == "Not base64"


@given(st.binary(max_size=300))
def test_base64_of_anything_is_decoded(data):
    """What an encoder writes, we read."""
    assert decode_base64(b64encode(data)) == data


def test_octets_that_are_no_text_do_not_travel_with_the_error():
    """A report of the error would carry a password with it."""
    with pytest.raises(BadResponse) as refused:
        decode_text(b"secret\xff")

    assert refused.value.__context__ is None
    assert refused.value.args == ("Not UTF-8",)
