"""Reading request bodies: bounded in size, in time by the server, and strictly.

JSON here is RFC 8259 without what makes parsers disagree or work hard: duplicate
keys, NaN, lone surrogates, deep nesting, and more values than any mail has.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from flask import Request
from werkzeug.exceptions import ClientDisconnected

from mta.api.problems import Refused

JSON = frozenset({"application/json"})

BLOCK_BYTES = 64 * 1024
MAX_JSON_BYTES = 64 << 20
# JSON bodies held at once by one process; a streamed message holds one block.
MAX_JSON_BYTES_AT_ONCE = 192 << 20
MAX_DEPTH = 20
MAX_TOKENS = 500_000  # 10,000 recipients with names take 70,000
MAX_DIGITS = 400  # more than any float has; reading them takes their square

# A string, whole or cut short, or one structural character. Possessive: linear.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*"?|[][{},]', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Budget:
    """How many bytes of bodies may be in memory at once, over all requests."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = Lock()

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Open an account for one request; it is settled at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.take(-share.taken)

    def take(self, size: int) -> bool:
        """Take ``size`` bytes, if there is room."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True


class Share:
    """What one request holds of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.taken = 0

    def take(self, size: int) -> None:
        """Take ``size`` bytes more.

        Raises:
            Refused: Other requests hold too much just now.
        """
        if not self._budget.take(size):
            raise Refused(
                503, "Too many large requests at once", headers={"Retry-After": "5"}
            )
        self.taken += size


def require_media_type(request: Request, allowed: frozenset[str]) -> None:
    """Refuse a body of another type than ``allowed``, or a compressed one.

    Raises:
        Refused: 415. A browser asks nobody before it posts a form or plain text
            across sites, so these types must never be taken for a message.
    """
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in {"", "identity"}:
        raise Refused(415, "Compressed bodies are not taken", field="Content-Encoding")
    if request.mimetype not in allowed:
        names = ", ".join(sorted(filter(None, allowed)))
        raise Refused(415, f"The body must be {names}", field="Content-Type")


def read_blocks(request: Request, limit: int) -> Iterator[bytes]:
    """The request's body as it comes, in blocks of at most ``BLOCK_BYTES``.

    Raises:
        Refused: More than ``limit`` bytes, known at once or on the way; or the
            body ended early; or it came too slowly.
    """
    too_large = Refused(
        413, f"The body is over {limit} bytes", headers={"Connection": "close"}
    )
    if (request.content_length or 0) > limit:
        raise too_large
    size = 0
    while block := _read_block(request):
        size += len(block)
        if size > limit:
            raise too_large
        yield block


def read_whole(request: Request, share: Share) -> bytes:
    """The request's body in one piece, for JSON.

    Raises:
        Refused: It is too large, or ended early; or others hold too much.
    """
    blocks = []
    for block in read_blocks(request, MAX_JSON_BYTES):
        share.take(len(block))
        blocks.append(block)
    return b"".join(blocks)


def read_small_object(request: Request) -> dict[str, object]:
    """A JSON object of a few fields.

    Raises:
        Refused: It is none, or too large.
    """
    require_media_type(request, JSON)
    value = parse_json(b"".join(read_blocks(request, BLOCK_BYTES)))
    if not isinstance(value, dict):
        raise Refused(400, "The body must be a JSON object")
    return value


def parse_json(raw: bytes) -> object:
    """Read strict JSON; linear, and quick to refuse.

    Raises:
        Refused: 400.
    """
    raw = raw.removeprefix(BOM_UTF8)
    _refuse_excess(raw)
    try:
        value: object = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
        )
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise Refused(400, "The body is not UTF-8 throughout") from None
    except ValueError as error:
        raise Refused(400, f"The body is not JSON: {str(error)[:200]}") from None
    return value


def _refuse_excess(raw: bytes) -> None:
    depth = 0
    for count, match in enumerate(_TOKEN.finditer(raw), start=1):
        token = raw[match.start()]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise Refused(400, f"The JSON is nested more than {MAX_DEPTH} deep")
        if count > MAX_TOKENS:
            raise Refused(400, "The JSON has too many values")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:80]!r} is there twice")
            seen.add(key)
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number is too long")
    return int(digits)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _read_block(request: Request) -> bytes:
    try:
        return request.stream.read(BLOCK_BYTES)
    except TimeoutError:
        raise Refused(
            408, "The body came too slowly", headers={"Connection": "close"}
        ) from None
    except (OSError, ClientDisconnected):
        raise Refused(
            400, "The body ended early", headers={"Connection": "close"}
        ) from None
