"""A Dovecot: mailboxes behind LMTP, and the logins of a Postfix."""

import pwd
import shutil
from pathlib import Path
from typing import Self

from tests.peers.receivers.mailbox import Mailbox
from tests.peers.receivers.process import Daemon, greets
from tests.peers.tools import find_program, miss, need_root

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
info_log_path = {folder}/log
auth_verbose = yes
protocols = lmtp
ssl = no
mail_location = maildir:{folder}/mail/Maildir
first_valid_uid = 1
auth_mechanisms = plain login scram-sha-256 cram-md5
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
}}
service auth {{
  unix_listener postfix {{
    mode = 0666
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@dovecot.test
}}
service anvil {{
  chroot =
}}
"""
USER = "mail"


class Dovecot:
    """Speaks LMTP on ``host``:``port``; ``auth`` is where a Postfix asks it."""

    def __init__(
        self, folder: Path, *, host: str, port: int, login: tuple[str, str]
    ) -> None:
        need_root()
        program = find_program("dovecot", "dovecot-lmtpd")
        if not Path("/usr/lib/dovecot/lmtp").exists():
            miss("Dovecot has no LMTP (Debian: dovecot-lmtpd)")
        folder.mkdir(mode=0o755)
        owner = pwd.getpwnam(USER)
        for part in ("run", "state", "mail"):
            (folder / part).mkdir(mode=0o755)
        shutil.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        (folder / "users").write_text(":".join((login[0], "{PLAIN}" + login[1])) + "\n")
        config = folder / "dovecot.conf"
        config.write_text(
            CONFIG.format(
                folder=folder,
                uid=owner.pw_uid,
                gid=owner.pw_gid,
                host=host,
                port=port,
            )
        )
        self.port = port
        self.auth = folder / "run/postfix"
        self.mailbox = Mailbox(folder / "mail/Maildir")
        self._log = folder / "log"
        self._daemon = Daemon(
            [program, "-F", "-c", config], folder / "output", greets(host, port)
        )

    def __enter__(self) -> Self:
        self._daemon.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.__exit__()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""
