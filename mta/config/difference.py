"""What a reload would change, and what only a restart can.

Sockets are opened, processes counted and leases agreed on at the start: ``keep_fixed``
says what that is, by putting it back as it was. So a change needs a restart exactly
if nothing is left of it then.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from mta.config.base import Frozen
from mta.config.document import Path, format_path
from mta.config.fields import frozen_mapping
from mta.config.values import format_duration
from mta.config.zones import Config, DomainLimits

SECRET = "(secret)"  # noqa: S105 - what is shown in place of one
NOTHING = "none"

_ABSENT: Final = object()
# Parts of it that are what a listening socket is, or how many processes share it.
_DOOR: Final = ("host", "port", "processes")


class Change(NamedTuple):
    """One setting that is not what it was.

    Attributes:
        path: Such as ``zones.bulk.connections``.
        old, new: As text; ``none``: there is no such thing.
    """

    path: str
    old: str
    new: str
    needs_restart: bool = False

    def __str__(self) -> str:
        note = "  (needs a restart)" if self.needs_restart else ""
        return f"{self.path}: {self.old} -> {self.new}{note}"


def keep_fixed(started: Config, new: Config) -> Config:
    """The new configuration as far as it can be put in force without a restart.

    Args:
        started: What the process, or the system, was started with.
    """
    api = {"host": started.api.host, "port": started.api.port}
    doors = {}
    for name, door in started.interfaces.items():
        fixed = {key: getattr(door, key) for key in _DOOR}
        doors[name] = new.interfaces.get(name, door).model_copy(update=fixed)
    return new.model_copy(
        update={
            "api": new.api.model_copy(update=api),
            "flower": started.flower,
            "interfaces": frozen_mapping(doors),
            # All who claim and renew must mean the same by it.
            "queue": new.queue.model_copy(update={"lease": started.queue.lease}),
        }
    )


def compare(old: Config, new: Config) -> list[Change]:
    """List what differs, in the order of the old configuration, secrets masked."""
    hidden = frozenset((*old.hidden, *new.hidden))
    applied = set(_differences((), old, keep_fixed(old, new), hidden))
    return [
        change._replace(needs_restart=change not in applied)
        for change in _differences((), old, new, hidden)
    ]


def removed_zones(old: Config, new: Config) -> list[str]:
    """Zones that are there no more, disabled ones among them."""
    return [name for name in old.zones if name not in new.zones]


def _differences(
    path: Path, old: object, new: object, hidden: frozenset[str]
) -> Iterator[Change]:
    before, after = _parts(old), _parts(new)
    if type(old) is type(new) and before is not None and after is not None:
        hidden = _with_secrets(path, old, hidden)
        for key in dict.fromkeys((*before, *after)):
            parts = before.get(key, _ABSENT), after.get(key, _ABSENT)
            yield from _differences((*path, key), *parts, hidden)
    elif old != new:
        was, is_now = _show(path, old, hidden), _show(path, new, hidden)
        yield Change(format_path(path), was, is_now)


def _parts(value: object) -> Mapping[str, object] | None:
    """What a value is made of, by name; None if it is shown as a whole."""
    if isinstance(value, Frozen):
        # What a domain does not say itself, another one says for it.
        said = value.model_fields_set if isinstance(value, DomainLimits) else None
        return {
            info.alias or name: getattr(value, name)
            for name, info in type(value).model_fields.items()
            if name not in value.derived and (said is None or name in said)
        }
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if isinstance(value, tuple) and value and all(hasattr(v, "address") for v in value):
        return {str(entry.address): entry for entry in value}
    return None


def _show(path: Path, value: object, hidden: frozenset[str]) -> str:
    if value is _ABSENT or value is None:
        return NOTHING
    if format_path(path) in hidden:
        return SECRET
    if isinstance(value, (Frozen, Mapping)):
        hidden = _with_secrets(path, value, hidden)
        parts = (
            f"{name}: {_show((*path, name), part, hidden)}"
            for name, part in (_parts(value) or {}).items()
            if not isinstance(value, Frozen) or name in value.model_fields_set
        )
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        items = (_show((*path, at), item, hidden) for at, item in enumerate(value))
        return f"[{', '.join(items)}]"
    return _show_plain(value)


def _show_plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _with_secrets(path: Path, value: object, hidden: frozenset[str]) -> frozenset[str]:
    """Add what the model itself calls a secret, as ``Settings`` does: no ``repr``."""
    if not isinstance(value, Frozen):
        return hidden
    secrets = (
        format_path((*path, name))
        for name, info in type(value).model_fields.items()
        if not info.repr
    )
    return hidden.union(secrets)
