"""Service extensions: the rows of an EHLO reply, ours and other servers'.

RFC 5321 §4.1.1.1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mta.reply import Reply

# §4.1.1.1: ehlo-keyword. Old servers write "AUTH=LOGIN PLAIN"; the equals sign
# then stands for the space.
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =](.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Extension:
    """One row of an EHLO reply, as in ``Extension("SIZE", "1000")``."""

    keyword: str
    parameters: str = ""

    def __str__(self) -> str:
        return f"{self.keyword} {self.parameters}".rstrip()


def compose_ehlo_reply(hostname: str, extensions: Sequence[Extension]) -> Reply:
    """Build the reply to EHLO; by RFC 2034 §4 it has no enhanced status."""
    return Reply(250, None, (hostname, *map(str, extensions)))


def parse_ehlo_reply(reply: Reply) -> dict[str, str]:
    """Read what a server offers: upper-case keyword to its parameters.

    The first line names the server and is skipped, as are lines that are no
    extension. Of a keyword said twice the first counts.
    """
    extensions: dict[str, str] = {}
    for text in reply.text[1:]:
        match = _LINE.fullmatch(text.strip())
        if match is not None:
            extensions.setdefault(match[1].upper(), (match[2] or "").strip())
    return extensions
