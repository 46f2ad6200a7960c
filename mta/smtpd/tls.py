"""TLS for those who connect to us: which certificate, and the handshake.

Certificates come from files, and are read again when the files have changed: a
renewed one needs no restart. Files that are no good any more are reported once,
and what was read before stays in use. The name that a client asks for (SNI)
chooses among them; one that nobody has a certificate for gets the default, which
protects from more than a failed handshake would.

A handshake has one deadline for all of it: a peer that drips octets does not
renew it. Works on the plain ``ssl`` module, and as it is once gevent has patched
it. Whether TLS is wanted, and what was said before it, is for the caller (RFC
3207 §4.2: nothing that came in clear may be believed after).
"""

import logging
import select
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

log = logging.getLogger(__name__)

# All of a handshake, in seconds: three round trips by a slow line, and patience.
HANDSHAKE_S = 30.0
# Between two looks at the files, in seconds: some system calls, so not each time.
LOOK_S = 5.0
# A chain of ten certificates with large keys is some 30 KiB.
MAX_FILE_BYTES = 1024 * 1024

_VERSIONS = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_OPTIONS = (
    ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
)
# How PEM's labels end; some begin with "TRUSTED", "EC" or "ENCRYPTED".
_CERTIFICATE_MARK = b"CERTIFICATE-----"
_KEY_MARK = b"PRIVATE KEY-----"
# OpenSSL's reasons; the last is for a key of another algorithm.
_MISMATCHES = frozenset(
    {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
)

# What tells one state of a file from another: mtime_ns, size, inode.
_Stamp: TypeAlias = tuple[int, int, int] | None


class TlsFault(ValueError):
    """Files or terms that TLS cannot be done with; says which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """A certificate and its key, in PEM.

    Attributes:
        certificate: Followed by the chain up to the root, which may be left out.
        key: Without a passphrase; None: in the same file.
    """

    certificate: Path
    key: Path | None = None

    @property
    def key_path(self) -> Path:
        """Where the key is."""
        return self.key or self.certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsTerms:
    """How one listener does TLS.

    Attributes:
        files: The default, for clients that ask for no name, or for an unknown one.
        by_name: For clients that ask for one: lower-case A-labels, or
            ``"*.example.test"`` for every name of just one label more.
        ciphers: In OpenSSL's notation, for TLS 1.2 alone: those of 1.3 are all
            good. None: Python's choice.
    """

    files: CertificateFiles
    by_name: Mapping[str, CertificateFiles] = field(default_factory=dict)
    min_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    ciphers: str | None = None


class TlsContexts:
    """The contexts of one listener, as fresh as their files.

    Args:
        monotonic: The clock; seconds.

    Raises:
        TlsFault: A file is missing, cannot be read or holds nothing of use, the
            key belongs to another certificate or wants a passphrase, or no cipher
            of the list is known.
    """

    def __init__(
        self, terms: TlsTerms, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._look_at = monotonic() + LOOK_S
        pairs = {files: _Pair(files, terms) for files in _each_once(terms)}
        self._pairs = tuple(pairs.values())
        self._default = pairs[terms.files]
        self._by_name = {name: pairs[files] for name, files in terms.by_name.items()}
        self._prepare_default()

    def current(self) -> ssl.SSLContext:
        """Return the context for the next handshake; never fails."""
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            for pair in self._pairs:
                pair.refresh()
            self._prepare_default()
        return self._default.context

    def _prepare_default(self) -> None:
        if self._by_name:
            self._default.context.sni_callback = self._on_name

    def _on_name(
        self, tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Called in mid-handshake; ``name`` is the client's, if it asks for one."""
        pair = self._find(name) if name else None
        if pair is not None:
            tls.context = pair.context

    def _find(self, name: str) -> "_Pair | None":
        name = name.lower().removesuffix(".")
        _, _, parent = name.partition(".")
        return self._by_name.get(name) or self._by_name.get(f"*.{parent}")


def check_files(terms: TlsTerms) -> tuple[TlsFault, ...]:
    """Find everything that ``TlsContexts`` would not take; empty if all is well."""
    faults: dict[str, TlsFault] = {}
    for files in _each_once(terms):
        try:
            _load(files, terms)
        except TlsFault as fault:
            faults[str(fault)] = fault  # bad ciphers are bad for every file
    return tuple(faults.values())


def shake_hands(
    sock: socket.socket,
    context: ssl.SSLContext,
    timeout_s: float = HANDSHAKE_S,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> ssl.SSLSocket:
    """Do the handshake, as server.

    Args:
        sock: Connected; taken over, and closed if this fails.
        timeout_s: For all of the handshake, in seconds.

    Returns:
        What to talk through from now on, with the timeout that ``sock`` had.

    Raises:
        TimeoutError: It took longer than ``timeout_s``.
        ssl.SSLError: The two sides did not agree, or the peer speaks no TLS.
        OSError: The connection is gone.
    """
    deadline = monotonic() + timeout_s
    usual_timeout = sock.gettimeout()
    owner = sock
    try:
        sock.setblocking(False)
        # If the peer has reset the connection, wrap_socket() loses the descriptor.
        sock.getpeername()
        owner = tls = context.wrap_socket(
            sock,
            server_side=True,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=True,
        )
        while wanted := _advance(tls):
            _wait(tls, wanted, deadline - monotonic())
        tls.settimeout(usual_timeout)
    except BaseException:
        owner.close()
        raise
    return tls


def describe(sock: ssl.SSLSocket) -> str:
    """Return ``"TLSv1.3 TLS_AES_256_GCM_SHA384"``, or "" once TLS is over."""
    cipher = sock.cipher()
    return f"{sock.version()} {cipher[0]}" if cipher else ""


class _Pair:
    """One certificate with its key, and the context that was made of them."""

    def __init__(self, files: CertificateFiles, terms: TlsTerms) -> None:
        self._files = files
        self._terms = terms
        self._fault = ""
        self._has_warned = False
        # Looked at first: what changes while we read is read again.
        self._stamps = _stamps_of(files)
        self.context = _load(files, terms)
        self._warn_of_readers()

    def refresh(self) -> None:
        """Load the files again if they have changed, or were no good before."""
        stamps = _stamps_of(self._files)
        # A file that could not be read may be put right without a new stamp.
        if stamps == self._stamps and not self._fault:
            return
        self._stamps = stamps
        try:
            self.context = _load(self._files, self._terms)
        except TlsFault as fault:
            if str(fault) != self._fault:
                log.error("certificate not loaded, the old one stays: %s", fault)
            self._fault = str(fault)
            return
        self._fault = ""
        log.info("certificate loaded file=%s", self._files.certificate)
        self._warn_of_readers()

    def _warn_of_readers(self) -> None:
        if self._has_warned:
            return
        try:
            mode = self._files.key_path.stat().st_mode
        except OSError:
            return  # replaced just now; the next look sees it
        if mode & stat.S_IROTH:
            self._has_warned = True
            log.warning("key may be read by anybody file=%s", self._files.key_path)


def _each_once(terms: TlsTerms) -> Iterable[CertificateFiles]:
    """One certificate often serves several names."""
    return dict.fromkeys((terms.files, *terms.by_name.values()))


def _stamps_of(files: CertificateFiles) -> tuple[_Stamp, _Stamp]:
    return _stamp(files.certificate), _stamp(files.key_path)


def _stamp(path: Path) -> _Stamp:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _load(files: CertificateFiles, terms: TlsTerms) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[terms.min_version]
    context.options |= _OPTIONS
    if terms.ciphers is not None:
        try:
            context.set_ciphers(terms.ciphers)
        except (ssl.SSLError, ValueError):
            raise TlsFault(f"ciphers: none is known in {terms.ciphers!r}") from None
    _expect(files.certificate, _CERTIFICATE_MARK, "certificate")
    _expect(files.key_path, _KEY_MARK, "private key")
    try:
        _load_chain(context, files)
    except ssl.SSLError as error:
        raise _explain(error, files) from None
    except OSError as error:
        # Between _expect() and here; OpenSSL does not say which file.
        raise TlsFault(f"{files.certificate}: {error.strerror}") from None
    return context


def _expect(path: Path, mark: bytes, what: str) -> None:
    """See that a file can be read and looks like what it should be.

    OpenSSL's own words for most of this are "PEM lib", and name no file.

    Raises:
        TlsFault: It cannot, or does not.
    """
    try:
        # Opening anything else may wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise TlsFault(f"{path}: is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TlsFault(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise TlsFault(f"{path}: is too large for a {what}")
    if mark not in content:
        raise TlsFault(f"{path}: has no {what} in PEM in it")


def _load_chain(context: ssl.SSLContext, files: CertificateFiles) -> None:
    def refuse() -> NoReturn:
        # Without this OpenSSL would ask the terminal.
        raise TlsFault(
            f"{files.key_path}: the key is protected by a passphrase, and nobody is"
            " there to type it; store it without"
        )

    context.load_cert_chain(files.certificate, files.key, password=refuse)


def _explain(error: ssl.SSLError, files: CertificateFiles) -> TlsFault:
    certificate, key = files.certificate, files.key_path
    if error.reason in _MISMATCHES:
        return TlsFault(f"{key}: the key is not that of the certificate {certificate}")
    if error.reason:
        reason = error.reason.lower().replace("_", " ")
        return TlsFault(f"{certificate}: cannot be used: {reason}")
    return TlsFault(f"{certificate}: it or its key {key} is damaged")


def _advance(tls: ssl.SSLSocket) -> int:
    """Go on with the handshake; what to wait for, or 0 when it is done."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return select.POLLIN
    except ssl.SSLWantWriteError:
        return select.POLLOUT
    return 0


def _wait(tls: ssl.SSLSocket, event: int, patience_s: float) -> None:
    # Not select(): it knows no descriptor above 1023.
    poll = select.poll()
    poll.register(tls, event)
    if patience_s <= 0 or not poll.poll(patience_s * 1000):
        raise TimeoutError("the TLS handshake took too long")
