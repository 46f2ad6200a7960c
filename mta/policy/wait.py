"""The pause that a server's reply asks for, in its own words.

Nothing standard says it: greylisting and rate limits tell their times in prose. A
length of time in a reply counts only if the words around it say that one should come
back after it: ``timed out after 30 seconds`` is a length, but asks for nothing.

Reads hostile text in linear time: only its beginning, and bounded pieces of that.
"""

import re
from collections.abc import Iterator
from datetime import timedelta

LONGEST = timedelta(hours=4)

_CHARS_READ = 4_096
_LENGTHS_READ = 20
_CONTEXT_CHARS = 70

_TO_FIVE = ("one", "two", "three", "four", "five")
_TO_TEN = ("six", "seven", "eight", "nine", "ten")
_WORDS = {word: number for number, word in enumerate(_TO_FIVE + _TO_TEN, start=1)}
_WORDS |= {"a": 1, "an": 1, "fifteen": 15, "twenty": 20, "thirty": 30, "sixty": 60}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# A length has at most so many smaller units behind it.
_PIECES = 3

_LENGTH = re.compile(
    r"""
    (?<![\w.:/-])
    (?: (?P<h>\d{1,3}):(?P<m>[0-5]\d):(?P<s>[0-5]\d) (?![\w:])
      | (?: (?P<other>\d{1,6}(?:\.\d{1,2})?) [ ]? (?:-|to[ ]) [ ]? )?  # 5-10 minutes
        (?P<count>\d{1,6}(?:\.\d{1,2})?|an?|one|two|three|four|five|six|seven|eight|nine|ten
            |fifteen|twenty|thirty|sixty)
        [ ]{0,3}-?(?:more[ ])?
        (?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|weeks?)
        (?:\(s\))? (?![a-z_:/=-])
    )
    """,
    re.VERBOSE,
)
# What may follow a length at once: "1 hour and 30 minutes", "4m30s".
_MORE = re.compile(
    r"(?:[ ]?,?[ ]?(?:and[ ])?)(?P<count>\d{1,6})[ ]{0,3}"
    r"(?P<unit>s|secs?|seconds?|m|mins?|minutes?)(?![a-z_:/=-])"
)
# Bare seconds, as in HTTP's field of that name.
_RETRY_AFTER = re.compile(
    r"retry[-_ ]after[ ]?[:=][ ]?(\d{1,6})(?![\w.:])|retry_?after=(\d{1,6})(?![\w.:])"
)

# Between the word and the length there is no end of a sentence, no other number, and
# no word that makes it a measure of the past, of a limit or a time of day.
_CALM = (
    r"(?:(?!\b(?:per|last|past|previous|within|every|each|than|exceed\w*|many|limit"
    r"|sent|since|ago|at|until|till|before|timed?|timeout|took)\b)"
    r"[^.;!?\d:)]){0,45}"
)
_ASKS = re.compile(
    rf"""
    (?: \b(?:re-?)?try(?:ing)?\b(?!\ for\b) | \bagain\b(?!\ for\b) | \bback\b
      | \bwait(?:ing)?\b | \bre-?(?:send|submit|connect|deliver|attempt)\w*\b
      | \blater\b | \bexpires?\b | \baccept(?:ed|able)?\b | \ballow\b | \bpause\b
      | \bdelay\b | \breturn\b | \bunblock(?:ed)?\b | \blifted\b | \bresume\b
      | \bsleep\b | \bback-?off\b | \bdefer\b | \bhold\b
      | \bnext\ (?:attempt|try|delivery) | \b(?:retry|wait|delay)[-\ ]time
    )
    {_CALM} :? [ ]? [("'<]? $
    """,
    re.VERBOSE,
)
_PUNISHES = re.compile(
    rf"""
    \b(?: gr[ae]y-?[ ]?list\w* | throttl\w* | rate-?[ ]?limit\w* | defer(?:red)?
      | delay(?:ed)? | block(?:ed)? | black-?list(?:ed)? | suspend(?:ed)? | penal\w+
      | locked | unavailable | paused | reject(?:ed|ing)? | refus(?:ed|ing)
      | quarantined? | tar-?pit\w* | closed | restricted | ban(?:ned)?
      | not[ ]accept\w* )\b
    {_CALM} \bfor [ ]
    (?:the[ ]next[ ]|another[ ]|about[ ]|at[ ]least[ ]|up[ ]to[ ]|approximately[ ])?
    [("'<]? $
    """,
    re.VERBOSE,
)
_ASKS_AFTER = re.compile(
    r"""
    [)"'>]? ,? [ ]?
    (?: left\b | remain\w* | to[ ]go\b
      | (?:and[ ]|then[ ]|before[ ]|to[ ]|please[ ]|you[ ]may[ ])+
        (?:re-?)?(?:try|send|connect|submit|deliver)
      | (?:until|before)[ ](?:the[ ]|your[ ])?(?:next|re-?try|another)
      | wait\b | delay[ ](?:required|needed|before) )
    """,
    re.VERBOSE,
)

_PACE = re.compile(
    r"gr[ae]y-?\s?list|\brates?\b|ratelimit|throttl|frequen|slow(?:ing)? down"
    r"|too (?:many|fast|much|quick|often)|first time|unknown sender|early retry"
    r"|(?:connection|sending|message|hourly|traffic)s? (?:limit|volume|quota)"
)


def parse_wait(text: str) -> timedelta | None:
    """Read how long a reply asks to wait; None if it does not say.

    Args:
        text: A reply's text, of one or several lines.

    Returns:
        From one second to ``LONGEST``, which stands for everything longer.
    """
    text = _plain(text)
    asked = next(_lengths(text), None)
    if asked is None:
        seconds = next((m[1] or m[2] for m in _RETRY_AFTER.finditer(text)), "0")
        asked = timedelta(seconds=int(seconds))
    return min(asked, LONGEST) if asked >= timedelta(seconds=1) else None


def is_about_pace(text: str) -> bool:
    """Whether a reply speaks of greylisting or of how much comes in a time.

    Then, and only then, may the pause it asks for shorten the schedule's: for other
    troubles a server cannot know when they will be over.
    """
    return _PACE.search(_plain(text)) is not None


def _plain(text: str) -> str:
    return " ".join(text[:_CHARS_READ].lower().split())


def _lengths(text: str) -> Iterator[timedelta]:
    """The lengths of time that the words around them make a request."""
    for number, match in enumerate(_LENGTH.finditer(text)):
        if number == _LENGTHS_READ:
            return
        before = text[max(0, match.start() - _CONTEXT_CHARS) : match.start()]
        length, end = _sum_up(text, match)
        is_asked = (
            _ASKS.search(before)
            or _PUNISHES.search(before)
            or _ASKS_AFTER.match(text, end)
        )
        if is_asked:
            yield length


def _sum_up(text: str, match: re.Match[str]) -> tuple[timedelta, int]:
    """A length with the smaller units that follow it, and where it ends."""
    if match["h"] is not None:
        hours, minutes, seconds = int(match["h"]), int(match["m"]), int(match["s"])
        return timedelta(hours=hours, minutes=minutes, seconds=seconds), match.end()
    total, end = max(_one(match), _one(match, "other")), match.end()
    for _ in range(_PIECES):
        more = _MORE.match(text, end)
        if more is None:
            break
        total, end = total + _one(more), more.end()
    return total, end


def _one(match: re.Match[str], group: str = "count") -> timedelta:
    count = match[group] or "0"
    number = float(count) if count[0].isdecimal() else _WORDS[count]
    return timedelta(seconds=number * _UNITS[match["unit"][0]])
