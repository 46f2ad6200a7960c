"""``mta dkim``: the keys that sign mail, and their records in DNS.

Talks to MongoDB itself. No command shows a private key but ``keygen --out``, which
writes a new one, and nowhere else.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from mta.cli.database import opened
from mta.cli.options import config_option, json_option
from mta.cli.show import clean
from mta.cli.user import reading
from mta.config.dkim import parse_selector
from mta.config.signing_key import (
    ED25519,
    GOOD_RSA_BITS,
    MAX_RSA_BITS,
    RSA,
    Algorithm,
    parse_signing_key,
)
from mta.config.values import parse_domain
from mta.config.zones import Config
from mta.errors import MtaError
from mta.mail.dkim_record import split_record
from mta.operate.dkim import (
    Keys,
    Published,
    choose_selector,
    look_up,
    make_pem,
    published,
)
from mta.policy.dkim import RETIRE_AFTER, KeyState
from mta.store.dkim_keys import DkimKeys, StoredKey

FAILED, NOT_FOUND = 1, 3
RECORD_TTL_S = 3600
_ALGORITHMS: dict[str, Algorithm] = {"rsa": RSA, "ed25519": ED25519}

F = TypeVar("F", bound=Callable[..., Any])

domain_argument = click.argument("domain", metavar="DOMAIN", type=reading(parse_domain))
bits_option = click.option(
    "--bits",
    type=click.IntRange(GOOD_RSA_BITS, MAX_RSA_BITS),
    default=GOOD_RSA_BITS,
    show_default=True,
    help="Length of an RSA key.",
)


@dataclass(frozen=True, slots=True)
class Opened:
    """The keys, those of zones.yaml among them."""

    config: Config
    store: DkimKeys
    now: Callable[[], datetime]

    @property
    def keys(self) -> Keys:
        """What can be done to those in MongoDB."""
        return Keys(self.store, self.now)

    def published(self, domain: str | None) -> list[Published]:
        """What DNS should have; exits with status 3 if nothing signs for a domain."""
        try:
            found = published(self.store, self.config.dkim, domain)
        except ValueError as error:
            raise KeysUnreadable(str(error)) from None
        if not found and domain:
            click.echo(f"mta: there is no key for {domain}", err=True)
            click.get_current_context().exit(NOT_FOUND)
        return found


class KeysUnreadable(MtaError):
    """A key of zones.yaml cannot be read."""


@click.group()
@config_option
@click.pass_context
def dkim(ctx: click.Context, config_path: Path | None) -> None:
    """Make the keys that sign mail; publish, check and replace them."""
    ctx.obj = config_path


@dkim.command()
@domain_argument
@click.option(
    "--algorithm",
    type=click.Choice([*_ALGORITHMS]),
    default="rsa",
    show_default=True,
    help="Everybody knows RSA; not all know Ed25519 yet.",
)
@bits_option
@click.option(
    "--selector",
    type=reading(parse_selector),
    help="The key's name in DNS [default: r or e with the day]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write the private key to a new file, or - for stdout, for zones.yaml to "
    "name, and not to MongoDB.",
)
@click.pass_obj
def keygen(
    config_path: Path | None,
    *,
    domain: str,
    algorithm: str,
    bits: int,
    selector: str | None,
    out: Path | None,
) -> None:
    """Make a key for DOMAIN, and show the record to publish.

    The key is in MongoDB, and signs as soon as we have seen its record in DNS.
    """
    kind = _ALGORITHMS[algorithm]
    if out is not None:
        _keygen_to(out, domain, kind, bits, selector or "")
        return
    with _opened(config_path) as system:
        key = system.keys.make(domain, kind, bits=bits, selector=selector or "")
        _show_new([key], system.published(domain))


@dkim.command()
@domain_argument
@bits_option
@click.pass_obj
def rotate(config_path: Path | None, *, domain: str, bits: int) -> None:
    """Make the next key of DOMAIN; the present one signs until it is published."""
    with _opened(config_path) as system:
        made = system.keys.rotate(domain, bits=bits)
        _show_new(made, system.published(domain))


@dkim.command()
@domain_argument
@click.option("--selector", type=reading(parse_selector), help="Only this one's.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["plain", "bind"]),
    default="plain",
    show_default=True,
    help="bind: for a zone file, cut into strings of 255 octets.",
)
@json_option
@click.pass_obj
def dns(
    config_path: Path | None,
    *,
    domain: str,
    selector: str | None,
    form: str,
    as_json: bool,
) -> None:
    """Show the TXT records that DNS should have for DOMAIN."""
    with _opened(config_path) as system:
        found = system.published(domain)
    chosen = [key for key in found if selector in (None, key.selector)]
    if not chosen:
        click.echo(f"mta: {domain} has no key {selector}", err=True)
        click.get_current_context().exit(NOT_FOUND)
    if as_json:
        records = [{"name": key.name, "text": key.record} for key in chosen]
        click.echo(json.dumps(records))
        return
    for key in chosen:
        click.echo(format_bind(key) if form == "bind" else format_plain(key))


@dkim.command()
@click.argument(
    "domain", metavar="[DOMAIN]", type=reading(parse_domain), required=False
)
@json_option
@click.pass_obj
def verify(config_path: Path | None, *, domain: str | None, as_json: bool) -> None:
    """Ask DNS for the records of DOMAIN, or of all keys; do they fit?

    Asks the nameservers of zones.yaml. Exits with status 1 if one does not fit.
    """
    from mta.wiring_content import fresh_resolver

    with _opened(config_path) as system:
        found = system.published(domain)
        names = fresh_resolver(system.config.dns)
    faults = [(key, look_up(key, names.find_texts)) for key in found]
    if as_json:
        documents = [_document(key) | {"problem": fault} for key, fault in faults]
        click.echo(json.dumps(documents))
    else:
        for key, fault in faults:
            click.echo(clean(f"{key.name}  {key.state}  {fault or 'ok'}"))
    if any(fault for _, fault in faults):
        click.get_current_context().exit(FAILED)


@dkim.command("list")
@click.argument(
    "domain", metavar="[DOMAIN]", type=reading(parse_domain), required=False
)
@json_option
@click.pass_obj
def list_keys(config_path: Path | None, *, domain: str | None, as_json: bool) -> None:
    """List the keys of DOMAIN, or all, and what becomes of each."""
    with _opened(config_path) as system:
        found = system.published(domain)
        kept = {key.name for key in found}
        gone = [key for key in system.store.find(domain) if key.id not in kept]
    if as_json:
        documents = [*map(_document, found), *map(_stored_document, gone)]
        click.echo(json.dumps(documents))
        return
    for key in found:
        click.echo(clean(describe(key)))
    for old in gone:
        click.echo(clean(f"{old.id}  {_LABEL[old.algorithm]}  {_fate(old)}"))


@dkim.command()
@domain_argument
@click.argument("selector", metavar="SELECTOR", type=reading(parse_selector))
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_obj
def remove(config_path: Path | None, *, domain: str, selector: str, yes: bool) -> None:
    """Forget a key in MongoDB at once; workers sign with it half a minute more."""
    if not yes:
        click.confirm(f"Remove the key {selector} of {domain}?", abort=True, err=True)
    with _opened(config_path) as system:
        if not system.store.remove(domain, selector):
            click.echo(f"mta: {domain} has no key {selector} in MongoDB", err=True)
            click.get_current_context().exit(NOT_FOUND)
    click.echo(f"{selector} of {domain} removed; its record in DNS may go in a week")


@contextmanager
def _opened(config_path: Path | None) -> Iterator[Opened]:
    """The keys of the system that runs here, or of MTA_MONGO_URI."""
    with opened(config_path) as system:
        yield Opened(system.config, DkimKeys(system.db), system.now)


def _keygen_to(
    out: Path, domain: str, algorithm: Algorithm, bits: int, selector: str
) -> None:
    """Make a key that only a file has, which nobody else can read."""
    pem = make_pem(algorithm, bits)
    key = parse_signing_key(pem, is_trusted=True)
    selector = selector or choose_selector(algorithm, datetime.now(UTC), ())
    made = Published(domain, selector, algorithm, key.public, "")
    if str(out) == "-":
        click.echo(pem.decode("ascii"), nl=False)
    else:
        _write_privately(out, pem)
    click.echo(format_plain(made), err=True)


def _write_privately(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _show_new(made: Sequence[StoredKey], found: Sequence[Published]) -> None:
    names = {key.id for key in made}
    for key in found:
        if key.name in names:
            click.echo(format_plain(key))
    click.echo(
        "mta: publish this; the key signs once the scheduler has seen it in DNS",
        err=True,
    )


def format_plain(key: Published) -> str:
    """The name and the text of a record, as the forms of DNS providers want them."""
    return f"{key.name}\n{key.record}"


def format_bind(key: Published) -> str:
    """A record as a zone file has it (RFC 1035 §5.1)."""
    strings = "\n".join(f'    "{piece}"' for piece in split_record(key.record))
    return f"{key.name}. {RECORD_TTL_S} IN TXT (\n{strings} )"


_LABEL = {algorithm: name for name, algorithm in _ALGORITHMS.items()}


def describe(key: Published) -> str:
    """A key in one line."""
    fate = _fate(key.stored) if key.stored else f"signs, of {key.state}"
    return f"{key.name}  {_LABEL[key.algorithm]}  {fate}"


def _fate(key: StoredKey) -> str:
    since = key.created_at
    match key.state:
        case KeyState.PENDING:
            text = f"pending: made {since:%Y-%m-%d}, waits for its record"
        case KeyState.ACTIVE:
            text = f"active: signs since {key.active_at or since:%Y-%m-%d}"
        case KeyState.RETIRING:
            until = (key.retiring_at or since) + RETIRE_AFTER
            text = f"retiring: keep its record until {until:%Y-%m-%d}"
        case _:
            text = (
                f"retired: its record may go since {key.retired_at or since:%Y-%m-%d}"
            )
    return f"{text}; {key.problem}" if key.problem else text


def _document(key: Published) -> dict[str, object]:
    if key.stored:
        return _stored_document(key.stored)
    return {
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.algorithm,
        "name": key.name,
        "record": key.record,
        "state": key.state,
    }


def _stored_document(key: StoredKey) -> dict[str, object]:
    times = ("created_at", "seen_at", "active_at", "retiring_at", "retired_at")
    said = {name: getattr(key, name) for name in (*times, "checked_at")}
    public = Published(
        *(key.domain, key.selector, key.algorithm, key.public, key.state.value)
    )
    return {
        **_document(public),
        **{name: at.isoformat() if at else None for name, at in said.items()},
        "problem": key.problem,
    }
