"""What a failure means: try again, or tell the sender.

The server's own word counts: 4yz is for later and 5yz is for good (RFC 5321
§4.2.1), whatever else the text may say. What cannot be understood is for later,
because a message that waits is not lost. The category says what it was about, by
the enhanced status where there is one (RFC 3463) and by the basic code otherwise.
"""

import re
from dataclasses import dataclass
from typing import Literal

from mta.errors import AttemptFailed, PermanentFailure
from mta.reply import EnhancedStatus

Action = Literal["defer", "bounce"]

BLACKLIST = "blacklist"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a failed attempt, and why."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Classification:
    """What the text of a reply comes to.

    Attributes:
        code: Basic reply code; 0 if the text has none.
        status: Enhanced status such as ``"5.1.1"``; empty if none, or if it
            contradicts the code.
        message: The reply in one line.
        reason: The rule that decided.
    """

    action: Action
    category: str
    code: int
    status: str
    message: str
    reason: str


def decide(failure: AttemptFailed) -> Decision:
    """Decide what follows from a failed attempt; the unknown is for later.

    Where our address is what is refused, whatever the code, another may do better;
    if there was none, that was the last word.
    """
    address = failure.reasons.pool_address
    if address and category_of(failure) == BLACKLIST:
        if failure.may_move:
            return Decision("defer", f"{address} is blacklisted")
        return Decision("bounce", "blacklisted, and no other address is left")
    if isinstance(failure, PermanentFailure):
        return Decision("bounce", f"permanent failure ({failure.category})")
    return Decision("defer", f"transient failure ({failure.category})")


def category_of(failure: AttemptFailed) -> str:
    """What a failure was about: as the server's reply says, or as we saw ourselves."""
    if failure.category == "smtp":
        return classify_reply(str(failure.reply)).category
    return failure.category


def classify_reply(text: str) -> Classification:
    """Read the text of a server's reply, of one or several lines.

    Meant for text from anywhere, such as a log or a DSN; an attempt has the reply
    as a value.
    """
    text = text[:MAX_TEXT]
    head = _HEAD.match(text)
    if head is None:
        message = " ".join(text.split())
        return Classification("defer", "other", 0, "", message, "no reply code")
    code, status = int(head[1]), _parse_status(head[2], int(head[1]))
    action: Action = "bounce" if code >= 500 else "defer"
    reason = f"reply code {code}"
    category = _BY_CODE.get(code, "other")
    if _BLACKLISTED.search(text[:MAX_SEARCHED]):
        return Classification(
            *("defer", BLACKLIST, code, str(status or "")),
            *(_one_line(text, code, status), f"{reason}, speaks of a blacklist"),
        )
    if status is not None:
        category = _category_of(status)
        reason += f", status {status}"
    return Classification(
        action, category, code, str(status or ""), _one_line(text, code, status), reason
    )


MAX_TEXT = 64 * 1024
MAX_SEARCHED = 4000  # what it is about, a reply says at its beginning

# What is said to an address that is on somebody's list, not to a message. A name of a
# list alone is no sign: texts about spam name them, too.
_BLACKLISTED = re.compile(
    r"\b(?:client host|sending host|server|host|ip(?: address)?|address)\b[^\n]{0,80}"
    r"\b(?:blocked using|(?:black|block|deny)[ -]?listed|listed (?:in|on|by|at))\b"
    r"|\b(?:blocked|rejected|refused|denied)\b[^\n]{0,80}"
    r"\b(?:spamhaus|spamcop|barracuda|sorbs|uceprotect|abusix|invaluement|hostkarma"
    r"|senderscore|(?:dns|r)b-?l|(?:black|block|deny)[ -]?list)"
    r"|\bon (?:a|our|the|your) (?:black|block|deny)[ -]?list\b"
    r"|\bnot allowed to connect\b",
    re.IGNORECASE,
)

_HEAD = re.compile(r"\s*([45][0-9]{2})(?:[ \-]+([45]\.[0-9]{1,3}\.[0-9]{1,3})\b|\b)")

# RFC 3463 §3.1 to §3.8 by subject: the category, and exceptions by detail. One
# table for X = 4 and 5, because the category is what it is about, not for how long.
_BY_SUBJECT: dict[int, tuple[str, dict[int, str]]] = {
    0: ("other", {}),
    1: ("recipient", {7: "envelope", 8: "config"}),
    2: ("recipient", {1: "capacity", 2: "capacity", 3: "message"}),
    3: ("recipient", {1: "capacity", 3: "message", 4: "message", 5: "config"}),
    4: ("network", {}),
    5: ("protocol", {0: "config", 3: "envelope"}),
    6: ("message", {7: "envelope", 8: "protocol", 9: "protocol", 10: "protocol"}),
    7: (
        "auth",  # RFC 7505 §4.2 and RFC 7372 §3 go on from where RFC 3463 ends
        {0: "policy", 1: "block", 3: "other", 13: "block", 14: "spam"}
        | dict.fromkeys((5, 6, 7, 15, 16), "message"),
    ),
}

_BY_CODE = {
    452: "capacity",
    **dict.fromkeys(range(500, 505), "protocol"),
    521: "recipient",
    530: "auth",
    535: "auth",
    552: "capacity",
    553: "envelope",
    555: "protocol",
    556: "recipient",
}


def _category_of(status: EnhancedStatus) -> str:
    category, exceptions = _BY_SUBJECT.get(status.subject, ("other", {}))
    return exceptions.get(status.detail, category)


def _parse_status(text: str | None, code: int) -> EnhancedStatus | None:
    status = EnhancedStatus.parse(text) if text else None
    # One that contradicts the code counts for nothing (RFC 2034 §4).
    return status if status and status.severity == code // 100 else None


def _one_line(text: str, code: int, status: EnhancedStatus | None) -> str:
    """Join the lines; code and status stand once, in front."""
    prefix = re.compile(rf"{code}[ \-]?" + (rf"(?:{status}\b)?" if status else ""))
    words = [str(code), str(status or "")]
    for line in text.split("\n"):
        bare = line.strip()
        match = prefix.match(bare)
        words += (bare[match.end() :] if match else bare).split()
    return " ".join(word for word in words if word)
