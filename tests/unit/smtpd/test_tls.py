"""Certificates for those who connect to us, and the handshake."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from mta.smtpd.tls import (
    HANDSHAKE_S,
    LOOK_S,
    MAX_FILE_BYTES,
    CertificateFiles,
    TlsContexts,
    TlsFault,
    TlsTerms,
    check_files,
    describe,
    shake_hands,
)

CA = trustme.CA()
# Certificates as good as any, told apart by their names.
ISSUED = {
    name: CA.issue_cert(name)
    for name in ("default.test", "mail.test", "*.wild.test", "renewed.test")
}


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def store(folder, name, stem="one"):
    """Write a certificate and its key; over the old ones, if there are any."""
    files = CertificateFiles(
        certificate=folder / f"{stem}.crt", key=folder / f"{stem}.key"
    )
    write(files.certificate, chain_of(name))
    write(files.key, key_of(name))
    return files


def write(path, content):
    """Write in place, with a time of its own however coarse the clock is."""
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(content)
    path.chmod(0o600)
    if path.stat().st_mtime_ns <= stamp:
        os.utime(path, ns=(stamp + 1, stamp + 1))


def chain_of(name):
    return b"".join(pem.bytes() for pem in ISSUED[name].cert_chain_pems)


def key_of(name):
    return ISSUED[name].private_key_pem.bytes()


def locked_key_of(name):
    key = serialization.load_pem_private_key(key_of(name), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def a_client():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    CA.configure_trust(context)
    return context


@contextlib.contextmanager
def connected(context, *, ask_for=None, client=None):
    """Both ends of a connection after their handshake: the client's and ours."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    with ThreadPoolExecutor(1) as pool:
        handshake = pool.submit(shake_hands, ours, context)
        try:
            with (client or a_client()).wrap_socket(
                theirs, server_hostname=ask_for
            ) as peer:
                yield peer, handshake.result()
        finally:
            theirs.close()
            with contextlib.suppress(OSError):
                handshake.result().close()


def name_shown(context, ask_for=None):
    """The name in the certificate that a client gets to see."""
    with connected(context, ask_for=ask_for) as (peer, _):
        ((_, name),) = peer.getpeercert()["subjectAltName"]
        return name


def a_server(folder):
    """One that has a default certificate, and some for other names."""
    terms = TlsTerms(
        files=store(folder, "default.test", "default"),
        by_name={
            "mail.test": store(folder, "mail.test", "mail"),
            "*.wild.test": store(folder, "*.wild.test", "wild"),
        },
    )
    return TlsContexts(terms)


def errors_in(caplog):
    return [record for record in caplog.records if record.levelname == "ERROR"]


def fault_of(files, **terms):
    with pytest.raises(TlsFault) as fault:
        TlsContexts(TlsTerms(files=files, **terms))
    return str(fault.value)


# Which certificate.


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        pytest.param(None, "default.test", id="no name"),
        pytest.param("mail.test", "mail.test", id="a name"),
        pytest.param("MAIL.Test", "mail.test", id="a name in capitals"),
        pytest.param("a.wild.test", "*.wild.test", id="a wildcard"),
        pytest.param("a.b.wild.test", "default.test", id="two labels for a wildcard"),
        pytest.param("wild.test", "default.test", id="no label for a wildcard"),
        pytest.param("unknown.test", "default.test", id="an unknown name"),
        pytest.param("test", "default.test", id="one label"),
    ],
)
def test_the_name_that_a_client_asks_for_chooses_the_certificate(
    tmp_path, asked, shown
):
    """And a name that nobody knows is no reason to fail."""
    assert name_shown(a_server(tmp_path).current(), asked) == shown


def test_a_name_wins_over_a_wildcard(tmp_path):
    """The closest match is what was meant."""
    terms = TlsTerms(
        files=store(tmp_path, "default.test", "default"),
        by_name={
            "*.wild.test": store(tmp_path, "*.wild.test", "wild"),
            "a.wild.test": store(tmp_path, "mail.test", "mail"),
        },
    )

    assert name_shown(TlsContexts(terms).current(), "a.wild.test") == "mail.test"


def test_key_and_certificate_may_be_in_one_file(tmp_path):
    """As some tools write them."""
    path = tmp_path / "both.pem"
    write(path, key_of("mail.test") + chain_of("mail.test"))
    contexts = TlsContexts(TlsTerms(files=CertificateFiles(certificate=path)))

    assert name_shown(contexts.current()) == "mail.test"


# What is agreed on.


def test_what_was_agreed_on_can_be_said_in_a_received_field(tmp_path):
    """Version and cipher suite, in OpenSSL's words."""
    with connected(a_server(tmp_path).current()) as (_, ours):
        said = describe(ours)

    assert re.fullmatch(r"TLSv1\.3 TLS_[A-Z0-9_]+", said)


def test_after_tls_there_is_nothing_to_say_about_it(tmp_path):
    """A socket that was shut down is in clear again."""
    with connected(a_server(tmp_path).current()) as (_, ours):
        ours.shutdown(socket.SHUT_WR)

        assert describe(ours) == ""


def test_octets_travel_both_ways(tmp_path):
    """With the timeout that the socket had before."""
    with connected(a_server(tmp_path).current()) as (peer, ours):
        peer.sendall(b"EHLO client.test\r\n")
        heard = ours.recv(100)
        ours.sendall(b"250 mx.test\r\n")

        assert (heard, peer.recv(100), ours.gettimeout()) == (
            b"EHLO client.test\r\n",
            b"250 mx.test\r\n",
            10,
        )


def test_a_client_of_tls_1_1_is_refused(tmp_path):
    """RFC 8996 has buried it."""
    client = a_client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.set_ciphers("ALL:@SECLEVEL=0")
        client.minimum_version = ssl.TLSVersion.TLSv1
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    context = a_server(tmp_path).current()

    with (
        pytest.raises(ssl.SSLError, match="protocol version"),
        connected(context, client=client),
    ):
        pass


def test_a_client_of_tls_1_2_is_refused_where_1_3_is_the_least(tmp_path):
    """The operator may want it so."""
    client = a_client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    terms = TlsTerms(files=store(tmp_path, "mail.test"), min_version="TLSv1.3")
    context = TlsContexts(terms).current()

    with (
        pytest.raises(ssl.SSLError, match="protocol version"),
        connected(context, client=client),
    ):
        pass


def test_the_operators_ciphers_are_those_of_tls_1_2(tmp_path):
    """The default list would have agreed on another one."""
    client = a_client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    terms = TlsTerms(files=store(tmp_path, "mail.test"), ciphers=cipher)

    with connected(TlsContexts(terms).current(), client=client) as (_, ours):
        assert describe(ours) == f"TLSv1.2 {cipher}"


def test_compression_and_renegotiation_are_off(tmp_path):
    """One tells secrets by their length, the other costs us more than them."""
    options = a_server(tmp_path).current().options

    wanted = (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    assert options & wanted == wanted


# Files that change.


def in_place(folder, name):
    store(folder, name)


def atomically(folder, name):
    aside = folder / "aside"
    aside.mkdir()
    files = store(aside, name)
    files.certificate.replace(folder / files.certificate.name)
    files.key.replace(folder / files.key.name)


@pytest.mark.parametrize("replace", [in_place, atomically])
def test_a_renewed_certificate_is_used_after_the_next_look(tmp_path, replace):
    """Nobody restarts anything for it."""
    clock = Clock()
    contexts = TlsContexts(
        TlsTerms(files=store(tmp_path, "default.test")), monotonic=clock
    )
    replace(tmp_path, "renewed.test")

    clock.now += LOOK_S

    assert name_shown(contexts.current()) == "renewed.test"


@pytest.mark.parametrize("replace", [in_place, atomically])
def test_a_renewed_certificate_of_another_name_is_used_as_well(tmp_path, replace):
    """SNI must not go on choosing what has expired."""
    clock = Clock()
    (tmp_path / "default").mkdir()
    terms = TlsTerms(
        files=store(tmp_path / "default", "default.test"),
        by_name={"mail.test": store(tmp_path, "mail.test")},
    )
    contexts = TlsContexts(terms, monotonic=clock)
    replace(tmp_path, "renewed.test")

    clock.now += LOOK_S
    context = contexts.current()

    shown = [name_shown(context, name) for name in ("mail.test", None)]
    assert shown == ["renewed.test", "default.test"]


def test_names_still_choose_after_the_default_was_renewed(tmp_path):
    """The new context asks for names like the old one."""
    clock = Clock()
    terms = TlsTerms(
        files=store(tmp_path, "default.test"),
        by_name={"mail.test": store(tmp_path, "mail.test", "mail")},
    )
    contexts = TlsContexts(terms, monotonic=clock)
    in_place(tmp_path, "renewed.test")

    clock.now += LOOK_S
    context = contexts.current()

    shown = [name_shown(context, name) for name in ("mail.test", None)]
    assert shown == ["mail.test", "renewed.test"]


def test_the_files_are_not_looked_at_each_time(tmp_path):
    """A crowd of clients is not a crowd of system calls."""
    clock = Clock()
    contexts = TlsContexts(
        TlsTerms(files=store(tmp_path, "default.test")), monotonic=clock
    )
    in_place(tmp_path, "renewed.test")

    clock.now += LOOK_S - 0.1

    assert name_shown(contexts.current()) == "default.test"


def test_files_that_did_not_change_are_not_read_again(tmp_path):
    """The context with its session tickets stays."""
    clock = Clock()
    contexts = TlsContexts(
        TlsTerms(files=store(tmp_path, "default.test")), monotonic=clock
    )
    before = contexts.current()

    clock.now += LOOK_S

    assert contexts.current() is before


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda files: write(files.certificate, b"?"), id="nonsense"),
        pytest.param(lambda files: files.certificate.unlink(), id="missing"),
        pytest.param(
            lambda files: write(files.key, key_of("mail.test")), id="another's key"
        ),
    ],
)
def test_a_broken_replacement_keeps_the_old_certificate(tmp_path, caplog, spoil):
    """One complaint, however long it lasts, and clients are served."""
    clock = Clock()
    files = store(tmp_path, "default.test")
    contexts = TlsContexts(TlsTerms(files=files), monotonic=clock)
    before = contexts.current()
    spoil(files)

    for _ in range(3):
        clock.now += LOOK_S
        after = contexts.current()

    assert after is before
    assert len(errors_in(caplog)) == 1


def test_a_broken_certificate_does_not_keep_others_from_renewal(tmp_path):
    """Each pair of files is on its own."""
    clock = Clock()
    broken = store(tmp_path, "mail.test", "mail")
    terms = TlsTerms(
        files=store(tmp_path, "default.test"), by_name={"mail.test": broken}
    )
    contexts = TlsContexts(terms, monotonic=clock)
    write(broken.key, b"?")
    in_place(tmp_path, "renewed.test")

    clock.now += LOOK_S
    context = contexts.current()

    shown = [name_shown(context, name) for name in ("mail.test", None)]
    assert shown == ["mail.test", "renewed.test"]


def test_a_replacement_in_two_steps_is_whole_in_the_end(tmp_path):
    """Between the new certificate and its key, neither fits the other."""
    clock = Clock()
    files = store(tmp_path, "default.test")
    contexts = TlsContexts(TlsTerms(files=files), monotonic=clock)
    write(files.certificate, chain_of("renewed.test"))
    clock.now += LOOK_S
    contexts.current()
    write(files.key, key_of("renewed.test"))

    clock.now += LOOK_S

    assert name_shown(contexts.current()) == "renewed.test"


def test_files_that_are_no_good_are_tried_again_though_they_look_the_same(tmp_path):
    """Permissions that are put right change no time, size or inode."""
    clock = Clock()
    files = store(tmp_path, "default.test")
    contexts = TlsContexts(TlsTerms(files=files), monotonic=clock)
    write(files.certificate, chain_of("renewed.test"))
    write(files.key, b"?" * len(key_of("renewed.test")))
    stamp = files.key.stat().st_mtime_ns
    clock.now += LOOK_S
    contexts.current()
    files.key.write_bytes(key_of("renewed.test"))
    os.utime(files.key, ns=(stamp, stamp))

    clock.now += LOOK_S

    assert name_shown(contexts.current()) == "renewed.test"


@pytest.mark.parametrize(
    ("mode", "warnings_"), [(0o604, 1), (0o644, 1), (0o640, 0), (0o600, 0)]
)
def test_a_key_that_anybody_may_read_is_worth_one_warning(
    tmp_path, caplog, mode, warnings_
):
    """A group may be meant; the world is not."""
    clock = Clock()
    files = store(tmp_path, "default.test")
    files.key.chmod(mode)
    contexts = TlsContexts(TlsTerms(files=files), monotonic=clock)
    in_place(tmp_path, "renewed.test")
    files.key.chmod(mode)

    clock.now += LOOK_S
    contexts.current()

    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == warnings_


# Files that are no good.


def test_a_certificate_that_is_missing_is_named(tmp_path):
    """The operator reads which file, and why."""
    files = CertificateFiles(certificate=tmp_path / "none.crt")

    assert fault_of(files) == (
        f"{tmp_path}/none.crt: cannot be read: No such file or directory"
    )


def test_a_key_that_is_missing_is_named(tmp_path):
    """And not the certificate, which is there."""
    files = store(tmp_path, "mail.test")
    files.key.unlink()

    assert fault_of(files).startswith(f"{files.key}: cannot be read")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """A process's own memory is a file that begins with nothing to read."""
    files = CertificateFiles(certificate=Path("/proc/self/mem"))

    assert fault_of(files).startswith("/proc/self/mem: cannot be read")


def test_a_pipe_in_place_of_a_file_is_not_opened(tmp_path):
    """It would keep us waiting for ever."""
    os.mkfifo(tmp_path / "pipe")
    files = CertificateFiles(certificate=tmp_path / "pipe")

    assert fault_of(files) == f"{tmp_path}/pipe: is not a file"


def test_a_file_that_is_no_certificate_by_its_size_is_not_read_whole(tmp_path):
    """Somebody named a database."""
    files = store(tmp_path, "mail.test")
    write(files.certificate, b"x" * (MAX_FILE_BYTES + 1))

    assert fault_of(files) == f"{files.certificate}: is too large for a certificate"


def test_a_file_without_a_certificate_is_named(tmp_path):
    """The key's file in the certificate's place, say."""
    files = store(tmp_path, "mail.test")
    swapped = CertificateFiles(certificate=files.key, key=files.certificate)

    assert fault_of(swapped) == f"{files.key}: has no certificate in PEM in it"


def test_a_file_without_a_key_is_named(tmp_path):
    """The key was forgotten."""
    files = store(tmp_path, "mail.test")
    alone = CertificateFiles(certificate=files.certificate)

    assert fault_of(alone) == f"{files.certificate}: has no private key in PEM in it"


def test_a_key_of_another_certificate_is_named_with_it(tmp_path):
    """Both files are good; together they are not."""
    files = store(tmp_path, "mail.test")
    write(files.key, key_of("default.test"))

    assert fault_of(files) == (
        f"{files.key}: the key is not that of the certificate {files.certificate}"
    )


def test_a_key_of_another_kind_is_not_that_of_the_certificate_either(tmp_path):
    """OpenSSL has another word for it."""
    files = store(tmp_path, "mail.test")
    other = CA.issue_cert("other.test", key_type=trustme.KeyType.RSA)
    write(files.key, other.private_key_pem.bytes())

    assert "the key is not that of the certificate" in fault_of(files)


def test_a_key_with_a_passphrase_asks_nobody_for_it(tmp_path):
    """There is no terminal, and we must not wait for one."""
    files = store(tmp_path, "mail.test")
    write(files.key, locked_key_of("mail.test"))

    assert fault_of(files).startswith(
        f"{files.key}: the key is protected by a passphrase"
    )


@pytest.mark.parametrize("which", ["certificate", "key"])
def test_a_damaged_file_is_named(tmp_path, which):
    """A copy that was cut short."""
    files = store(tmp_path, "mail.test")
    path = getattr(files, which)
    write(path, path.read_bytes()[:100])

    assert fault_of(files) == (
        f"{files.certificate}: it or its key {files.key} is damaged"
    )


@pytest.mark.parametrize("ciphers", ["NONSENSE", "", "A\0B"])
def test_ciphers_that_nobody_knows_are_named(tmp_path, ciphers):
    """Else every handshake would fail."""
    files = store(tmp_path, "mail.test")

    assert fault_of(files, ciphers=ciphers) == f"ciphers: none is known in {ciphers!r}"


def test_good_files_have_no_faults(tmp_path):
    """What the check lets pass can be served."""
    assert check_files(TlsTerms(files=store(tmp_path, "mail.test"))) == ()


def test_the_check_finds_every_fault_in_the_words_of_the_server(tmp_path):
    """The operator mends them all at once."""
    missing = CertificateFiles(certificate=tmp_path / "none.crt")
    mixed = store(tmp_path, "mail.test")
    write(mixed.key, key_of("default.test"))
    terms = TlsTerms(files=missing, by_name={"mail.test": mixed})

    found = [str(fault) for fault in check_files(terms)]

    assert found == [fault_of(missing), fault_of(mixed)]


def test_the_check_names_bad_ciphers_once(tmp_path):
    """However many certificates there are."""
    terms = TlsTerms(
        files=store(tmp_path, "default.test"),
        by_name={"mail.test": store(tmp_path, "mail.test", "mail")},
        ciphers="NONSENSE",
    )

    assert len(check_files(terms)) == 1


# Peers that waste our time.


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def hello():
    """The first octets of a client's handshake."""
    outgoing = ssl.MemoryBIO()
    client = a_client().wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_silent_peer_is_let_go_in_time(tmp_path, pair):
    """And its socket is closed: nobody else has it."""
    ours, theirs = pair
    context = a_server(tmp_path).current()

    with pytest.raises(TimeoutError):
        shake_hands(ours, context, timeout_s=0.01)

    assert theirs.recv(1) == b""


def test_a_dripping_peer_is_let_go_in_time(tmp_path, pair):
    """One octet a second would make a handshake last for minutes."""
    ours, theirs = pair
    octets = iter(hello())
    sent = []

    def monotonic():
        # A second passes, and one more octet is there whenever we look.
        sent.append(next(octets))
        theirs.send(bytes(sent[-1:]))
        return float(len(sent))

    with pytest.raises(TimeoutError):
        shake_hands(ours, a_server(tmp_path).current(), monotonic=monotonic)

    assert len(sent) == HANDSHAKE_S + 1


def test_a_peer_that_reads_nothing_is_let_go_in_time(tmp_path, pair):
    """Our certificate does not fit into its window."""
    ours, theirs = pair
    theirs.send(hello())
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(4096))

    with pytest.raises(TimeoutError):
        shake_hands(ours, a_server(tmp_path).current(), timeout_s=0.01)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"EHLO client.test\r\n", id="SMTP"),
        pytest.param(b"\x16\x03\x01\xff\xff" + bytes(100), id="noise"),
        pytest.param(hello()[:40], id="half a hello"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_peer_that_does_no_tls_is_an_error_at_once(tmp_path, pair, said):
    """The connection cannot go on, in clear least of all."""
    ours, theirs = pair
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)

    with pytest.raises(OSError, match=r"(?i)ssl|eof|connection"):
        shake_hands(ours, a_server(tmp_path).current())


def test_a_peer_that_is_gone_already_is_an_error(tmp_path):
    """A socket that is not connected any more is not taken for one that is safe."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as theirs,
        server.accept()[0] as ours,
    ):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1] + [0] * 7))
        theirs.close()

        with pytest.raises(OSError, match="not connected"):
            shake_hands(ours, a_server(tmp_path).current())


# Under gevent.

UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import socket, ssl, sys
import gevent
from pathlib import Path
from mta.smtpd.tls import *

files = [CertificateFiles(certificate=Path(a), key=Path(b)) for a, b in
         zip(sys.argv[1:5:2], sys.argv[2:5:2])]
contexts = TlsContexts(TlsTerms(files=files[0], by_name={"mail.test": files[1]}))
silent, _peer = socket.socketpair()
waiting = gevent.spawn(shake_hands, silent, contexts.current())
ours, theirs = socket.socketpair()
serving = gevent.spawn(shake_hands, ours, contexts.current())
client = ssl.create_default_context(cafile=sys.argv[-1])
with client.wrap_socket(theirs, server_hostname="mail.test") as peer:
    with serving.get(timeout=10) as tls:
        tls.sendall(b"hello")
        assert peer.recv(10) == b"hello"
        assert describe(tls).startswith("TLSv1.3 "), describe(tls)
assert not waiting.ready()
waiting.kill()
late, _other = socket.socketpair()
try:
    shake_hands(late, contexts.current(), timeout_s=0.01)
except TimeoutError:
    print("done")
"""


def test_greenlets_shake_hands_side_by_side(tmp_path):
    """One silent client must not keep the others waiting."""
    default = store(tmp_path, "default.test", "default")
    mail = store(tmp_path, "mail.test", "mail")
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = (default.certificate, default.key, mail.certificate, mail.key)
    script = [sys.executable, "-c", UNDER_GEVENT]

    ran = subprocess.run(
        [*script, *map(str, files), str(tmp_path / "ca.pem")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )

    assert (ran.stdout, ran.stderr) == ("done\n", "")
