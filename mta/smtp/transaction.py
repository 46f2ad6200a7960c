"""One mail transaction on the server's side: MAIL, its RCPTs, ready for DATA.

Holds the limits that are about the envelope: the size that MAIL announces and
the number of recipients.

RFC 5321 §3.3 and §4.5.3.1.8, RFC 1870 §6.1, RFC 3848 and RFC 6531 §4.3 (the word for
the protocol), RFC 4865 §4.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from mta.delivery import Notice
from mta.mail.address import domain_of, normalize_address
from mta.reply import Reply, make_reply
from mta.smtp.content import Incoming
from mta.smtp.events import ContentStarted
from mta.smtp.grammar import BadArgument, parse_mail, parse_rcpt
from mta.smtp.options import SessionOptions
from mta.smtp.parameters import Body

# U-labels that no A-label stands for.
_BAD_SENDER_DOMAIN = make_reply(501, "5.1.7", "Bad domain in sender address")
_BAD_RECIPIENT_DOMAIN = make_reply(553, "5.1.3", "Bad domain in recipient address")
# §4.5.3.1.10: the client may send the rest in another transaction.
_TOO_MANY_RECIPIENTS = make_reply(452, "4.5.3", "Too many recipients")


# 452 and another transaction is how it goes on; who ignores that is told so this often.
MAX_REFUSED_RECIPIENTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What the protocol's name in a Received field depends on (RFC 3848)."""

    helo: str
    is_extended: bool
    is_tls: bool
    is_known: bool
    is_lmtp: bool


class Transaction:
    """What MAIL and RCPT said so far.

    Args:
        argument: What follows the verb MAIL.
        extensions: Keywords of those whose parameters are taken.
        now: For HOLDUNTIL, which is not taken without.

    Attributes:
        mail: Its reverse path is normalized; "" is the null reverse path.
        accepted: RCPT commands that were answered with yes.
        refused: RCPT commands that were not.
        incoming: Its content, once DATA or BDAT came.
        has_failed: A BDAT came too early; all others are refused, until RSET.

    Raises:
        BadArgument: It is none we take; 552 if the announced size is over the limit.
    """

    def __init__(
        self,
        argument: bytes,
        options: SessionOptions,
        extensions: Collection[str],
        now: datetime | None = None,
    ) -> None:
        mail = parse_mail(argument, extensions=extensions)
        if mail.size is not None and mail.size > options.max_size:
            text = f"Message too big: the limit is {options.max_size} octets"
            raise BadArgument(make_reply(552, "5.3.4", text))
        hold = mail.hold_for
        if mail.hold_until is not None and now is not None:
            hold = mail.hold_until - now
        if hold is not None and hold > options.max_hold:
            text = f"A message can be held for {options.max_hold.days} days at most"
            raise BadArgument(make_reply(501, "5.5.4", text))
        if mail.reverse_path:
            path = _normalize(mail.reverse_path, _BAD_SENDER_DOMAIN)
            mail = replace(mail, reverse_path=path)
        self.mail = mail
        self.accepted = 0
        self.refused = 0
        self.incoming: Incoming | None = None
        self.has_failed = False
        self._options = options
        self._extensions = extensions
        self._recipients: dict[str, tuple[str, Notice]] = {}

    @property
    def is_binary(self) -> bool:
        """BODY=BINARYMIME: lines mean nothing, so only BDAT can carry it."""
        return self.mail.body is Body.BINARY

    @property
    def has_recipients(self) -> bool:
        """At least one recipient was added."""
        return bool(self._recipients)

    def parse_recipient(self, argument: bytes) -> tuple[str, Notice]:
        """Read what follows the verb RCPT into a normalized address.

        Raises:
            BadArgument: It is none we take; 452 if there are enough recipients.
        """
        rcpt = parse_rcpt(
            argument, smtputf8=self.mail.smtputf8, extensions=self._extensions
        )
        path = rcpt.forward_path
        if "@" not in path:
            path = f"{path}@{self._options.hostname}"  # §4.5.1: Postmaster
        recipient = _normalize(path, _BAD_RECIPIENT_DOMAIN)
        is_full = len(self._recipients) >= self._options.max_recipients
        if is_full and recipient.lower() not in self._recipients:
            raise BadArgument(_TOO_MANY_RECIPIENTS)
        return recipient, Notice(rcpt.notify, rcpt.orcpt)

    def add(self, recipient: str, notice: Notice) -> None:
        """Take a recipient; of two that differ in case alone the later stays."""
        self.accepted += 1
        self._recipients[recipient.lower()] = (recipient, notice)

    def start_content(self, facts: SessionFacts) -> ContentStarted:
        """Sum the transaction up, as DATA or the first BDAT comes."""
        return ContentStarted(
            mail=self.mail,
            recipients=tuple(address for address, _ in self._recipients.values()),
            notices={
                address: notice
                for address, notice in self._recipients.values()
                if notice
            },
            protocol=protocol_name(facts, smtputf8=self.mail.smtputf8),
            helo=facts.helo,
        )


def protocol_name(facts: SessionFacts, *, smtputf8: bool) -> str:
    """Name the protocol as in the ``with`` clause: SMTP, ESMTPSA, UTF8LMTPS ..."""
    suffix = ("S" if facts.is_tls else "") + ("A" if facts.is_known else "")
    if smtputf8:
        return ("UTF8LMTP" if facts.is_lmtp else "UTF8SMTP") + suffix
    if facts.is_lmtp:
        return "LMTP" + suffix
    # There is no word for TLS or a login without EHLO, and both need it.
    return f"ESMTP{suffix}" if facts.is_extended else "SMTP"


def _normalize(path: str, bad_domain: Reply) -> str:
    address = normalize_address(path)
    if not address.isascii() and not domain_of(address).isascii():
        raise BadArgument(bad_domain)
    return address
