"""What is signed, by whom, how often, and what follows if that cannot be."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.config.signing_key import ED25519, RSA, SigningKey, parse_signing_key
from mta.config.zones import DkimConfig
from mta.errors import KeyUnusable, StoreUnavailable
from mta.mail.dkim_sign import Signer
from mta.mail.envelope import Envelope
from mta.operate.dkim import make_pem
from mta.store.documents import Body, StoredMessage
from mta.worker.request import header_for
from mta.worker.sealer import Sealer
from tests.support.signing import records_of, take_in, verdicts

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EHLO = "mta.test"
CONTENT = b"From: Ada <ada@A.test>\r\nSubject: hi\r\n\r\nHello \r\n"
HEADER, BODY, BODY_HASH = take_in(CONTENT)


class Counted:
    """A key that counts its operations."""

    def __init__(self, algorithm=RSA, bits=2048):
        key = parse_signing_key(make_pem(algorithm, bits), is_trusted=True)
        self.operations = 0
        self.fault = None

        def sign(data):
            self.operations += 1
            if self.fault:
                raise self.fault
            return key.sign(data)

        self.key = SigningKey(key.algorithm, key.bits, key.public, sign)


class Keys:
    """Signers by domain."""

    def __init__(self, **signers):
        self.signers = {
            name.replace("_", "."): tuple(found) for name, found in signers.items()
        }
        self.fault = None
        self.asked = []

    def find(self, domain):
        self.asked.append(domain)
        if self.fault:
            raise self.fault
        return self.signers.get(domain, ())


def a_message(message_id="m", header=HEADER, **changes):
    return StoredMessage(
        id=message_id,
        envelope=Envelope(
            reverse_path="bounce@b.test",
            recipients=(),
            interface="feeder",
            protocol="ESMTP",
            received_at=NOW,
            session_id="s",
        ),
        header=header,
        body=Body(file_id="f", size=len(BODY), hash=BODY_HASH, md5="", is_8bit=False),
        message_id="<1@a.test>",
        subject="hi",
        created_at=NOW,
        due_at=NOW,
        give_up_at=NOW + timedelta(days=1),
        recipient_count=1,
        **changes,
    )


@pytest.fixture
def rsa():
    return Counted()


@pytest.fixture
def ed25519():
    return Counted(ED25519)


@pytest.fixture
def signers(rsa, ed25519):
    return [Signer("a.test", "r1", rsa.key), Signer("a.test", "e1", ed25519.key)]


def seal(sealer, message=None, recipient="bob@b.test", ehlo=EHLO):
    """The copy of one recipient, without the Received field."""
    message = message or a_message()
    made = sealer.prepare(message, header_for(message, recipient))
    return made.fields(ehlo) + made.header + b"\r\n" + BODY


def a_sealer(keys, now=lambda: NOW, **config):
    return Sealer(Live(DkimConfig(**config)), keys, now)


def test_the_authors_domain_signs_with_all_its_keys(signers):
    """The first key ends on top; the reverse path has no say."""
    sealer = a_sealer(Keys(a_test=signers))

    content = seal(sealer)

    assert verdicts(content, records_of(signers).get) == [True, True]
    assert content.index(b"s=r1") < content.index(b"s=e1")


def test_a_thousand_recipients_cost_one_operation_of_each_key(signers, rsa, ed25519):
    """However many come at once: one signs, and the others wait for that."""
    sealer = a_sealer(Keys(a_test=signers))
    message = a_message()
    contents = set()

    def work(part):
        for number in range(50):
            contents.add(seal(sealer, message, f"r{part}.{number}@b.test"))

    threads = [threading.Thread(target=work, args=[part]) for part in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (rsa.operations, ed25519.operations, len(contents)) == (1, 1, 1)


def test_each_message_is_signed_for_itself(signers, rsa):
    sealer = a_sealer(Keys(a_test=signers))

    seal(sealer, a_message("one"))
    seal(sealer, a_message("two"))

    assert rsa.operations == 2


def test_copies_that_name_their_recipient_are_signed_each(signers, rsa):
    """What each says in its To is covered."""
    sealer = a_sealer(Keys(a_test=signers))
    message = a_message(adds_to=True)

    copies = [seal(sealer, message, f"r{n}@b.test") for n in range(3)]

    assert rsa.operations == 3
    for number, copy in enumerate(copies):
        assert f"To: <r{number}@b.test>\r\n\r\n".encode() in copy
        assert verdicts(copy, records_of(signers).get) == [True, True]
        other = copy.replace(b"To: <r", b"To: <s")
        assert verdicts(other, records_of(signers).get) == [False, False]


def test_the_sending_host_vouches_as_well_if_that_is_wanted(signers, ed25519):
    """By its name in this session; its signature is shared, too."""
    host = Signer(EHLO, "h1", ed25519.key)
    keys = Keys(a_test=signers, mta_test=[host])
    sealer = a_sealer(keys, sign_transport_domain=True)

    content, again = seal(sealer), seal(sealer)
    elsewhere = seal(sealer, ehlo="other.test")

    assert content == again
    assert verdicts(content, records_of([*signers, host]).get) == [True] * 3
    assert len(verdicts(elsewhere, records_of(signers).get)) == 2
    assert ed25519.operations == 2


def test_the_sending_host_does_not_vouch_twice(signers):
    """If it is the author's domain itself."""
    sealer = a_sealer(Keys(a_test=signers), sign_transport_domain=True)

    assert len(verdicts(seal(sealer, ehlo="A.test"), records_of(signers).get)) == 2


@pytest.mark.parametrize("name", ["[192.0.2.1]", "", "not a name"])
def test_a_host_without_a_name_does_not_vouch(signers, name):
    keys = Keys(a_test=signers)

    seal(a_sealer(keys, sign_transport_domain=True), ehlo=name)

    assert keys.asked == ["a.test"]


@pytest.mark.parametrize(
    ("author", "domain"),
    [
        ("ada@BÜCHER.test", "xn--bcher-kva.test"),
        ("=?utf-8?q?a=40b=2Etest?= <ada@c.test>", "c.test"),
        ("ada@c.test, bob@d.test", "c.test"),
        ("ada@[192.0.2.1]", ""),
        ("nobody", ""),
        ("ada@a..test", ""),
    ],
)
def test_whose_key_it_is(author, domain):
    """The first author's, as A-labels; what is no domain has none."""
    keys = Keys()

    seal(a_sealer(keys), a_message(header=f"From: {author}\r\n".encode()))

    assert keys.asked == [domain]


def test_without_a_key_nothing_is_signed():
    assert seal(a_sealer(Keys())) == CONTENT


def test_signing_can_be_switched_off(signers):
    keys = Keys(a_test=signers)

    content = seal(a_sealer(keys, enabled=False, sign_transport_domain=True))

    assert (content, keys.asked) == (CONTENT, [])


def test_the_author_is_named_if_that_is_wanted(signers):
    sealer = a_sealer(Keys(a_test=signers), identity="author")

    content = seal(sealer)

    assert b"i=ada@a.test;" in content
    assert verdicts(content, records_of(signers).get) == [True, True]


def test_a_reload_changes_what_is_covered(signers, rsa):
    """Also of messages that were signed before."""
    config = Live(DkimConfig())
    sealer = Sealer(config, Keys(a_test=signers), lambda: NOW)

    seal(sealer)
    config.replace(DkimConfig(add_signature_timestamp=False))
    content = seal(sealer)

    assert rsa.operations == 2
    assert b" t=" not in content


def test_a_key_that_cannot_be_found_out_makes_mail_wait():
    keys = Keys()
    keys.fault = KeyUnusable("gone")

    with pytest.raises(KeyUnusable):
        seal(a_sealer(keys))


def test_mongodb_that_is_away_makes_mail_wait():
    """Also where mail may go out unsigned: it is back in a moment."""
    keys = Keys()
    keys.fault = StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        seal(a_sealer(keys, on_failure="send"))


def test_a_key_that_cannot_be_found_out_is_done_without_if_that_is_said(caplog):
    keys = Keys()
    keys.fault = KeyUnusable("gone")

    content = seal(a_sealer(keys, on_failure="send", sign_transport_domain=True))

    assert content == CONTENT
    assert "sent unsigned domain=a.test: gone" in caplog.text


def test_signing_that_fails_makes_mail_wait(signers, rsa):
    """A failure is not shared: the next one tries again."""
    sealer = a_sealer(Keys(a_test=signers))
    rsa.fault = RuntimeError("broken")

    with pytest.raises(KeyUnusable, match=r"signing for a.test failed"):
        seal(sealer)
    rsa.fault = None

    assert verdicts(seal(sealer), records_of(signers).get) == [True, True]


def test_signing_that_fails_is_done_without_if_that_is_said(signers, rsa):
    """The other key's signature stays."""
    sealer = a_sealer(Keys(a_test=signers), on_failure="send")
    rsa.fault = RuntimeError("broken")

    content = seal(sealer)

    assert verdicts(content, records_of(signers).get) == [True]
    assert b"s=e1" in content


def test_a_message_is_signed_anew_after_a_while(signers, rsa):
    """Its time is that of the signature, for whoever looks at its age."""
    times = iter([NOW, NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=1)])
    sealer = a_sealer(Keys(a_test=signers), now=lambda: next(times))
    seconds = [0.0]
    sealer._signatures._monotonic = lambda: seconds[0]

    first = seal(sealer)
    seconds[0] += 301
    second = seal(sealer)

    assert rsa.operations == 2
    assert first != second
