"""Postfix's load generator: many sessions at once, many messages in each."""

import pytest

from tests.peers.tools import HOST, find_program, run

SESSIONS, MESSAGES, OCTETS = 10, 200, 2000


@pytest.mark.parametrize(("door", "options"), [("feeder", ()), ("lmtp", ("-L",))])
def test_smtp_source_sends_many(doors, witness, door, options):
    """As many messages arrive as it sends, each once and each whole."""
    program = find_program("smtp-source", "postfix")
    load = ("-s", str(SESSIONS), "-m", str(MESSAGES), "-l", str(OCTETS), "-N")
    names = ("-f", "source@sender.test", "-t", f"-{door}@peers.test")

    run(program, *options, *load, *names, f"{HOST}:{doors[door]}")

    arrived = witness.all_of(f"-{door}@peers.test", MESSAGES)
    assert len(arrived) == MESSAGES
    (body,) = {letter.body for letter in arrived}
    assert len(body) == OCTETS + len(b"\r\n")  # it ends its last line, too
