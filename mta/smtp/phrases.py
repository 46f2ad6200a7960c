"""What a server of ours says by itself, ready for the wire.

Every reply of class 2, 4 and 5 has an enhanced status, except those to HELO and
EHLO and the greeting (RFC 2034 §4). Texts tell the client what to do, never how
we are configured.

RFC 5321 §4.2.2 (codes), RFC 3463 and RFC 5248 (enhanced statuses).
"""

from base64 import b64encode

from mta.reply import EnhancedStatus, Reply, format_reply, make_reply
from mta.smtp.lines import LineFault

# RFC 5321 §4.5.3.1.5, CRLF included.
MAX_REPLY_LINE = 512


def _wire(code: int, status: str | None, text: str) -> bytes:
    return format_reply(make_reply(code, status, text))


OK = _wire(250, "2.0.0", "OK")
MAIL_OK = _wire(250, "2.1.0", "OK")
RCPT_OK = _wire(250, "2.1.5", "OK")
SEND_CONTENT = _wire(354, None, "End data with <CR><LF>.<CR><LF>")
BYE = _wire(221, "2.0.0", "Bye")
HELP = _wire(
    214,
    "2.0.0",
    "Commands: EHLO HELO LHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT",
)
READY_FOR_TLS = _wire(220, "2.0.0", "Ready to start TLS")
LOGIN_OK = _wire(235, "2.7.0", "Authentication successful")
VRFY = _wire(252, "2.0.0", "Cannot verify; send the message and see")

UNKNOWN = _wire(500, "5.5.2", "Command not recognized")
NOT_IMPLEMENTED = _wire(502, "5.5.1", "Command not implemented")
NO_ARGUMENT = _wire(501, "5.5.4", "This command takes no argument")
NEEDS_ARGUMENT = _wire(501, "5.5.4", "This command needs an argument")
BAD_CHUNK = _wire(501, "5.5.4", "Syntax: BDAT size [LAST]")
CHUNK_FAILED = _wire(503, "5.5.1", "An earlier BDAT failed; send RSET")
BDAT_ONLY = _wire(503, "5.5.1", "This message comes by BDAT")
STRAY_LINE_END = _wire(
    554, "5.6.0", "Lines must end with CRLF; the message has a CR or an LF alone"
)
USE_LHLO = _wire(500, "5.5.1", "This is LMTP: send LHLO")
USE_EHLO = _wire(500, "5.5.1", "This is SMTP: send EHLO")
TLS_FIRST = _wire(530, "5.7.0", "Send STARTTLS first")
HAS_TLS = _wire(503, "5.5.1", "TLS is on already")
LOGIN_FIRST = _wire(530, "5.7.0", "Authentication required")
ENCRYPT_FIRST = _wire(538, "5.7.11", "Encryption required for authentication")
HAS_LOGIN = _wire(503, "5.5.1", "Authenticated already")
RESPONSE_TOO_LONG = _wire(500, "5.5.6", "Authentication response too long")
NO_LOGIN_NOW = _wire(503, "5.5.1", "A transaction is open")
NO_SUCH_MECHANISM = _wire(504, "5.5.4", "Mechanism not supported")
LOGIN_CANCELLED = _wire(501, "5.7.0", "Authentication cancelled")
EHLO_FIRST = _wire(503, "5.5.1", "Send EHLO first")
LHLO_FIRST = _wire(503, "5.5.1", "Send LHLO first")
NESTED_MAIL = _wire(503, "5.5.1", "A transaction is open already")
MAIL_FIRST = _wire(503, "5.5.1", "Send MAIL first")
RCPT_TOO_LATE = _wire(503, "5.5.1", "The message is on its way already")
NOBODY_TO_DELIVER_TO = _wire(503, "5.5.1", "No valid recipients")
NO_RECIPIENTS = _wire(554, "5.5.1", "No valid recipients")

TOO_MANY_UNKNOWN = _wire(421, "4.7.0", "Too many unknown commands")
TOO_MANY_FRUITLESS = _wire(421, "4.7.0", "Too many commands without a message")
NOT_HTTP = _wire(421, "4.7.0", "This is SMTP, not HTTP")
TOO_MANY_RECIPIENTS_REFUSED = _wire(421, "4.7.0", "Too many refused recipients")
OUT_OF_STEP = _wire(421, "4.5.0", "Wait for the reply before you go on")

LINE_FAULTS = {
    LineFault.TOO_LONG: _wire(500, "5.5.2", LineFault.TOO_LONG.value),
    LineFault.CONTROL: _wire(501, "5.5.2", LineFault.CONTROL.value),
    LineFault.BARE_LF: _wire(521, "5.5.2", LineFault.BARE_LF.value),
}

# Verbs that are answered without a look at the session. Those of the RFCs that
# we do not have are 502 (RFC 5321 §4.2.4).
REFUSED_VERBS = dict.fromkeys(
    b"EXPN TURN SEND SOML SAML ETRN ATRN BURL".split(),
    NOT_IMPLEMENTED,
)
# A browser that was led here must not get one header line executed as SMTP.
FATAL_VERBS = dict.fromkeys(
    b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI".split(), NOT_HTTP
)


def chunk_taken(length: int) -> bytes:
    """Answer a BDAT that is not the last (RFC 3030 §2)."""
    return _wire(250, "2.0.0", f"{length} octets received")


def challenge(data: bytes) -> bytes:
    """Ask for the next line of a login (RFC 4954 §4)."""
    return b"334 " + b64encode(data) + b"\r\n"


def bad_response(text: str) -> bytes:
    """Refuse a line of a login that cannot be read."""
    return _wire(501, "5.5.2", text)


def bad_attributes(text: str) -> bytes:
    """Refuse what XCLIENT or XFORWARD say."""
    return _wire(501, "5.5.4", text)


def counted_too_big(size: int, limit: int) -> bytes:
    """Refuse content that turned out to be over the limit (RFC 1870 §6.3)."""
    text = f"Message too big: {size} octets, the limit is {limit}"
    return _wire(552, "5.3.4", text)


def format_answer(reply: Reply) -> bytes:
    """Write a reply that came from elsewhere, adding what this protocol wants.

    A missing enhanced status becomes x.0.0, and a line too long is cut.
    """
    severity = reply.code // 100
    if reply.status is None and severity != 3:
        reply = Reply(reply.code, EnhancedStatus(severity, 0, 0), reply.text)
    wire = format_reply(reply)
    if len(wire) <= MAX_REPLY_LINE:
        return wire
    lines = wire.split(b"\r\n")
    return b"\r\n".join(line[: MAX_REPLY_LINE - 2] for line in lines)
