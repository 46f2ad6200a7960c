"""What problems are made of: short quotes, and guesses at what was meant."""

import difflib
import re
from collections.abc import Iterable, Sequence
from itertools import islice

MAX_SHOWN = 60  # characters of what somebody wrote
MAX_COMPARED = 500  # words that may have been meant

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def shorten(text: str) -> str:
    """Quote a text: one line, no control characters, not too long."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…")


def suggest(word: str, known: Iterable[str]) -> str:
    """Write ``did you mean 'x'?``, or nothing if no known word is like it."""
    if len(word) > MAX_SHOWN:
        return ""  # comparing takes the square of the length
    candidates = list(islice(known, MAX_COMPARED))
    for spelling in dict.fromkeys((word, snake_case(word))):
        close = difflib.get_close_matches(spelling, candidates, n=1, cutoff=0.7)
        if close:
            return f"did you mean {close[0]!r}?"
    return ""


def snake_case(word: str) -> str:
    """Write ``maxSize``, as ZoneMTA does, as ``max_size``."""
    return _HUMP.sub("_", word).lower().replace("-", "_").replace(" ", "_")


def join_words(words: Sequence[str], word: str) -> str:
    """Write ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {word} {words[-1]}"
