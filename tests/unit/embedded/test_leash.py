import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mta.embedded.leash import leashed, parse_arguments

# Starts a child on a leash, prints its pid, and waits to be killed.
PARENT = """
import os, subprocess, sys
from mta.embedded.leash import leashed
program = "import signal; print('up', flush=True); signal.pause()"
argv = leashed([sys.executable, "-I", "-S", "-c", program],
               parent=int(sys.argv[1]) or os.getpid(), python=sys.executable)
child = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
print(child.wait())
"""


def a_parent(claimed: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(claimed)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )


def test_a_child_ends_when_its_parent_is_killed():
    """kill -9 of the parent is a SIGTERM for the child."""
    with a_parent() as parent:
        pid, word = parent.stdout.readline().split()
        watch = os.pidfd_open(int(pid))

        parent.send_signal(signal.SIGKILL)

        ended, _, _ = select.select([watch], [], [], 30)
        os.close(watch)
    assert word == "up"
    assert ended


def test_a_child_whose_parent_is_gone_does_not_start():
    """Between fork and the request to the kernel the parent may have died."""
    with a_parent(claimed=1) as parent:
        _, _, word = parent.stdout.readline().rstrip("\n").partition(" ")
        status = parent.stdout.readline().strip()

    assert word == ""
    assert status == "1"


def test_the_command_keeps_pid_and_exit_status():
    """The leash becomes the command; it does not stand in between."""
    argv = leashed(
        [sys.executable, "-c", "import os, sys; print(os.getpid()); sys.exit(5)"],
        parent=os.getpid(),
        python=sys.executable,
    )

    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.read())

    assert (pid, process.returncode) == (process.pid, 5)


def test_a_missing_command_is_named():
    """Exit status 127, as a shell gives, and the reason."""
    argv = leashed(["/nonexistent"], parent=os.getpid(), python=sys.executable)

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 127
    assert done.stderr == "leash: /nonexistent: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--"], ["true"], ["--parent", "--", "true"], ["--what", "1", "--", "true"]],
    ids=["nothing", "no command", "no separator", "no pid", "unknown option"],
)
def test_other_arguments_are_refused(arguments):
    """A command is never guessed from arguments of another form."""
    with pytest.raises(ValueError, match=r"no command|option|invalid literal"):
        parse_arguments(arguments)
