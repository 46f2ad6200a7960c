"""What targets share: promises, and ways to cut octets into pieces."""

import random
import re
import zlib
from collections.abc import Callable, Iterator
from typing import TypeVar

MAX_SINGLE_OCTETS = 600  # more than that are not fed one by one

T = TypeVar("T")

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class BrokenPromise(AssertionError):
    """The code under test did what it must not do; the text says which promise."""


def promise(is_kept: object, text: str) -> None:
    """Hold the code to a promise; ``text`` is the same for all inputs."""
    if not is_kept:
        raise BrokenPromise(text)


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Cut octets as a network might: octet by octet, and at random.

    At random means by a seed made of the octets: the same input, the same pieces.
    """
    if len(data) <= MAX_SINGLE_OCTETS:
        yield [data[at : at + 1] for at in range(len(data))]
    for longest in (3, 40, 700):
        yield _cut(data, random.Random(zlib.crc32(data) + longest), longest)


def _cut(data: bytes, dice: random.Random, longest: int) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        length = dice.randint(1, longest)
        pieces.append(data[at : at + length])
        at += length
    return pieces


def attempt(
    step: Callable[[], T], refusal: type[Exception] | tuple[type[Exception], ...]
) -> T | None:
    """Do a step that may be refused with ``refusal``, and with nothing else."""
    try:
        return step()
    except refusal as error:
        promise(is_loggable(str(error)), "what an error says can be logged")
        return None


def is_loggable(text: str) -> bool:
    """Whether a text stays one line, and harms no terminal."""
    return _CONTROL.search(text) is None


def has_stray_line_end(data: bytes) -> bool:
    """Whether a CR or an LF stands alone."""
    rest = data.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest


def to_text(data: bytes) -> str:
    """Any text, halves of surrogate pairs included: JSON can say those, too."""
    return data.decode("utf-8", "surrogateescape")
