"""Reading the section ``dkim``, and what its parts alone cannot tell.

Keys that stand in files are not read here: whoever signs reads them, and ``mta check``
(``key_files.py``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mta.config.dkim import ANY_DOMAIN, MAX_KEYS, NEVER_SIGNED, DkimConfig, DkimKey
from mta.config.document import Data, Document, Path
from mta.config.sections import Read, check_domain, read_mapping, read_model
from mta.config.signing_key import parse_signing_key
from mta.config.values import MAX_DOMAIN_CHARS
from mta.config.wording import shorten

_FROM = "from"


@dataclass(frozen=True, slots=True)
class DkimDraft:
    """The section as it was read."""

    section: Read[DkimConfig]
    keys: Mapping[str, tuple[Read[DkimKey], ...]]

    def config(self) -> DkimConfig:
        """Put it together."""
        keys = {name: tuple(k.value for k in own) for name, own in self.keys.items()}
        said = self.section.value
        return DkimConfig(
            **{name: getattr(said, name) for name in said.model_fields_set}, keys=keys
        )


def read_dkim(document: Document, data: Data) -> DkimDraft:
    """Read the section; what it does not say has its default."""
    path: Path = ("dkim",)
    said = dict(read_mapping(document, path, data) or {})
    keys = said.pop("keys", None)
    read = read_model(document, path, DkimConfig, said)
    section = read or Read(DkimConfig(), path, frozenset(DkimConfig.model_fields))
    entries = read_mapping(document, (*path, "keys"), keys) or {}
    return DkimDraft(section, dict(_read_keys(document, entries)))


def check_dkim(document: Document, draft: DkimDraft) -> None:
    """Note what does not fit each other."""
    _check_fields(document, draft.section)
    for name, keys in draft.keys.items():
        seen: set[tuple[str, str]] = set()
        for key in keys:
            _check_key(document, name, key)
            domain = key.value.domain or name
            if (domain, key.value.selector) in seen:
                message = (
                    f"{key.value.selector} is the selector of another key of {domain}"
                )
                document.note((*key.path, "selector"), message)
            seen.add((domain, key.value.selector))


def key_lines(
    document: Document, draft: DkimDraft
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where each key stands: see ``mta.config.lines``."""
    for name, keys in draft.keys.items():
        for key in keys:
            line = document.place(key.path).value.line
            yield ("dkim", "keys", name, key.value.selector), line


def _read_keys(
    document: Document, entries: Mapping[str, Data]
) -> Iterator[tuple[str, tuple[Read[DkimKey], ...]]]:
    paths: dict[str, Path] = {}
    for name, entry in entries.items():
        path: Path = ("dkim", "keys", name)
        domain = _read_domain(document, path, paths)
        keys = _read_list(document, path, entry)
        if domain:
            paths[domain] = path
            yield domain, keys


def _read_domain(document: Document, path: Path, others: Mapping[str, Path]) -> str:
    name = path[-1]
    if name == "default":
        document.note_key(path, "the keys of all other domains stand under '*'")
        return ""
    return ANY_DOMAIN if name == ANY_DOMAIN else check_domain(document, path, others)


def _read_list(
    document: Document, path: Path, entry: Data
) -> tuple[Read[DkimKey], ...]:
    if not isinstance(entry, tuple):
        if not document.is_left_out(path):
            message = "is not a list; write one line '- selector: ...' for each key"
            document.note(path, message)
        return ()
    if not 0 < len(entry) <= MAX_KEYS:
        document.note_key(path, f"has {len(entry)} keys; there are 1 to {MAX_KEYS}")
    reads = (
        read_model(document, (*path, index), DkimKey, one)
        for index, one in enumerate(entry)
    )
    return tuple(read for read in reads if read is not None)


def _check_fields(document: Document, section: Read[DkimConfig]) -> None:
    said = section.value
    for key in ("header_fields", "additional_header_fields"):
        for index, name in enumerate(getattr(said, key)):
            if name in NEVER_SIGNED:
                message = f"{name} is never signed: it changes on the way"
                document.note(section.path_of(key, index), message)
    if not section.is_sure("header_fields", "additional_header_fields"):
        return
    if _FROM not in said.signed_fields:
        message = "has no From, which every signature covers (RFC 6376 §5.4)"
        document.note((*section.path, "header_fields"), message)
    if "oversign" in said.model_fields_set:
        _check_oversigned(document, section)


def _check_oversigned(document: Document, section: Read[DkimConfig]) -> None:
    signed = section.value.signed_fields
    for index, name in enumerate(section.value.oversign):
        if name not in signed:
            message = f"{name} is not signed; add it to additional_header_fields"
            document.note(section.path_of("oversign", index), message)


def _check_key(document: Document, name: str, key: Read[DkimKey]) -> None:
    said, path = key.value, key.path
    record = f"{said.selector}._domainkey.{said.domain or name}"
    if len(record) > MAX_DOMAIN_CHARS:
        document.note((*path, "selector"), f"{shorten(record)} is too long for DNS")
    if not key.is_sure("path", "private_key"):
        return
    if said.path is None and said.private_key is None:
        document.note(path, 'has no key; write path: FILE, or private_key: "${NAME}"')
    elif said.path is not None and said.private_key is not None:
        document.note((*path, "path"), "is one key, and private_key is another")
    elif said.private_key is not None:
        _check_text(document, key, said.private_key)


def _check_text(document: Document, key: Read[DkimKey], text: str) -> None:
    """A key that stands in the environment; its text is never shown."""
    path = (*key.path, "private_key")
    place = document.place(path)
    if "${" not in (place.text or ""):
        message = (
            'a private key must not stand in this file; write "${NAME}", '
            "and set NAME in the environment, or name a file by path"
        )
        document.note(path, message)
        return
    try:
        # Its primes are `mta check`'s affair: they take a tenth of a second.
        found = parse_signing_key(text.encode(), is_trusted=True)
        check_algorithm(key.value, found.algorithm)
    except ValueError as error:
        document.note(path, f"{place.text} {error}")


def check_algorithm(said: DkimKey, found: str) -> None:
    """See that a key is for the algorithm that it is said to be for.

    Raises:
        ValueError: It is not.
    """
    if said.algorithm not in (None, found):
        raise ValueError(f"is a key for {found}, and algorithm says {said.algorithm}")
