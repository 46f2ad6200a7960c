"""A message as a web form: what a web server is given for one delivery.

The fields are those of ZoneMTA's HTTP delivery, so that who took its requests takes
ours. The message itself is a file in it, and everything but that file is small.

RFC 7578 (multipart/form-data).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from mta.mail.address import parse_address_list
from mta.mail.header import HeaderSection

MAX_BODY_FIELD: Final = 500 * 1024  # octets of the body that a field repeats
_ADDRESS_FIELDS: Final = ("from", "to", "cc", "bcc", "reply-to", "sender")
_TEXT_FIELDS: Final = ("in-reply-to", "references", "date", "message-id", "subject")


def form_fields(
    *, name: str, reverse_path: str, recipient: str, header: bytes, body: bytes
) -> dict[str, bytes]:
    """The fields of a delivery, in their order, without the file.

    Args:
        name: Of the delivery, ``ID.SEQ``.
        body: Its beginning.
    """
    section = HeaderSection.parse(header)
    fields: dict[str, bytes] = {
        "id": name.encode(),
        "from": reverse_path.encode(),
        "to": recipient.encode(),
    }
    for field, value in _header_values(section).items():
        text = json.dumps(value, ensure_ascii=False)
        fields[f"headers[{field}]"] = text.encode("utf-8", "replace")
    return {
        **fields,
        "mail_to_http[from]": reverse_path.encode(),
        "mail_to_http[rcpt]": recipient.encode(),
        "mail_to_http[body]": body[:MAX_BODY_FIELD],
    }


def _header_values(section: HeaderSection) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for field in (*_ADDRESS_FIELDS, *_TEXT_FIELDS):
        name = field.replace("-", "_")
        if field in _ADDRESS_FIELDS:
            mailboxes = [
                {"name": mailbox.name, "address": mailbox.address}
                for value in section.raw_values(field)
                for mailbox in parse_address_list(value)
            ]
            if mailboxes:
                found[name] = mailboxes
        elif value := section.get(field):
            found[name] = value
    return found


def form_head(fields: Mapping[str, bytes], boundary: str, filename: str) -> bytes:
    """Everything before the file's octets."""
    return b"".join(_parts(fields, boundary, filename))


def form_tail(boundary: str, length: int) -> bytes:
    """Everything after them.

    Args:
        length: Of the file, which is known only now.
    """
    name = 'name="mail_to_http[real_length]"'
    head = b"\r\n" + _part_head(boundary, name)
    return head + f"\r\n{length}\r\n--{boundary}--\r\n".encode("ascii")


def _parts(
    fields: Mapping[str, bytes], boundary: str, filename: str
) -> Iterator[bytes]:
    for name, value in fields.items():
        yield _part_head(boundary, f'name="{name}"') + b"\r\n" + value + b"\r\n"
    disposition = f'name="message"; filename="{filename}"'
    yield _part_head(boundary, disposition)
    yield b"Content-Type: message/rfc822\r\n\r\n"


def _part_head(boundary: str, disposition: str) -> bytes:
    text = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    return text.encode("ascii")
