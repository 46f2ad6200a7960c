"""The message that carries a report about TLS (RFC 8460 §5.3)."""

from base64 import encodebytes
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from mta.mail.mime import Part, make_multipart


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMail:
    """What its message says of a report.

    Attributes:
        domain: The one that it is about.
        submitter: The domain it comes from.
        identity: The report's name; ``LOCAL@HOST``.
        content: The report, compressed.
    """

    sender: str
    recipient: str
    domain: str
    submitter: str
    identity: str
    file_name: str
    content: bytes


def compose_report_mail(mail: ReportMail, now: datetime) -> bytes:
    """Write header and body; the same report always has the same Message-ID."""
    token = "".join(c if c.isalnum() else "_" for c in mail.identity)[:40]
    text = (
        f"This is a report about TLS between {mail.submitter} and the mail servers "
        f"of\r\n{mail.domain}, as described by RFC 8460.\r\n"
    )
    about_file = (
        f'Content-Type: application/tlsrpt+gzip; name="{mail.file_name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="{mail.file_name}"\r\n'
    )
    multipart = make_multipart(
        "report",
        [
            Part(b"Content-Type: text/plain; charset=us-ascii\r\n", text.encode()),
            Part(
                about_file.encode(),
                encodebytes(mail.content).replace(b"\n", b"\r\n"),
            ),
        ],
        token,
    )
    # The multipart names its kind of report (RFC 6522 §3).
    kind = multipart.header.replace(
        b"multipart/report;", b"multipart/report; report-type=tlsrpt;", 1
    )
    subject = f"Report Domain: {mail.domain} Submitter: {mail.submitter}"
    fields = (
        f"From: <{mail.sender}>\r\n"
        f"To: <{mail.recipient}>\r\n"
        f"Subject: {subject}\r\n Report-ID: <{mail.identity}>\r\n"
        f"Date: {format_datetime(now)}\r\n"
        f"Message-ID: <{mail.identity}>\r\n"
        f"TLS-Report-Domain: {mail.domain}\r\n"
        f"TLS-Report-Submitter: {mail.submitter}\r\n"
        "TLS-Required: No\r\n"  # RFC 8689 §5
        "Auto-Submitted: auto-generated\r\n"
        "MIME-Version: 1.0\r\n"
    )
    return fields.encode("ascii") + kind + b"\r\n" + multipart.body
