"""Logging to stderr: one line per event, or one JSON document per line.

Modules log through ``logging.getLogger(__name__)``; an entry point calls
``configure`` once. Text from outside is escaped here, at the one place where
everything passes, so no reply or header can forge a line.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_CHARACTERS = 4_000

_LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class TextFormatter(logging.Formatter):
    """``2026-11-22T10:00:01.123Z mta/worker@default[42]: INFO delivered ...``."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self._process_name = process_name

    def format(self, record: logging.LogRecord) -> str:
        text = _escape(record.getMessage())
        line = (
            f"{_instant(record)} mta/{self._process_name}[{record.process}]: "
            f"{record.levelname} {text}"
        )
        if record.exc_info:
            # Indented, for the exception's words may be a stranger's.
            for traced in self.formatException(record.exc_info).split("\n"):
                line += f"\n  {_escape(traced)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON document per line: at, process, pid, level, logger, message."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self._process_name = process_name

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": _instant(record),
            "process": self._process_name,
            "pid": record.process,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_MAX_CHARACTERS],
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document)


def configure(*, process_name: str, level: str, form: str) -> None:
    """Send all logging to stderr; replaces handlers that are there already."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter if form == "json" else TextFormatter
    handler.setFormatter(formatter(process_name))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    # These speak at INFO about every poll and connection.
    for name in ("pymongo", "kombu", "amqp", "celery", "werkzeug", "urllib3"):
        logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))


def _escape(text: str) -> str:
    if len(text) > _MAX_CHARACTERS:
        text = text[:_MAX_CHARACTERS] + "..."
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _instant(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
