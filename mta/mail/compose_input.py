"""Reading a JSON value with an eye on where it stands.

A `Node` knows its place in the request, so that every refusal names the field. All
text goes through here: no lone surrogate gets further, and no control character
gets into a header field.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mta.errors import Rejected
from mta.reply import make_reply

MAX_LINE_VALUE_CHARS = 65_536  # of one header value

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its JSON pointer (RFC 6901)."""

    value: object
    pointer: str

    def refuse(self, why: str, code: int = 554, status: str = "5.6.0") -> Rejected:
        """Build the refusal of this value; ``why`` is shown to the client."""
        name = self.pointer.lstrip("/") or "mail"
        return Rejected(
            make_reply(code, status, f"{name[:100]}: {why}"), pointer=self.pointer
        )

    def text(self) -> str:
        """The value as text of any length and content.

        Raises:
            Rejected: It is no string, or one that is not Unicode text.
        """
        if not isinstance(self.value, str):
            raise self.refuse("must be a string")
        if _SURROGATE.search(self.value):
            raise self.refuse("holds half of a surrogate pair")
        return self.value

    def line(self, max_chars: int = MAX_LINE_VALUE_CHARS) -> str:
        """The value as text for a header field, without blanks around it.

        Raises:
            Rejected: As `text`; also a control character, or too long.
        """
        text = self.text()
        if len(text) > max_chars:
            raise self.refuse(f"must have at most {max_chars} characters")
        if _CONTROL.search(text):
            raise self.refuse("must not hold line breaks or control characters")
        return text.strip()

    def mapping(self, allowed: frozenset[str]) -> dict[str, "Node"]:
        """The value as an object; members that are null are left out.

        Raises:
            Rejected: It is no object, or has a member that is not ``allowed``.
        """
        if not isinstance(self.value, Mapping):
            raise self.refuse("must be an object")
        members = {}
        for key, value in self.value.items():
            member = self.child(str(key)[:80])
            if key not in allowed:
                raise member.refuse("is not a field that is known here")
            if value is not None:
                members[key] = Node(value, member.pointer)
        return members

    def elements(self, max_count: int, max_status: str = "5.3.4") -> list["Node"]:
        """The value as a list; any other value is a list of one.

        Raises:
            Rejected: More than ``max_count`` elements.
        """
        if not isinstance(self.value, list | tuple):
            return [self]
        if len(self.value) > max_count:
            raise self.refuse(
                f"must have at most {max_count} elements", 552, max_status
            )
        return [
            Node(value, f"{self.pointer}/{index}")
            for index, value in enumerate(self.value)
        ]

    def items(self) -> Iterator[tuple[str, "Node"]]:
        """The members of an object of any keys, or nothing."""
        if isinstance(self.value, Mapping):
            for key, value in self.value.items():
                yield str(key), Node(value, self.child(str(key)[:80]).pointer)

    def child(self, key: str) -> "Node":
        """A place inside this one, as yet without a value."""
        escaped = key.replace("~", "~0").replace("/", "~1")
        return Node(None, f"{self.pointer}/{escaped}")

    @property
    def is_empty(self) -> bool:
        """What JavaScript callers send for nothing: false, no text, no elements."""
        return self.value is None or self.value is False or self.value in ("", [], ())
