"""The targets by name: functions of octets that raise only if a promise is broken.

What a parser documents as its errors is no failure. Everything else that comes out is,
and so is ``BrokenPromise``, where a target has compared what must be equal: fed at once
and in pieces, written and read again, a second implementation that is slow and plain.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz.arguments import (
    login,
    mail_from,
    rcpt_to,
    saslprep,
    words,
    xclient,
    xtext,
)
from tests.fuzz.dialogues import script, session
from tests.fuzz.headers import address, addresses, encoded_words, field, header
from tests.fuzz.linear import linear
from tests.fuzz.mimes import binary, encodings, lines
from tests.fuzz.wire import client, commands, content, proxy, replies

Target = Callable[[bytes], None]

TARGETS: Final[Mapping[str, Target]] = {
    target.__name__: target
    for target in (
        session,
        script,
        commands,
        content,
        mail_from,
        rcpt_to,
        words,
        xtext,
        xclient,
        login,
        saslprep,
        proxy,
        replies,
        client,
        address,
        addresses,
        encoded_words,
        header,
        field,
        lines,
        encodings,
        binary,
        linear,
    )
}
