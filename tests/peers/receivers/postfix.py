"""A Postfix that takes mail for everybody, and on another port only after a login."""

import pwd
import shutil
from pathlib import Path
from typing import Self

from tests.peers.private_postfix import find_postfix
from tests.peers.receivers.mailbox import Mailbox
from tests.peers.receivers.process import Daemon, greets
from tests.peers.tools import run

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
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
alias_maps =
alias_database =
notify_classes =
message_size_limit = 0
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = regexp:{folder}/all
virtual_mailbox_maps = static:Maildir/
virtual_mailbox_base = {folder}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_tls_chain_files = {folder}/chain.pem
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_tls_auth_only = yes
"""
MASTER = """
{host}:{port} inet n - n - - smtpd
{host}:{relay} inet n - n - - smtpd
  -o syslog_name=relay
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""
USER = "mail"


class PostfixServer:
    """Listens on ``host``: on ``port`` for strangers, on ``relay`` for its user.

    Args:
        auth: The socket of a Dovecot that knows the user.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str,
        port: int,
        relay: int,
        chain: Path,
        key: Path,
        auth: Path,
    ) -> None:
        programs = find_postfix()
        owner = pwd.getpwnam(USER)
        self._config = folder / "etc"
        for part in (folder, self._config, folder / "spool", folder / "data"):
            part.mkdir(mode=0o755)
        shutil.chown(folder / "data", "postfix")
        mailbox = folder / "Maildir"
        for part in (mailbox, *(mailbox / name for name in ("new", "cur", "tmp"))):
            part.mkdir()
            shutil.chown(part, owner.pw_uid, owner.pw_gid)
        (folder / "all").write_text("/./ OK\n")
        pem = folder / "chain.pem"
        pem.write_bytes(key.read_bytes() + chain.read_bytes())
        pem.chmod(0o600)
        main = MAIN.format(
            folder=folder,
            commands=Path(programs.postfix).parent,
            daemons=programs.daemons,
            host=host,
            uid=owner.pw_uid,
            gid=owner.pw_gid,
            auth=auth,
        )
        (self._config / "main.cf").write_text(main)
        master = MASTER.format(host=host, port=port, relay=relay)
        (self._config / "master.cf").write_text(master)
        run(programs.postfix, "-c", self._config, "check")
        self.port, self.relay = port, relay
        self.mailbox = Mailbox(mailbox)
        self._log = folder / "log"
        command = [programs.daemons / "master", "-c", self._config, "-s"]
        self._daemon = Daemon(command, folder / "output", greets(host, port))

    def __enter__(self) -> Self:
        self._daemon.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.__exit__()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""
