"""From plain data to models, a part of the file at a time, past every mistake.

What cannot be read is noted and replaced by its default, so that the checks that
follow see the rest; the default itself is marked doubtful, so that none of them
complains of something nobody wrote.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Generic, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mta.config.document import Data, Document, Path
from mta.config.values import parse_domain, parse_tenant
from mta.config.wording import join_words, shorten, suggest
from mta.config.zones import DEFAULT, Config, DomainLimits, Frozen, Interface, Zone

M = TypeVar("M", bound=Frozen)

MAX_NAME_CHARS = 50  # zones become parts of process and queue names
_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]*")
# A worker of its own, and a door of its own, have these names already.
_RESERVED = {"zone": "maintenance", "interface": "api"}

_LATER = "is not available in this version"
_PER_DOMAIN = "unknown key; what holds for a domain stands under domains"
# Keys that somebody who comes from ZoneMTA, or from our plans, will try.
_EXPECTED: Mapping[type[Frozen], Mapping[str, str]] = {
    Config: {
        "domainConfig": _PER_DOMAIN,
        "domain_config": _PER_DOMAIN,
        "mta_sts": "unknown key; write tls: {mta_sts: true}",
        **dict.fromkeys(("plugins", "bounces"), _LATER),
    },
    Interface: {
        "name": "the name is the key above; remove this line",
        "enabled": "unknown key; an interface that is not wanted is left out",
        **dict.fromkeys(("key", "cert", "ca"), "unknown key; files stand under tls"),
    },
    Zone: {
        "name": "the name is the key above; remove this line",
        "addresses": "unknown key; list addresses under pools, and say pool: NAME",
        "rate": "unknown key; the rate of a zone is its throttling",
        "processes": "unknown key; start as many workers of a zone as you like",
        "interface": "unknown key; say so under pools: {NAME: [{interface: eth0}]}",
    },
    DomainLimits: dict.fromkeys(("dns_options", "dnsOptions", "logger"), _LATER),
}
_SHAPES = {
    "tuple_type": "is not a list; write [one, two]",
    "dict_type": "is not a mapping; write {key: value}",
    "mapping_type": "is not a mapping; write {key: value}",
    "model_type": "is not a mapping; write {key: value}",
    "string_type": "is not text; put it in quotes",
}


@dataclass(frozen=True, slots=True)
class Read(Generic[M]):
    """A part of the file.

    Attributes:
        value: With defaults in place of what could not be read.
        doubtful: Fields that are not, or not wholly, what the file says.
        kept: Of lists with bad items, the places of the good ones.
    """

    value: M
    path: Path
    doubtful: frozenset[str] = frozenset()
    kept: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def is_sure(self, *fields: str) -> bool:
        """The fields are what the file says."""
        return self.doubtful.isdisjoint(fields)

    def path_of(self, key: str, index: int) -> Path:
        """Where in the file an item of a list in ``value`` stands."""
        kept = self.kept.get(key)
        return (*self.path, key, index if kept is None else kept[index])


def read_model(
    document: Document, path: Path, model: type[M], data: Data, **given: str
) -> Read[M] | None:
    """Read one mapping; None if not even defaults make a value of it.

    Args:
        given: Fields that the file does not say.
    """
    said = read_mapping(document, path, data)
    if said is None:
        blank = _validate(model, given)
        return Read(blank, path, frozenset(model.model_fields)) if blank else None
    fields: dict[str, Any] = dict(said)
    for key in model.derived & fields.keys():
        del fields[key]
        document.note_key((*path, key), _unknown_key(model, key))
    doubtful = {str(key) for key in document.left_out.get(path, ())}
    try:
        value = model.model_validate({**fields, **given})
    except ValidationError as error:
        details = _causes(error.errors(include_url=False))
    else:
        return Read(value, path, frozenset(doubtful))
    for detail in details:
        _note(document, path, model, detail)
    kept = _drop_wrong(fields, [detail["loc"] for detail in details])
    doubtful |= {str(detail["loc"][0]) for detail in details}
    rest = _validate(model, {**fields, **given})
    return Read(rest, path, frozenset(doubtful), kept) if rest else None


def _causes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out lists that are too short only because their items are wrong."""
    outer = {detail["loc"][:-1] for detail in details}
    return [
        detail
        for detail in details
        if detail["type"] != "too_short" or detail["loc"] not in outer
    ]


def _validate(model: type[M], fields: Mapping[str, Any]) -> M | None:
    try:
        return model.model_validate(fields)
    except ValidationError:
        return None


def _drop_wrong(fields: dict[str, Any], locs: Sequence[Path]) -> dict[str, list[int]]:
    """Take out what is wrong, of lists the items alone; says which ones stay."""
    wrong: dict[str, set[int]] = {}
    for key, *rest in locs:
        if rest and isinstance(rest[0], int):
            wrong.setdefault(str(key), set()).add(rest[0])
        else:
            fields.pop(str(key), None)
    kept = {
        key: [index for index in range(len(fields[key])) if index not in bad]
        for key, bad in wrong.items()
        if key in fields
    }
    for key, indices in kept.items():
        fields[key] = tuple(fields[key][index] for index in indices)
        if not indices:
            del fields[key]
    return kept


def read_mapping(document: Document, path: Path, data: Data) -> dict[str, Data] | None:
    """Take a mapping; nothing at all is an empty one, and anything else is none."""
    if data is None:
        return {}
    if isinstance(data, dict):
        return data
    document.note(path, f"{document.quote(path)} {_SHAPES['mapping_type']}")
    return None


def check_keys(document: Document, model: type[Frozen], data: dict[str, Data]) -> None:
    """Note the keys at the top of the file that are not in the model."""
    for key in data:
        if key not in _keys(model):
            hint = "" if document.is_full else _unknown_key(model, key)
            document.note_key((key,), hint)


def check_name(document: Document, kind: str, path: Path) -> None:
    """Note a key that is no name for a zone, an interface or a pool."""
    name = str(path[-1])
    if _RESERVED.get(kind) == name:
        document.note_key(path, f"no {kind} can have this name: it has another use")
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME_CHARS:
        return
    better = re.sub(r"[^a-z0-9_-]+", "-", name[:MAX_NAME_CHARS].lower()).strip("-")
    hint = f"; write {better!r}" if better else ""
    message = f"names of {kind}s have only a to z, 0 to 9, _ and -"
    document.note_key(path, f"{message}, at most {MAX_NAME_CHARS} of them{hint}")


def check_domain(document: Document, path: Path, others: Mapping[str, Path]) -> str:
    """Read a key that names a domain, or all that are not named; "" if it is none.

    Args:
        others: The keys before it, by what they were read as.
    """
    name = str(path[-1])
    try:
        domain = name if name == DEFAULT else parse_domain(name)
    except ValueError as error:
        document.note_key(path, f"{shorten(name)} {error}")
        return ""
    if domain in others:
        line = document.place(others[domain]).key.line
        document.note_key(path, f"is {domain}, which is there in line {line} already")
        return ""
    return domain


def check_tenant(document: Document, path: Path) -> None:
    """Note a key that is no name for a tenant."""
    name = str(path[-1])
    try:
        is_name = parse_tenant(name) == name
    except ValueError as error:
        document.note_key(path, f"{shorten(name)} {error}")
    else:
        if not is_name:
            message = (
                f"names of tenants have no blanks around them; write {name.strip()!r}"
            )
            document.note_key(path, message)


def _note(
    document: Document, path: Path, model: type[Frozen], detail: ErrorDetails
) -> None:
    """Say in the operator's words what pydantic found."""
    # Of a mapping's bad key it says so in an element of its own.
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    where = (*path, *loc)
    if document.is_full:
        document.note(where, "")  # only counted: no time for guesses
    elif detail["type"] == "extra_forbidden":
        document.note_key(where, _unknown_key(_model_at(model, loc), str(loc[-1])))
    elif detail["type"] == "missing":
        document.note(where, "is missing")
    elif len(loc) < len(detail["loc"]):
        document.note_key(where, f"this key {_words(detail)}")
    elif detail["input"] is None:
        document.note(where, "is empty; give it a value, or remove the line")
    else:
        quoted = "this" if _is_secret(model, loc) else document.quote(where)
        document.note(where, f"{quoted} {_words(detail)}")


def _words(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"is none of {context['expected']}"
    if kind == "too_short":
        return "needs at least one entry"
    if kind == "too_long":
        return f"has more than {context['max_length']} entries"
    if kind == "string_too_long":
        return f"has more than {context['max_length']} characters"
    return _SHAPES.get(kind, detail["msg"])


def _model_at(model: type[Frozen], loc: Path) -> type[Frozen]:
    """The model whose key the last part of ``loc`` is."""
    for part in loc[:-1]:
        model = _model_of(model.model_fields.get(str(part))) or model
    return model


def _model_of(info: FieldInfo | None) -> type[Frozen] | None:
    """The model that a field's value is of; None if it is of none."""
    said = info.annotation if info else None
    for kind in (said, *(get_args(said) if isinstance(said, UnionType) else ())):
        if isinstance(kind, type) and issubclass(kind, Frozen):
            return kind
    return None


def _is_secret(model: type[Frozen], loc: Path) -> bool:
    """Whether what stands there is a secret, or might be meant for one."""
    info = _model_at(model, loc).model_fields.get(str(loc[-1])) if loc else None
    inner = _model_of(info)
    fields = [info, *(inner.model_fields.values() if inner else ())]
    return any(field is not None and not field.repr for field in fields)


def _keys(model: type[Frozen]) -> list[str]:
    """The keys of a model, as the file has them."""
    return [
        info.alias or key
        for key, info in model.model_fields.items()
        if key not in model.derived
    ]


def _unknown_key(model: type[Frozen], key: str) -> str:
    expected = _EXPECTED.get(model, {}).get(key)
    if expected:
        return expected
    known = _keys(model)
    hint = suggest(key, known) or f"known here: {join_words(known, 'and')}"
    return f"unknown key; {hint}"
