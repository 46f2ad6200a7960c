"""Text from outside on a terminal: shown, but never obeyed."""

import re

# Controls, C1 among them, and what turns the direction of writing around.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """``text`` with every control character but newline and tab made visible."""
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
