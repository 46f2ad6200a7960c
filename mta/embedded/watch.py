"""Tells whether a file is another than it was. Asks now and then: it is no hurry."""

from pathlib import Path

WATCH_EVERY_S = 1.0


class FileWatch:
    """One file, by what its folder says of it; also of what a link leads to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._last = self._look()

    def has_changed(self) -> bool:
        """Whether it has changed, and is not being written any more."""
        before, self._last = self._last, self._look()
        if self._last in (self._known, None) or self._last != before:
            return False
        self._known = self._last
        return True

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None  # about to be replaced
        return found.st_ino, found.st_size, found.st_mtime_ns
