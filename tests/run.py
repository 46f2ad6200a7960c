"""The whole suite (``make test``): tests that mostly wait beside those that compute.

``python -m tests.run [ARGUMENT OF PYTEST]...``

What the first ones print comes when all others are through.
"""

import subprocess
import sys
import tempfile

WAITING = ("tests/e2e",)
PYTEST = (sys.executable, "-m", "pytest")


def main(arguments: list[str]) -> int:
    """Run both parts; the first exit status that is not 0."""
    others = [f"--ignore={folder}" for folder in WAITING]
    with tempfile.TemporaryFile() as kept:
        first = subprocess.Popen(
            [*PYTEST, *WAITING, *arguments], stdout=kept, stderr=subprocess.STDOUT
        )
        try:
            status = subprocess.run([*PYTEST, *others, *arguments], check=False)
            first.wait()
        finally:
            first.terminate()  # somebody pressed Ctrl-C
            first.wait()
            kept.seek(0)
            sys.stdout.buffer.write(kept.read())
            sys.stdout.flush()
    return status.returncode or first.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
