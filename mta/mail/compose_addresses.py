"""The people of a composed message: from JSON to mailboxes and the envelope.

An address field is a string in the form of RFC 5322 §3.4, an object of ``name``
and ``address``, or a list of both. Every address is checked; none is dropped.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mta.mail.address import (
    Mailbox,
    is_valid_address,
    iter_mailboxes,
    normalize_address,
)
from mta.mail.compose_input import Node

MAX_NAME_CHARS = 256
_MAX_CHARS_PER_RECIPIENT = 320  # a list in one string: names, addresses and commas

_MAILBOX_FIELDS = frozenset({"name", "address"})
_ENVELOPE_FIELDS = frozenset({"from", "to", "cc", "bcc"})
_RECIPIENT_FIELDS = ("to", "cc", "bcc")
# RFC 5322 §3.4: a group may be without members, and says so with its name alone.
_EMPTY_GROUP = re.compile(r"[^][()<>@,:;\\\"]{1,256}:\s*;")
_SENDER_FIELDS = ("from", "sender", "replyTo")
ADDRESS_FIELDS = ("from", "sender", "replyTo", "to", "cc", "bcc")


@dataclass(frozen=True, slots=True)
class People:
    """Mailboxes per JSON field, and the envelope they make.

    A mailbox without an address is an empty group. ``reverse_path`` is None if
    nothing names one.
    """

    mailboxes: Mapping[str, tuple[Mailbox, ...]]
    reverse_path: str | None
    recipients: tuple[str, ...]

    @property
    def needs_smtputf8(self) -> bool:
        """Some address has a local part beyond ASCII (RFC 6531)."""
        addresses = [box.address for boxes in self.mailboxes.values() for box in boxes]
        return not all(map(str.isascii, [*addresses, *self.recipients]))


def read_people(root: Mapping[str, Node], max_recipients: int) -> People:
    """Read the address fields of a mail and its ``envelope``, which overrides them.

    Raises:
        Rejected: An address that is none, or more recipients than allowed.
    """
    boxes = _read_fields(root, ADDRESS_FIELDS, max_recipients)
    reverse_path = next(
        (boxes[field][0].address for field in _SENDER_FIELDS if boxes.get(field)), None
    )
    recipients = _recipients(boxes)
    envelope = root.get("envelope")
    if envelope is not None:
        members = envelope.mapping(_ENVELOPE_FIELDS)
        # A null reverse path is said by "", false or null.
        if isinstance(envelope.value, Mapping) and "from" in envelope.value:
            sender = members.pop("from", None)
            reverse_path = _read_reverse_path(sender)
        if members:
            given = _read_fields(members, _RECIPIENT_FIELDS, max_recipients)
            recipients = _recipients(given)
    return People(boxes, reverse_path, recipients)


def _read_reverse_path(node: Node | None) -> str:
    if node is None or node.is_empty:
        return ""
    return next(_read_mailboxes(node, 1)).address


def _read_fields(
    members: Mapping[str, Node], fields: Iterable[str], max_recipients: int
) -> dict[str, tuple[Mailbox, ...]]:
    found: dict[str, tuple[Mailbox, ...]] = {}
    room = max_recipients
    for field in fields:
        node = members.get(field)
        if node is None or node.is_empty:
            continue
        limit = room if field in _RECIPIENT_FIELDS else max_recipients
        boxes = []
        if field in _RECIPIENT_FIELDS and (group := _read_empty_group(node)):
            found[field] = (group,)
            continue
        for mailbox in _read_mailboxes(node, max_recipients):
            boxes.append(mailbox)
            if len(boxes) > limit:
                raise node.refuse(f"over {max_recipients} recipients", 552, "5.5.3")
        found[field] = tuple(boxes)
        room -= len(boxes) if field in _RECIPIENT_FIELDS else 0
    return found


def _recipients(boxes: Mapping[str, tuple[Mailbox, ...]]) -> tuple[str, ...]:
    """Everybody once, in the order of To, Cc and Bcc."""
    return tuple(
        dict.fromkeys(
            mailbox.address
            for field in _RECIPIENT_FIELDS
            for mailbox in boxes.get(field, ())
            if mailbox.address
        )
    )


def _read_empty_group(node: Node) -> Mailbox | None:
    if not isinstance(node.value, str):
        return None
    match = _EMPTY_GROUP.fullmatch(node.value.strip())
    return Mailbox(node.line().partition(":")[0].strip(), "") if match else None


def _read_mailboxes(node: Node, max_count: int) -> Iterator[Mailbox]:
    room = max_count * _MAX_CHARS_PER_RECIPIENT
    for element in node.elements(max_count, "5.5.3"):
        if isinstance(element.value, str):
            text = element.line(room)
            room -= len(text)
            found = iter_mailboxes(text)
        else:
            found = iter((_read_mailbox(element),))
        is_found = False
        for mailbox in found:
            is_found = True
            if not is_valid_address(mailbox.address):
                raise element.refuse("is not a valid address", 553, "5.1.3")
            if len(mailbox.name) > MAX_NAME_CHARS:
                raise element.refuse(f"a name has over {MAX_NAME_CHARS} characters")
            yield mailbox
        if not is_found:
            raise element.refuse("holds no address", 553, "5.1.3")


def _read_mailbox(node: Node) -> Mailbox:
    members = node.mapping(_MAILBOX_FIELDS)
    if "address" not in members:
        raise node.child("address").refuse("is missing", 553, "5.1.3")
    name = members["name"].line(MAX_NAME_CHARS) if "name" in members else ""
    return Mailbox(name, normalize_address(members["address"].line(320)))
