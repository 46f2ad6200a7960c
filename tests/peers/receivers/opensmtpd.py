"""An OpenSMTPD that takes mail for everybody.

Debian's package conflicts with Postfix's, so its files alone are fetched. It knows its
folders and its users by name: it is shown ours in their place, in a mount namespace.
"""

import shutil
from pathlib import Path
from typing import Self

from tests.peers.debian import libraries_of, unpack
from tests.peers.receivers.mailbox import Mailbox
from tests.peers.receivers.process import Daemon, greets
from tests.peers.tools import find_program, need_root

IDS = {"opensmtpd": 9001, "opensmtpq": 9002, "vmail": 9003}
CONFIG = """
pki own cert "{chain}"
pki own key "{key}"
smtp max-message-size 300M
listen on {host} port {port} tls pki own hostname opensmtpd.test
table everybody {{ "@" = "vmail" }}
action "store" maildir "{folder}/mail/Maildir" virtual <everybody>
match from any for any action "store"
"""
START = """
set -e
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/group /etc/group
mount --bind {folder}/spool /var/spool
mount --bind {folder}/lib /var/lib
mount --bind {folder}/run /run
mount -t tmpfs tmpfs /usr/libexec
cp -r {root}/usr/libexec/opensmtpd /usr/libexec/
exec env LD_LIBRARY_PATH={libraries} {root}/usr/sbin/smtpd -d -f {folder}/smtpd.conf
"""


class OpenSmtpd:
    """Listens on ``host``:``port``; what it takes is in ``mailbox``."""

    def __init__(
        self, folder: Path, *, host: str, port: int, chain: Path, key: Path
    ) -> None:
        need_root()
        folder.mkdir(mode=0o711)
        unpacked = folder / "package"
        unpacked.mkdir()
        root = unpack(unpacked, ("opensmtpd",))
        for part in ("spool", "lib/opensmtpd/empty", "run", "mail"):
            (folder / part).mkdir(parents=True)
        shutil.chown(folder / "mail", IDS["vmail"], IDS["vmail"])
        own = folder / "key.pem"
        own.write_bytes(key.read_bytes())
        own.chmod(0o600)
        home = f"{folder}/mail"
        users = "".join(f"{n}:x:{i}:{i}::{home}:/bin/sh\n" for n, i in IDS.items())
        groups = "".join(f"{name}:x:{number}:\n" for name, number in IDS.items())
        for name, more in (("passwd", users), ("group", groups)):
            (folder / name).write_text(Path("/etc", name).read_text() + more)
        (folder / "smtpd.conf").write_text(
            CONFIG.format(chain=chain, key=own, host=host, port=port, folder=folder)
        )
        (folder / "start").write_text(
            START.format(folder=folder, root=root, libraries=libraries_of(root))
        )
        self.port = port
        self.mailbox = Mailbox(folder / "mail/Maildir")
        self._log = folder / "log"
        unshare = find_program("unshare", "util-linux")
        command = [unshare, "--mount", "--propagation", "private", "sh"]
        self._daemon = Daemon(
            [*command, folder / "start"], self._log, greets(host, port)
        )

    def __enter__(self) -> Self:
        self._daemon.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.__exit__()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")
