"""A private Postfix that takes mail, stores it durably, and does no more with it.

Everything is held, so that acceptance alone is what it spends time on: no message
wakes the queue manager. Needs root, as Postfix does, and no instance of the system.
"""

import contextlib
import os
import shutil
import signal
import smtplib
import subprocess
import time
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
START_S = 20.0
STOP_S = 20.0
_POLL_S = 0.05

# Whatever makes it wait, or look elsewhere, is off; what makes it safe is not.
_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access static:HOLD
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
in_flow_delay = 0
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
maximal_idle = 600s
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup     unix n - n 60 1 pickup
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 300 1 qmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
trace      unix - - n - 0 bounce
error      unix - - n - - error
retry      unix - - n - - error
anvil      unix - - n - 1 anvil
showq      unix n - n - - showq
postlog    unix-dgram n - n - 1 postlogd
"""


class HoldingPostfix:
    """The instance, running until the block ends.

    Args:
        folder: Not there yet; the user "postfix" must get there.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"{HOST}:{port}"
        self._folder = folder
        self._config = folder / "etc"
        for part in (folder, self._config, folder / "spool", folder / "data"):
            part.mkdir(mode=0o755)
        shutil.chown(folder / "data", "postfix")
        (self._config / "main.cf").write_text(_MAIN.format(folder=folder))
        (self._config / "master.cf").write_text(_MASTER.format(port=port))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._run("postfix", "check")
        master = Path(_known("daemon_directory")) / "master"
        self._process = subprocess.Popen(
            [master, "-c", self._config, "-s"], start_new_session=True
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError("Postfix does not answer")
            time.sleep(_POLL_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()  # the master tells the others
        try:
            self._process.wait(STOP_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pids(self) -> list[int]:
        """The master and its children."""
        assert self._process is not None
        master = self._process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [master, *map(int, children.split())]

    def count(self) -> int:
        """Messages that it holds."""
        files = (self._folder / "spool" / "hold").rglob("*")
        return sum(file.is_file() for file in files)

    def clear(self) -> None:
        """Throw away all that is held."""
        self._run("postsuper", "-d", "ALL", "hold")

    def _answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        try:
            with smtplib.SMTP(host, int(port), timeout=START_S):
                return True
        except OSError:
            return False

    def _run(self, program: str, *arguments: str) -> None:
        command = [program, "-c", str(self._config), *arguments]
        subprocess.run(command, check=True, capture_output=True)


def is_installed() -> bool:
    """Whether all is there that this needs."""
    return os.geteuid() == 0 and shutil.which("postfix") is not None


def _known(parameter: str) -> str:
    """A setting that Postfix was built with."""
    command = ["postconf", "-dh", parameter]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return said.stdout.strip()
