"""One mail transaction on the server's side: MAIL, its RCPTs, ready for DATA.

Holds the limits that are about the envelope: the size that MAIL announces and
the number of recipients.

RFC 5321 §3.3 and §4.5.3.1.8, RFC 1870 §6.1, RFC 6531 §4.3.
"""

from mta.mail.address import domain_of, normalize_address
from mta.reply import Reply, make_reply
from mta.smtp.events import ContentStarted
from mta.smtp.grammar import BadArgument, parse_mail, parse_rcpt
from mta.smtp.options import SessionOptions

# U-labels that no A-label stands for.
_BAD_SENDER_DOMAIN = make_reply(501, "5.1.7", "Bad domain in sender address")
_BAD_RECIPIENT_DOMAIN = make_reply(553, "5.1.3", "Bad domain in recipient address")
# §4.5.3.1.10: the client may send the rest in another transaction.
_TOO_MANY_RECIPIENTS = make_reply(452, "4.5.3", "Too many recipients")


class Transaction:
    """What MAIL and RCPT said so far.

    Attributes:
        reverse_path: Normalized; "" is the null reverse path.
        size: What SIZE announced, in octets; None if nothing.

    Raises:
        BadArgument: ``argument``, what follows the verb MAIL, is none we take;
            552 if the announced size is over the limit.
    """

    def __init__(self, argument: bytes, options: SessionOptions) -> None:
        mail = parse_mail(argument)
        if mail.size is not None and mail.size > options.max_size:
            text = f"Message too big: the limit is {options.max_size} octets"
            raise BadArgument(make_reply(552, "5.3.4", text))
        path = mail.reverse_path
        self.reverse_path = _normalize(path, _BAD_SENDER_DOMAIN) if path else ""
        self.size = mail.size
        self._mail = mail
        self._options = options
        self._recipients: dict[str, str] = {}

    @property
    def has_recipients(self) -> bool:
        """At least one recipient was added."""
        return bool(self._recipients)

    def parse_recipient(self, argument: bytes) -> str:
        """Read what follows the verb RCPT into a normalized address.

        Raises:
            BadArgument: It is none we take; 452 if there are enough recipients.
        """
        path = parse_rcpt(argument, smtputf8=self._mail.smtputf8).forward_path
        if "@" not in path:
            path = f"{path}@{self._options.hostname}"  # §4.5.1: Postmaster
        recipient = _normalize(path, _BAD_RECIPIENT_DOMAIN)
        is_full = len(self._recipients) >= self._options.max_recipients
        if is_full and recipient.lower() not in self._recipients:
            raise BadArgument(_TOO_MANY_RECIPIENTS)
        return recipient

    def add(self, recipient: str) -> None:
        """Take a recipient; of two that differ in case alone the later stays."""
        self._recipients[recipient.lower()] = recipient

    def start_content(self, helo: str, *, is_extended: bool) -> ContentStarted:
        """Sum the transaction up, as DATA comes.

        Args:
            helo: The client's name for itself.
            is_extended: It said EHLO, not HELO.
        """
        protocol = "ESMTP" if is_extended else "SMTP"
        return ContentStarted(
            reverse_path=self.reverse_path,
            recipients=tuple(self._recipients.values()),
            protocol="UTF8SMTP" if self._mail.smtputf8 else protocol,
            helo=helo,
            body_8bit=self._mail.body_8bit,
            smtputf8=self._mail.smtputf8,
        )


def _normalize(path: str, bad_domain: Reply) -> str:
    address = normalize_address(path)
    if not address.isascii() and not domain_of(address).isascii():
        raise BadArgument(bad_domain)
    return address
