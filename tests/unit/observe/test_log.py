"""One event, one line: whatever strangers wrote into it."""

import json
import logging
import sys

import pytest

from mta.observe.log import JsonFormatter, TextFormatter

HOSTILE = "a\r\nFORGED \x1b[2J\u2028b\x85c"


@pytest.fixture
def a_record():
    """Build a record; with ``error``, as ``log.exception`` would."""

    def build(text: str, *, error: Exception | None = None) -> logging.LogRecord:
        info = None
        if error is not None:
            try:
                raise error
            except type(error):
                info = sys.exc_info()
        return logging.LogRecord(
            "mta.smtpd", logging.INFO, __file__, 1, "said %s", (text,), info
        )

    return build


def test_text_cannot_forge_a_line(a_record):
    """Line ends and what moves a terminal's cursor are escaped."""
    line = TextFormatter("api").format(a_record(HOSTILE))

    assert line.isprintable()
    assert "said a\\x0d\\x0aFORGED \\x1b[2J" in line


def test_traceback_cannot_forge_a_line(a_record):
    """An exception's words may be a stranger's; its lines are indented."""
    lines = TextFormatter("api").format(a_record("x", error=ValueError(HOSTILE)))

    first, *rest = lines.split("\n")
    assert first.endswith("said x")
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_json_is_one_line(a_record):
    """With the traceback inside."""
    line = JsonFormatter("api").format(a_record(HOSTILE, error=ValueError(HOSTILE)))

    assert line.isprintable()
    assert json.loads(line)["message"] == f"said {HOSTILE}"


def test_long_text_is_cut(a_record):
    """A header of a mebibyte is no log entry."""
    assert len(TextFormatter("api").format(a_record("x" * 1_000_000))) < 5_000
