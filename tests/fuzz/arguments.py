"""Targets for what stands in command lines: arguments, parameters, logins."""

import unicodedata
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

from mta.delivery import NO_WISHES, Notice, Wishes
from mta.mail.address import domain_of, normalize_address
from mta.reply import format_reply
from mta.smtp import parameters
from mta.smtp.client import ClientSession, Transaction
from mta.smtp.events import LoginReceived
from mta.smtp.grammar import (
    BadArgument,
    parse_chunk,
    parse_helo,
    parse_mail,
    parse_rcpt,
)
from mta.smtp.login import LoginDialogue, Say, Verdict
from mta.smtp.sasl import (
    MECHANISMS,
    BadResponse,
    KeysWanted,
    Proof,
    decode_response,
    parse_auth,
)
from mta.smtp.scram import MAX_CHARACTERS, choose_name, prepare
from mta.smtp.xclient import (
    MAX_VALUE,
    XCLIENT_NAMES,
    XFORWARD_NAMES,
    parse_attributes,
)
from mta.smtp.xtext import (
    decode_utf8_addr_unitext,
    decode_utf8_addr_xtext,
    decode_xtext,
    encode_utf8_addr_xtext,
    encode_xtext,
)
from tests.fuzz.driver import KEYS, USER
from tests.fuzz.promises import attempt, promise, to_text
from tests.fuzz.replies import read_replies

_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}  # and what changes directions

MAX_TURNS = 6  # of a login; SCRAM takes most

_SERVER = (
    b"220 mx.test\r\n250-mx.test\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
    b"250-DSN\r\n250-REQUIRETLS\r\n250 PIPELINING\r\n"
)

T = TypeVar("T")


def mail_from(data: bytes) -> None:
    """The argument of MAIL."""
    command = _argument(lambda: parse_mail(data))
    bare = _argument(lambda: parse_mail(data, extensions=()))
    promise(bare in (None, command), "what is not offered is not taken")
    if command is None:
        return
    path = command.reverse_path
    if path:
        _check_path(path)
    wishes = Wishes(ret=command.ret, envid=command.envid)
    line, _, _ = _say(reverse_path=path, wishes=wishes, size=command.size or 0)
    again = _argument(lambda: parse_mail(line.removeprefix(b"MAIL ")))
    promise(again, "what MAIL said can be said again")
    fields = (again.reverse_path, again.ret, again.envid, again.size or 0)
    said = (path, command.ret, command.envid, command.size or 0)
    promise(fields == said, "what MAIL said goes on as it was")


def rcpt_to(data: bytes) -> None:
    """The argument of RCPT, with and without SMTPUTF8."""
    for smtputf8 in (False, True):
        read = partial(parse_rcpt, smtputf8=smtputf8)
        command = _argument(partial(read, data))
        if command is None:
            continue
        path = command.forward_path
        promise(smtputf8 or path.isascii(), "without SMTPUTF8 a path is ASCII")
        if path.lower() != "postmaster":
            _check_path(path)
        wishes = Wishes(notice=Notice(command.notify, command.orcpt))
        _, line, _ = _say(forward_path=path, wishes=wishes)
        argument = line.removeprefix(b"RCPT ")
        again = _argument(partial(parse_rcpt, argument, smtputf8=True))
        promise(again == command, "what RCPT said goes on as it was")


def _argument(step: Callable[[], T]) -> T | None:
    try:
        return step()
    except BadArgument as error:
        promise(error.reply.code in {501, 553, 555}, "a bad argument is 501, 553, 555")
        read_replies(format_reply(error.reply))
        return None


def _check_path(path: str) -> None:
    kinds = {unicodedata.category(char) for char in path.replace(" ", "")}
    promise(not kinds & _INVISIBLE, "a path has nothing invisible")
    again = parse_rcpt(f"TO:<{path}>".encode(), smtputf8=True).forward_path
    promise(again == path, "a path is read as it is written")
    address = normalize_address(path)
    promise(normalize_address(address) == address, "there is one normal form")
    if domain_of(address).isascii():
        _say(forward_path=address)


def _say(
    *,
    reverse_path: str = "",
    forward_path: str = "bob@example.test",
    wishes: Wishes = NO_WISHES,
    size: int = 0,
) -> list[bytes]:
    """Say it to the next server, which knows all extensions."""
    session = ClientSession()
    session.ehlo("mx.fuzz.test")
    session.receive(_SERVER)
    transaction = Transaction(
        reverse_path=reverse_path, forward_path=forward_path, size=size, wishes=wishes
    )
    [block] = session.begin(transaction, reset=False)
    *lines, rest = block.octets.split(b"\r\n")
    is_whole = not rest and len(lines) == len(block.verbs)
    promise(is_whole and block.octets.count(b"\n") == 3, "an address is no command")
    return lines


def words(data: bytes) -> None:
    """Arguments of the other commands, and values of parameters."""
    name = _argument(lambda: parse_helo(data))
    promise(name is None or name.isprintable(), "a client's name can be logged")
    chunk = parse_chunk(data)
    promise(chunk is None or chunk[0] >= 0, "a chunk has a length")
    attempt(lambda: parse_auth(data), BadResponse)
    attempt(lambda: decode_response(data), BadResponse)
    text = to_text(data)
    for read in _PARAMETERS:
        attempt(partial(read, text), ValueError)
    for smtputf8 in (False, True):
        read = partial(parameters.parse_orcpt, text, smtputf8=smtputf8)
        orcpt = attempt(read, ValueError)
        promise(orcpt is None or orcpt.isprintable(), "ORCPT can be shown")
    envid = attempt(lambda: parameters.parse_envid(text), ValueError)
    promise(envid is None or envid.isprintable(), "ENVID can be shown")
    by = attempt(lambda: parameters.parse_by(text), ValueError)
    promise(by is None or abs(by.seconds) < 10**9, "BY has nine digits")
    held = attempt(lambda: parameters.parse_hold_for(text), ValueError)
    promise(held is None or held > timedelta(0), "HOLDFOR is more than nothing")
    until = attempt(lambda: parameters.parse_hold_until(text), ValueError)
    promise(until is None or not until.utcoffset(), "HOLDUNTIL is in UTC")


_PARAMETERS: tuple[Callable[[str], object], ...] = (
    parameters.parse_auth_mailbox,
    parameters.parse_body,
    parameters.parse_notify,
    parameters.parse_ret,
    parameters.parse_size,
)


def xtext(data: bytes) -> None:
    """xtext and its sisters, both ways."""
    text = to_text(data)
    for decode, encode in (
        (decode_xtext, encode_xtext),
        (decode_utf8_addr_xtext, encode_utf8_addr_xtext),
        (decode_utf8_addr_unitext, encode_utf8_addr_xtext),
    ):
        encoded = attempt(partial(encode, text), ValueError)
        if encoded is not None:
            promise(decode(encoded) == text, "what is encoded can be decoded")
            is_word = encoded.isascii() and encoded.isprintable() and " " not in encoded
            promise(is_word and "=" not in encoded, "what is encoded is one word")
        decoded = attempt(partial(decode, text), ValueError)
        if decoded is not None:
            again = decode(encode(decoded))
            promise(again == decoded, "what is decoded can be encoded")


def xclient(data: bytes) -> None:
    """Attributes of XCLIENT and XFORWARD."""
    for names in (XCLIENT_NAMES, XFORWARD_NAMES):
        facts = attempt(partial(parse_attributes, data, names), ValueError)
        if facts is None:
            continue
        promise(facts and set(facts) <= set(names), "only what may be said is taken")
        for value in filter(None, facts.values()):
            is_fine = value.isprintable() and len(value) <= MAX_VALUE
            promise(is_fine, "what a client says of its client can be logged")
        again = " ".join(
            f"{name}={'[UNAVAILABLE]' if value is None else _literal(name, value)}"
            for name, value in facts.items()
        )
        is_normal = parse_attributes(again.encode(), names) == facts
        promise(is_normal, "there is one normal form")


def _literal(name: str, value: str) -> str:
    is_ipv6 = name in {"ADDR", "DESTADDR"} and ":" in value
    return encode_xtext(f"IPV6:{value}" if is_ipv6 else value)


def login(data: bytes) -> None:
    """One AUTH: an octet for the mechanism and the verdict, then lines.

    A line is encoded first, unless it begins with 0xFF; an empty first line is no
    initial response.
    """
    if not data:
        return
    mechanism = MECHANISMS[data[0] % len(MECHANISMS)]
    initial, *lines = data[1:].split(b"\n")
    dialogue = LoginDialogue(mechanism)
    turn = dialogue.begin(initial or None)
    for _ in range(MAX_TURNS):
        match turn:
            case Say(octets):
                promise(octets.startswith(b"334 "), "a challenge is 334")
                read_replies(octets)
                if not lines:
                    return
                line = lines.pop(0)
                is_raw = line.startswith(b"\xff")
                turn = dialogue.respond(line[1:] if is_raw else b64encode(line))
            case KeysWanted(username):
                _check_name(username)
                turn = dialogue.provide(KEYS if username == USER else None)
            case LoginReceived(_, credentials):
                if credentials.username or mechanism != "OAUTHBEARER":
                    _check_name(credentials.username)
                is_wrong = isinstance(credentials, Proof) and not credentials.is_valid
                user = "" if is_wrong or data[0] > 127 else USER
                turn = dialogue.conclude(b"235 2.7.0 or 535 5.7.8\r\n", user)
            case Verdict(reply):
                read_replies(reply)
                return
    promise(False, "a login comes to its end")


def _check_name(name: str) -> None:
    promise(name.isprintable() and name, "a user's name can be logged")
    promise(prepare(name) == name, "a user's name is prepared")


def saslprep(data: bytes) -> None:
    """Names and passwords, and two names of which one acts for the other."""
    text = to_text(data)
    prepared = attempt(lambda: prepare(text), BadResponse)
    if prepared is not None:
        promise(0 < len(prepared) <= MAX_CHARACTERS, "a password has its limits")
        promise(prepare(prepared) == prepared, "preparing twice is preparing once")
    authcid, _, authzid = text.partition("\0")
    name = attempt(lambda: choose_name(authcid, authzid), BadResponse)
    if name is not None:
        _check_name(name)
