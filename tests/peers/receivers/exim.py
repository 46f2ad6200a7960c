"""An Exim that takes mail for everybody, and for some domains only after a login."""

import pwd
import shutil
from pathlib import Path
from typing import Self

from tests.peers.private_exim import STAND_IN, USER, unpack_exim
from tests.peers.receivers.mailbox import Mailbox
from tests.peers.receivers.process import Daemon, greets
from tests.peers.tools import need_root

CONFIG = """
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
pid_file_path = {folder}/spool/pid
primary_hostname = exim.test
local_interfaces = {host}
daemon_smtp_ports = {port}
keep_environment =
never_users =
disable_ipv6 = true
deliver_drop_privilege = true
log_selector = +all
allow_utf8_domains = true
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
message_size_limit = 0
tls_advertise_hosts = *
tls_certificate = {chain}
tls_privatekey = {key}
auth_advertise_hosts = ${{if def:tls_in_cipher{{*}}}}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept

begin acl
rcpt:
  deny domains = login.test : cram.test : eximwrong.test
       !authenticated = *
       message = authentication required
  accept

begin routers
all:
  driver = accept
  transport = store

begin transports
store:
  driver = appendfile
  directory = {folder}/Maildir
  maildir_format
  create_directory = false
  user = {user}
  message_prefix =
  message_suffix =
  return_path_add
  delivery_date_add

begin authenticators
plain_server:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if eq{{$auth2 $auth3}}{{{login} {password}}}}}
  server_set_id = $auth2
cram_server:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{login}}}{{{password}}}fail}}
  server_set_id = $auth1
"""


class EximServer:
    """Listens on ``host``:``port``; what it takes is in ``mailbox``."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str,
        port: int,
        chain: Path,
        key: Path,
        login: tuple[str, str],
    ) -> None:
        need_root()
        folder.mkdir()
        program = unpack_exim(folder)
        user = pwd.getpwnam(STAND_IN)
        for part in (
            "spool",
            "Maildir",
            *(f"Maildir/{n}" for n in ("new", "cur", "tmp")),
        ):
            (folder / part).mkdir()
            shutil.chown(folder / part, user.pw_uid, user.pw_gid)
        own = folder / "key.pem"  # it reads the key when it is not root any more
        own.write_bytes(key.read_bytes())
        shutil.chown(own, user.pw_uid, user.pw_gid)
        config = folder / "exim.conf"
        config.write_text(
            CONFIG.format(
                program=program,
                folder=folder,
                host=host,
                port=port,
                chain=chain,
                key=own,
                user=USER,
                login=login[0],
                password=_quoted(login[1]),
            )
        )
        self.port = port
        self.mailbox = Mailbox(folder / "Maildir")
        self._log = folder / "spool/mainlog"
        command = [program, "-C", config, "-bdf", "-odb"]
        self._daemon = Daemon(command, folder / "output", greets(host, port))

    def __enter__(self) -> Self:
        self._daemon.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.__exit__()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _quoted(text: str) -> str:
    """For the inside of an expansion."""
    return "".join(rf"\{char}" if char in "\\${},:" else char for char in text)
