"""A Postfix of our own: its folder, port and log; no daemon of the system.

A client of each of our doors, chosen by the recipient's domain, and a server with the
settings that Postfix comes with, which hands on what it understood.
"""

import contextlib
import os
import shutil
import signal
import smtplib
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.peers.tools import HOST, find_program, miss, need_root, run

START_S = 20.0
STOP_S = 10.0

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = {commands}
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
# What 3.7 comes with; later versions are stricter by themselves.
smtpd_forbid_bare_newline = no
smtpd_forbid_unauth_pipelining = no
alias_maps =
alias_database =
notify_classes =
transport_maps = texthash:{folder}/transport
smtp_sasl_tls_security_options = noanonymous
smtp_tls_CAfile = {authority}
smtp_sasl_password_maps = texthash:{folder}/logins
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
scache    unix - - n - 1 scache
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
smtp      unix - - n - - smtp
lmtp      unix - - n - - lmtp
forwarding unix - - n - - smtp
  -o smtp_send_xforward_command=yes
"""
# A client that encrypts, believes nobody but our authority, and logs in.
SECURE = """
{name} unix - - n - - smtp
  -o smtp_tls_security_level=secure
  -o smtp_tls_secure_cert_match={server}
  -o smtp_tls_wrappermode={wrapped}
  -o smtp_sasl_auth_enable=yes
  -o smtp_sasl_mechanism_filter={mechanism}
"""
_SECURE_CLIENTS = (
    ("scram", "SCRAM-SHA-256", "no"),
    ("plain", "PLAIN", "no"),
    ("login", "LOGIN", "no"),
    ("wrapped", "PLAIN", "yes"),
)
_SASL_MODULES = "sasl2/libscram.so"


@dataclass(frozen=True)
class Programs:
    """Where this machine has Postfix."""

    postfix: str
    sendmail: Path
    daemons: Path


def find_postfix() -> Programs:
    """Look for it; skips where it cannot run, but not in CI."""
    postfix = find_program("postfix", "postfix")
    need_root()
    if not any(Path("/usr/lib").glob(f"*/{_SASL_MODULES}")):
        miss("Postfix cannot log in (Debian: libsasl2-modules)")
    said = run(find_program("postconf", "postfix"), "-hd", "daemon_directory")
    # Beside "postfix": the first sendmail of the PATH may be another system's.
    sendmail = Path(postfix).with_name("sendmail")
    return Programs(postfix, sendmail, Path(said.strip()))


class Postfix:
    """An instance, running until the block ends.

    Args:
        folder: Not there yet, and reachable for the user "postfix".
        port: Where it listens.
        routes: Recipient domain to Postfix's words for transport and next hop.
        authority: The certificate that servers' are checked against.
        login: User and password.
        server: The name that our server's certificate must have.
    """

    def __init__(
        self,
        programs: Programs,
        folder: Path,
        *,
        port: int,
        routes: Mapping[str, str],
        authority: Path,
        login: tuple[str, str],
        server: str,
    ) -> None:
        self.port = port
        self._programs = programs
        self._config = folder / "etc"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        commands = Path(programs.postfix).parent
        for part in (folder, self._config, folder / "spool", folder / "data"):
            part.mkdir(mode=0o755)
        shutil.chown(folder / "data", "postfix")
        main = MAIN.format(
            folder=folder,
            commands=commands,
            daemons=programs.daemons,
            authority=authority,
        )
        master = MASTER.format(port=port) + "".join(
            SECURE.format(
                name=name, mechanism=mechanism, wrapped=wrapped, server=server
            )
            for name, mechanism, wrapped in _SECURE_CLIENTS
        )
        logins = {route.partition(":")[2]: ":".join(login) for route in routes.values()}
        (self._config / "main.cf").write_text(main)
        (self._config / "master.cf").write_text(master)
        _write_table(folder / "transport", routes)
        _write_table(folder / "logins", logins)

    def __enter__(self) -> Self:
        run(self._programs.postfix, "-c", self._config, "check")
        self._process = subprocess.Popen(
            [self._programs.daemons / "master", "-c", self._config, "-s"],
            start_new_session=True,
        )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)  # the master tells the others
        try:
            self._process.wait(STOP_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def smtp(self) -> smtplib.SMTP:
        """A client of its own SMTP server."""
        return smtplib.SMTP(HOST, self.port, "client.test", timeout=30)

    def sendmail(self, content: bytes, sender: str, *arguments: str) -> None:
        """Submit as a local program does; ``arguments`` end with recipients."""
        command = [self._programs.sendmail, "-C", self._config, "-i", "-f", sender]
        run(*command, *arguments, stdin=content)

    def wait_until_empty(self) -> None:
        """Wait until nothing is in its queue."""
        postqueue = Path(self._programs.postfix).with_name("postqueue")
        deadline = time.monotonic() + START_S
        while queue := run(postqueue, "-c", self._config, "-j"):
            assert time.monotonic() < deadline, queue
            time.sleep(0.05)

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), self.smtp():
                return
            time.sleep(0.05)
        raise RuntimeError(f"Postfix does not answer:\n{self.log}")


def _write_table(path: Path, entries: Mapping[str, str]) -> None:
    path.write_text("".join(f"{key} {value}\n" for key, value in entries.items()))
    path.chmod(0o644)
