"""Logins as the client's side says them, by the RFCs' own examples."""

from base64 import b64decode

import pytest

from mta.smtp import login_client
from mta.smtp.login_client import (
    BadChallenge,
    Credentials,
    choose_mechanism,
    decode_challenge,
    start_exchange,
)
from mta.smtp.sasl import Challenge, KeysWanted, Proof, ScramExchange
from mta.smtp.scram import make_keys

ADA = Credentials("ada", "secret")


@pytest.mark.parametrize(
    ("offered", "method", "chosen"),
    [
        (["PLAIN", "SCRAM-SHA-256"], "", "SCRAM-SHA-256"),
        (["LOGIN", "PLAIN"], "", "PLAIN"),
        (["CRAM-MD5", "LOGIN"], "", "LOGIN"),
        (["PLAIN", "LOGIN"], "LOGIN", "LOGIN"),
        (["PLAIN"], "LOGIN", None),
        (["GSSAPI", "XOAUTH2"], "", None),
        ([], "", None),
    ],
)
def test_the_best_mechanism_that_both_know_is_chosen(offered, method, chosen):
    assert choose_mechanism(offered, Credentials("a", "b", method=method)) == chosen


def test_a_token_is_for_mechanisms_of_tokens_alone():
    token = Credentials("ada", token="t0ken")

    assert choose_mechanism(["PLAIN", "XOAUTH2", "OAUTHBEARER"], token) == "OAUTHBEARER"
    assert choose_mechanism(["PLAIN"], token) is None


def test_plain_is_one_message():
    assert list(start_exchange("PLAIN", ADA)) == [b"\0ada\0secret"]


def test_login_waits_to_be_asked():
    exchange = start_exchange("LOGIN", ADA)

    assert next(exchange) == b""
    assert exchange.send(b"Username:") == b"ada"
    assert exchange.send(b"Password:") == b"secret"


def test_cram_md5_answers_as_in_rfc_2195():
    exchange = start_exchange("CRAM-MD5", Credentials("tim", "tanstaaftanstaaf"))
    next(exchange)

    answer = exchange.send(b"<1896.697170952@postoffice.reston.mci.net>")

    assert answer == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_oauthbearer_is_as_in_rfc_7628():
    exchange = start_exchange("OAUTHBEARER", Credentials("a=b,c", token="t"))

    assert next(exchange) == b"n,a=a=3Db=2Cc,\x01auth=Bearer t\x01\x01"
    assert exchange.send(b'{"status":"invalid_token"}') == b"\x01"


def test_scram_is_as_in_rfc_7677(monkeypatch):
    """Section 3's example, both ways."""
    nonce = "rOprNGfwEbeRWgbNEkqO"
    monkeypatch.setattr(login_client.secrets, "token_urlsafe", lambda _: nonce)
    exchange = start_exchange("SCRAM-SHA-256", Credentials("user", "pencil"))

    assert next(exchange) == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    final = exchange.send(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    verifier = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert exchange.send(verifier) == b""


def test_both_of_our_sides_understand_each_other():
    """Names and passwords are prepared by both (SASLprep)."""
    theirs = ScramExchange()
    ours = start_exchange("SCRAM-SHA-256", Credentials("a,b=c", "pa\u00adss\u2168"))

    assert theirs.begin(next(ours)) == KeysWanted("a,b=c")
    challenge = theirs.provide(make_keys("passIX", salt=b"salt"))
    assert isinstance(challenge, Challenge)
    assert theirs.respond(ours.send(challenge.data)) == Proof("a,b=c", True)
    assert ours.send(theirs.conclude(True) or b"") == b""


@pytest.mark.parametrize(
    "server_first",
    [
        "r=NONCE,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=else,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=NONCEx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
        "r=NONCEx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000000000",
        "r=NONCEx,s=*,i=4096",
        "r=NONCEx",
        "\udcff",
    ],
)
def test_a_server_that_does_scram_wrong_gets_no_proof(monkeypatch, server_first):
    """Its own nonce is missing, or it asks for nothing, or for years."""
    monkeypatch.setattr(login_client.secrets, "token_urlsafe", lambda _: "NONCE")
    exchange = start_exchange("SCRAM-SHA-256", ADA)
    next(exchange)

    with pytest.raises(BadChallenge):
        exchange.send(server_first.encode("utf-8", "surrogateescape"))


def test_a_server_that_does_not_know_the_password_is_found_out():
    theirs = ScramExchange()
    ours = start_exchange("SCRAM-SHA-256", ADA)
    theirs.begin(next(ours))
    challenge = theirs.provide(make_keys("another", salt=b"salt"))
    assert isinstance(challenge, Challenge)
    ours.send(challenge.data)

    with pytest.raises(BadChallenge, match="does not know"):
        ours.send(b"v=" + b"A" * 43 + b"=")


def test_challenges_are_base64():
    assert decode_challenge("VXNlcm5hbWU6 ") == b64decode("VXNlcm5hbWU6")
    with pytest.raises(BadChallenge):
        decode_challenge("no base64!")


def test_secrets_are_not_shown():
    assert "secret" not in repr(Credentials("ada", "secret", token="secret"))
