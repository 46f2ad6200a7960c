"""``mta user``: who may log in at the SMTP doors, send as whom, and how much.

Talks to MongoDB itself, so that the first user can be added before anything runs.
Passwords come from a prompt or from stdin, never from the command line, where
everybody on the machine could read them; and nothing here shows one.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from mta.cli.database import opened
from mta.cli.options import config_option, json_option
from mta.cli.show import clean
from mta.smtp.scram import choose_name
from mta.store.passwords import check_password
from mta.store.usage import MAX_LIMIT, NO_QUOTA, Quota, Usage
from mta.store.users import (
    MAX_PAGE,
    NoSuchUser,
    User,
    UserExists,
    Users,
    check_name,
    parse_sender,
)

NOT_FOUND = 3
NONE, NO_LIMIT = "none", -1
MAX_LISTED = 1_000_000
MAX_STDIN = 8192  # octets; a password has 1024 characters at most

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opened:
    """The collections, and the clock that all processes go by."""

    users: Users
    usage: Usage
    now: Callable[[], datetime]


def reading(parse: Callable[[str], T]) -> Callable[[str], T]:
    """``parse`` as the type of an option; its ValueError is shown."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(f"{clean(text)}: {error}") from None

    return read


def parse_limit(text: str) -> int:
    """Read a limit; ``none`` is -1, for None means that nothing was said."""
    if text == NONE:
        return NO_LIMIT
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    if not 0 <= limit <= MAX_LIMIT:
        raise ValueError(f"is neither a number up to {MAX_LIMIT} nor {NONE!r}")
    return limit


# Prepared as those are that clients send.
name_argument = click.argument(
    "name", metavar="NAME", type=reading(lambda text: check_name(choose_name(text)))
)
password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin, one line."
)


def rights_options(command: F) -> F:
    """The options that say what a user may do."""
    for limit in reversed(NO_QUOTA.limits()):
        what = limit.replace("_", " ")
        command = click.option(
            f"--{limit.replace('_', '-')}",
            limit,
            type=reading(parse_limit),
            metavar="N",
            help=f"At most so many {what}; {NONE}: any number.",
        )(command)
    return click.option(
        "--sender",
        "senders",
        type=reading(parse_sender),
        metavar="SENDER",
        multiple=True,
        help="May send from this address, domain or *.domain, and from no other; "
        "give it as often as needed. * is any.",
    )(command)


@click.group()
@config_option
@click.pass_context
def user(ctx: click.Context, config_path: Path | None) -> None:
    """Say who may log in, send as whom, and how much."""
    ctx.obj = config_path


@user.command()
@name_argument
@rights_options
@password_option
@click.pass_obj
def add(
    config_path: Path | None,
    /,
    *,
    name: str,
    senders: tuple[str, ...],
    password_stdin: bool,
    **limits: int | None,
) -> None:
    """Add a user; asks for the password."""
    with _opened(config_path) as opened:
        if opened.users.find(name) is not None:
            raise UserExists(f"there is a user {name!r} already")
        opened.users.add(
            name,
            _ask_password(from_stdin=password_stdin),
            senders=senders,
            quota=_changed(NO_QUOTA, limits),
            created_at=opened.now(),
        )
    click.echo(f"{clean(name)} added")


@user.command()
@name_argument
@password_option
@click.pass_obj
def passwd(config_path: Path | None, *, name: str, password_stdin: bool) -> None:
    """Change a user's password."""
    with _opened(config_path) as opened:
        opened.users.get(name)
        opened.users.set_password(name, _ask_password(from_stdin=password_stdin))
    click.echo(f"{clean(name)} has another password")


@user.command("set")
@name_argument
@rights_options
@click.pass_obj
def set_rights(
    config_path: Path | None,
    /,
    *,
    name: str,
    senders: tuple[str, ...],
    **limits: int | None,
) -> None:
    """Change what a user may do; what is not named stays as it is."""
    with _opened(config_path) as opened:
        quota = _changed(opened.users.get(name).quota, limits)
        changed = opened.users.update(name, senders=senders or None, quota=quota)
    _show(changed, {})


@user.command()
@name_argument
@click.pass_obj
def disable(config_path: Path | None, *, name: str) -> None:
    """Let a user neither log in nor send, until it is enabled."""
    _able(config_path, name, is_disabled=True)


@user.command()
@name_argument
@click.pass_obj
def enable(config_path: Path | None, *, name: str) -> None:
    """Undo ``disable``."""
    _able(config_path, name, is_disabled=False)


def _able(config_path: Path | None, name: str, *, is_disabled: bool) -> None:
    with _opened(config_path) as opened:
        opened.users.update(name, is_disabled=is_disabled)
    click.echo(f"{clean(name)} is {'disabled' if is_disabled else 'enabled'}")


@user.command()
@name_argument
@click.pass_obj
def remove(config_path: Path | None, *, name: str) -> None:
    """Forget a user for good."""
    with _opened(config_path) as opened:
        opened.users.remove(name)
    click.echo(f"{clean(name)} removed")


@user.command()
@name_argument
@json_option
@click.pass_obj
def show(config_path: Path | None, *, name: str, as_json: bool) -> None:
    """Show a user, and how much of each quota is used."""
    with _opened(config_path) as opened:
        found = opened.users.get(name)
        used = opened.usage.used(name, found.quota, opened.now())
    if as_json:
        click.echo(json.dumps(_document(found) | {"used": used}))
    else:
        _show(found, used)


@user.command("list")
@click.option("--after", metavar="NAME", default="", help="Only names behind this one.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LISTED),
    default=1000,
    show_default=True,
    help="How many.",
)
@json_option
@click.pass_obj
def list_users(
    config_path: Path | None, *, after: str, limit: int, as_json: bool
) -> None:
    """List users by name."""
    with _opened(config_path) as opened:
        found = list(_all(opened.users, after, limit + 1))
    if as_json:
        click.echo(json.dumps([_document(one) for one in found[:limit]]))
    else:
        for one in found[:limit]:
            click.echo(clean(_summary(one)))
    if len(found) > limit:
        click.echo("mta: there are more; --limit and --after show them", err=True)


@contextmanager
def _opened(config_path: Path | None) -> Iterator[Opened]:
    """The users of the system that runs here, or of MTA_MONGO_URI.

    Exits with status 3 if a user is not there.
    """
    with opened(config_path) as system:
        try:
            yield Opened(Users(system.db), Usage(system.db), system.now)
        except NoSuchUser as error:
            click.echo(clean(f"mta: {error}"), err=True)
            click.get_current_context().exit(NOT_FOUND)


def _ask_password(*, from_stdin: bool) -> str:
    """A new password, prepared.

    Raises:
        UsageError: It cannot be one.
    """
    if not from_stdin:
        said = click.prompt("Password", hide_input=True, confirmation_prompt="Again")
    try:
        if from_stdin:
            line = sys.stdin.buffer.readline(MAX_STDIN)
            said = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        return check_password(said)
    except UnicodeDecodeError:
        raise click.UsageError("the password is not UTF-8") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _changed(quota: Quota, limits: dict[str, int | None]) -> Quota:
    said = {name: limit for name, limit in limits.items() if limit is not None}
    changes = {name: None if it == NO_LIMIT else it for name, it in said.items()}
    return replace(quota, **changes)


def _all(users: Users, after: str, limit: int) -> Iterator[User]:
    while limit > 0:
        page = users.list(after=after, limit=min(limit, MAX_PAGE))
        yield from page
        if not page:
            return
        limit -= len(page)
        after = page[-1].name


def _show(found: User, used: dict[str, int]) -> None:
    click.echo(clean(_summary(found)))
    for name, limit in found.quota.limits().items():
        if limit is not None:
            so_far = f"{used[name]} of " if name in used else ""
            click.echo(f"    {so_far}{limit} {name.replace('_', ' ')}")


def _summary(found: User) -> str:
    """A user in one line."""
    parts = (
        found.name,
        "disabled" if found.is_disabled else "",
        f"from {', '.join(found.senders)}" if found.senders else "from anywhere",
        f"since {found.created_at:%Y-%m-%d}" if found.created_at else "",
    )
    return "  ".join(filter(None, parts))


def _document(found: User) -> dict[str, object]:
    created_at = found.created_at
    return {
        "name": found.name,
        "senders": list(found.senders),
        "quota": asdict(found.quota),
        "disabled": found.is_disabled,
        "created_at": created_at.isoformat() if created_at else None,
    }
