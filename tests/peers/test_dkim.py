"""Three who check signatures, none of them ours: dkimpy, OpenDKIM and Mail::DKIM.

What real workers have signed and a real next hop has got is given to each, and so are
messages that no client here can be brought to send.
"""

import random
import re
import smtplib
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mta.config.dkim import DkimConfig
from mta.config.signing_key import ED25519, RSA, parse_signing_key
from mta.mail.dkim_record import format_record
from mta.mail.dkim_sign import Signer, SigningTerms
from mta.operate.dkim import make_pem
from mta.policy.dkim import KeyState
from mta.store.dkim_keys import DkimKeys, StoredKey
from mta.store.mongo import connect
from tests.peers.mails import EIGHT_BIT, TRICKY, Mail, make_mail
from tests.peers.tools import HOST, find_program, miss, need_root, run
from tests.support.dns import DnsServer
from tests.support.signing import in_quotes, send_out, verdicts

DOMAIN = "signed.test"
SELECTORS = {"r1": RSA, "e1": ED25519}
COUNT = 500
# opendkim-testmsg asks the nameservers of resolv.conf, which are at port 53.
NAMESERVER = ("127.77.0.53", 53)
SCRIPT = Path(__file__).parent / "mail_dkim.pl"
WORDS = (
    *("hello", "Grüße", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "a;b", "x=y", "(comment)"),
    *("--", "semi;colon", "from:", "\\", '"quoted"', "9" * 70),
)
BLANKS = (" ", "  ", "\t", " \t ", "\r\n ", "\r\n\t", " \r\n  ")
# Of these there may be several in one message (RFC 5322 §3.6).
REPEATED = ("Comments", "Keywords", "X-Campaign", "Resent-To", "List-Id", "Received")
BODIES = (
    *(b"", b"\r\n", b"\r\n" * 30, b" \r\n\t\r\n", b"x", b"no line end \t", TRICKY),
    *(EIGHT_BIT, b"  leading\r\n\ttab\t \t\r\n\r\n\r\n", b"." * 900 + b"\r\n"),
)
MULTIPART = (
    b"preamble  \r\n--b\r\nContent-Type: text/plain\r\n\r\nHi  there \r\n"
    b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQ=\r\n\r\n--b--\r\n\r\n"
)


def vary(dice: random.Random, *, is_ascii: bool = True) -> tuple[bytes, bytes]:
    """More fields, and a body."""

    def value() -> str:
        parts = (
            dice.choice(BLANKS) + dice.choice(WORDS) for _ in range(dice.randrange(9))
        )
        text = "".join(parts) + dice.choice(["", " ", "\t"])
        return text.encode("ascii", "ignore").decode() if is_ascii else text

    fields = [f"{dice.choice(REPEATED)}:{value()}" for _ in range(dice.randrange(7))]
    if dice.random() < 0.5:
        fields.append(f"References:{value()}")
    if dice.random() < 0.5:
        fields.append("List-Unsubscribe: <https://a.test/u>")
        fields.append("LIST-UNSUBSCRIBE-POST:List-Unsubscribe=One-Click  ")
    body = dice.choice(BODIES)
    if dice.random() < 0.3:
        fields += ["MIME-Version: 1.0", "Content-Type: multipart/mixed;\r\n boundary=b"]
        body = MULTIPART
    if dice.random() < 0.2:
        octets = bytes(dice.choices(range(0x20, 0x7F), k=dice.randrange(2_000)))
        body += b"\r\n".join(octets[at : at + 70] for at in range(0, len(octets), 70))
    return "".join(f"{field}\r\n" for field in fields).encode(), body


@pytest.fixture(scope="module")
def keys():
    """A key of each kind, as PEM."""
    return {name: make_pem(kind, 2048) for name, kind in SELECTORS.items()}


@pytest.fixture(scope="module")
def records(keys):
    """What DNS has of them."""
    read = {name: parse_signing_key(pem) for name, pem in keys.items()}
    return {
        f"{name}._domainkey.{DOMAIN}": format_record(key.algorithm, key.public)
        for name, key in read.items()
    }


@pytest.fixture(scope="module")
def names(records) -> Iterator[None]:
    """DNS at the port that all programs ask."""
    need_root()
    known = {name: [("TXT", in_quotes(text))] for name, text in records.items()}
    with DnsServer(known) as server:

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, sock = self.request
                sock.sendto(server.answer(data), self.client_address)

        with socketserver.ThreadingUDPServer(NAMESERVER, Udp) as door:
            threading.Thread(target=door.serve_forever, daemon=True).start()
            yield
            door.shutdown()


@pytest.fixture(scope="module")
def signing_stack(stack, keys):
    """The running system, with these keys in its MongoDB, published already."""
    database = connect(stack.ready["mongo"], name="test")
    with database.client:
        store, now = DkimKeys(database), datetime.now(UTC)
        for name, pem in keys.items():
            read = parse_signing_key(pem)
            key = StoredKey(
                domain=DOMAIN,
                selector=name,
                algorithm=read.algorithm,
                public=read.public,
                state=KeyState.PENDING,
                created_at=now,
            )
            store.add(key, pem)
            store.change(key, KeyState.ACTIVE, now)
    return stack


@pytest.fixture(scope="module")
def delivered(signing_stack, doors, witness) -> list[bytes]:
    """What the next hop has got of some hundred messages that are all different."""
    dice = random.Random(6376)
    sent: list[Mail] = []
    with smtplib.SMTP(HOST, doors["feeder"], "ada.test", timeout=60) as client:
        for _ in range(COUNT):
            fields, body = vary(dice)
            mail = make_mail(body, sender=f"ada@{DOMAIN}", fields=fields)
            client.sendmail(
                mail.sender, mail.recipient, mail.content, ["BODY=8BITMIME"]
            )
            sent.append(mail)
    return [witness.only(mail.recipient).content for mail in sent]


@pytest.fixture(scope="module")
def eight_bit(keys) -> list[bytes]:
    """Messages whose header section is not ASCII, signed as a worker does."""
    dice = random.Random(6532)
    signers = [Signer(DOMAIN, n, parse_signing_key(pem)) for n, pem in keys.items()]
    said = DkimConfig()
    terms = SigningTerms(
        fields=said.signed_fields,
        oversigned=frozenset(said.oversign),
        expire_in=timedelta(days=7),
    )
    contents = []
    for number in range(100):
        fields, body = vary(dice, is_ascii=False)
        header = (
            f"From: Büro <büro@{DOMAIN}>\r\nTo: <bob@b.test>\r\n"
            f"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nSubject: Grüße  {number}\r\n"
        ).encode()
        content = header + fields + b"\r\n" + body
        contents.append(send_out(content, signers, terms, author=f"b@{DOMAIN}"))
    return contents


@pytest.fixture
def files(tmp_path, delivered, eight_bit) -> list[Path]:
    """All of them, each once for each of its signatures."""
    paths = []
    for number, content in enumerate([*delivered, *eight_bit]):
        for name in SELECTORS:
            path = tmp_path / f"{number:03d}.{name}"
            path.write_bytes(only(content, name))
            paths.append(path)
    return paths


def only(content: bytes, selector: str) -> bytes:
    """A message with the one of its signatures that has this selector."""
    fields = re.compile(rb"^DKIM-Signature:.*?\r\n(?![ \t])", re.DOTALL | re.MULTILINE)
    header, end, body = content.partition(b"\r\n\r\n")

    def keep(match: re.Match[bytes]) -> bytes:
        return match[0] if f" s={selector};".encode() in match[0] else b""

    return fields.sub(keep, header + b"\r\n") + end.removeprefix(b"\r\n") + body


def test_dkimpy_takes_all(delivered, eight_bit, records):
    """Each has a signature of each key, and each of them holds."""
    found = [verdicts(content, records.get) for content in (*delivered, *eight_bit)]

    assert len(found) >= COUNT + 100
    assert {tuple(each) for each in found} == {(True, True)}


def test_opendkim_takes_all(files, names, tmp_path):
    """RSA and Ed25519 alike."""
    program = find_program("opendkim-testmsg", "opendkim-tools")
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"nameserver {NAMESERVER[0]}\noptions timeout:2\n")
    # It may look nowhere else: the file is that one for it alone.
    script = (
        f"mount --bind {resolv} /etc/resolv.conf && for file in {tmp_path}/*.?1; do "
        f"{program} -C < $file || echo refused $file; echo read; done"
    )

    said = run("unshare", "--mount", "sh", "-c", script)

    assert said.count("read\n") == len(files) >= 2 * COUNT
    assert said.replace("read\n", "") == ""


def test_mail_dkim_takes_all(files, names):
    """Those by RSA: this version of it knows no other."""
    perl = find_program("perl", "perl")
    try:
        run(perl, "-MMail::DKIM", "-e", "1")
    except AssertionError:
        miss("Perl has no Mail::DKIM (Debian: libmail-dkim-perl)")
    mine = [path for path in files if path.suffix == ".r1"]
    stdin = "".join(f"{path}\n" for path in mine).encode()

    said = run(perl, SCRIPT, NAMESERVER[0], str(NAMESERVER[1]), stdin=stdin)

    assert said.splitlines() == [f"{path} r1 pass" for path in mine]
    assert len(mine) >= COUNT


def test_a_change_is_seen_by_all(files, names, records, tmp_path):
    """So what the tests above have seen means something."""
    content = files[0].read_bytes()
    changed = tmp_path / "changed"
    changed.write_bytes(content.replace(b"Subject: ", b"Subject: not ", 1))
    resolv = tmp_path / "resolv"
    resolv.write_text(f"nameserver {NAMESERVER[0]}\n")
    program = find_program("opendkim-testmsg", "opendkim-tools")
    script = f"mount --bind {resolv} /etc/resolv.conf && {program} -C < {changed}"

    opendkim = run("unshare", "--mount", "sh", "-c", script, expected=[70])
    perl = run("perl", SCRIPT, *map(str, NAMESERVER), stdin=f"{changed}\n".encode())

    assert "Bad signature" in opendkim
    assert perl == f"{changed} r1 fail\n"
    assert verdicts(changed.read_bytes(), records.get) == [False]
