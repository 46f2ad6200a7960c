"""An Exim of our own, unpacked from Debian's packages; nothing is installed.

Its package conflicts with Postfix's, so its files alone are fetched, and those
libraries that the machine lacks. It wants a user of its own, and is shown one that
the machine has under that name. No daemon: each call delivers before it returns.
"""

import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.debian import libraries_of, unpack
from tests.peers.mails import Mail
from tests.peers.tools import need_root, run

PACKAGES = ("exim4-daemon-light", "libnss-wrapper")
USER = "Debian-exim"
STAND_IN = "mail"

WRAPPER = """#!/bin/sh
LD_LIBRARY_PATH={libraries} LD_PRELOAD=libnss_wrapper.so \
NSS_WRAPPER_PASSWD={folder}/passwd NSS_WRAPPER_GROUP={folder}/group
export LD_LIBRARY_PATH LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
exec {program} "$@"
"""

CONFIG = """
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = exim.test
keep_environment =
never_users =
disable_ipv6 = true
tls_advertise_hosts =
acl_smtp_rcpt = accept
untrusted_set_sender = *
local_from_check = false
allow_utf8_domains = true
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *

begin routers
{routers}
begin transports
{transports}
begin authenticators
plain_login:
  driver = plaintext
  public_name = PLAIN
  client_condition = ${{if !eq{{$transport_name}}{{login}}}}
  client_send = ^{user}^{password}
login_login:
  driver = plaintext
  public_name = LOGIN
  client_condition = ${{if eq{{$transport_name}}{{login}}}}
  client_send = : {user} : {password}
"""
ROUTER = """
to_{name}:
  driver = manualroute
  domains = {name}.test
  transport = {name}
  route_list = * localhost byname
  self = send
"""
TRANSPORT = """
{name}:
  driver = smtp
  port = {port}
"""


@dataclass(frozen=True)
class Route:
    """Where the mail of one recipient domain goes: a port, and how.

    Attributes:
        options: Of Exim's smtp transport.
    """

    port: int
    options: Sequence[str] = field(default=())


def secure(authority: Path, *more: str) -> tuple[str, ...]:
    """Options of a client that encrypts, checks the server's name, and logs in."""
    return (
        *("hosts_require_tls = *", "hosts_require_auth = *", "tls_verify_hosts = *"),
        *(f"tls_verify_certificates = {authority}", "tls_verify_cert_hostnames = *"),
        *more,
    )


class Exim:
    """A client; nothing of it stays running.

    Args:
        folder: Reachable for other users.
        routes: By the first label of a recipient domain under .test.
        login: User and password.
    """

    def __init__(
        self, folder: Path, *, routes: Mapping[str, Route], login: tuple[str, str]
    ) -> None:
        need_root()
        self._folder = folder
        folder.mkdir()
        self._program = unpack_exim(folder)
        self._config = folder / "exim.conf"
        (folder / "spool").mkdir()
        shutil.chown(folder / "spool", STAND_IN, STAND_IN)
        routers = "".join(ROUTER.format(name=name) for name in routes)
        transports = "".join(
            TRANSPORT.format(name=name, port=route.port)
            + "".join(f"  {option}\n" for option in route.options)
            for name, route in routes.items()
        )
        self._config.write_text(
            CONFIG.format(
                program=self._program,
                folder=folder,
                routers=routers,
                transports=transports,
                user=login[0],
                password=login[1],
            )
        )

    @property
    def log(self) -> str:
        """What it has logged of deliveries."""
        return (self._folder / "spool/mainlog").read_text(errors="replace")

    def send(
        self, mail: Mail, *, mail_words: str = "", rcpt_words: str = "", to: str = ""
    ) -> None:
        """Hand a message in by SMTP on stdin; it is delivered when this returns.

        Args:
            to: More recipients, as RCPT commands without line ends.
        """
        stuffed = mail.content.replace(b"\r\n.", b"\r\n..")
        commands = (
            "EHLO client.test\r\n"
            f"MAIL FROM:<{mail.sender}>{mail_words}\r\n"
            f"RCPT TO:<{mail.recipient}>{rcpt_words}\r\n{to}DATA\r\n"
        ).encode()
        said = run(
            *(self._program, "-C", self._config, "-odi", "-bs"),
            stdin=commands + stuffed + b".\r\nQUIT\r\n",
            env={},
        )
        assert "250 OK id=" in said, said


def unpack_exim(folder: Path) -> Path:
    """Fetch and unpack; returns the program to call."""
    root = unpack(folder, PACKAGES)
    program = root / "usr/sbin/exim4"
    # With set-uid it would not be told of our libraries.
    program.chmod(0o755)
    user = pwd.getpwnam(STAND_IN)
    passwd = f"root:x:0:0::/:\n{USER}:x:{user.pw_uid}:{user.pw_gid}::/:\n"
    (folder / "passwd").write_text(passwd)
    (folder / "group").write_text(f"root:x:0:\n{USER}:x:{user.pw_gid}:\n")
    wrapper = folder / "exim"
    wrapper.write_text(
        WRAPPER.format(libraries=libraries_of(root), folder=folder, program=program)
    )
    wrapper.chmod(0o755)
    return wrapper
