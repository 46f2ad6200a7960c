"""``mta probe``: tries a destination as an attempt does, and sends nothing.

Runs where it is started: on the machine of the workers, whose addresses it uses.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from mta.cli.database import opened
from mta.cli.options import config_option, json_option
from mta.cli.process import load, pick
from mta.cli.show import clean
from mta.config.live import Live
from mta.config.settings import Settings
from mta.config.values import parse_host_port
from mta.config.zones import Config, Zone
from mta.embedded.state import read_ready
from mta.mail.address import domain_of, is_valid_address, normalize_address
from mta.policy.tls import Check
from mta.reasons import TlsFacts
from mta.relay.probe import Probed
from mta.relay.request import Hop, RelayRequest

FAILED = 1


@click.command()
@click.argument("destination", metavar="DOMAIN|ADDRESS")
@click.option("--zone", metavar="ZONE", help="The sending zone [default: the queue's]")
@click.option("--from", "reverse_path", default="", help="MAIL FROM [default: <>]")
@click.option("--hosts", type=click.IntRange(1, 20), default=1, help="How many hosts.")
@config_option
@json_option
def probe(
    *,
    destination: str,
    zone: str | None,
    reverse_path: str,
    hosts: int,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Try a destination up to RCPT, and say what came of it, with times.

    DNS, our address, the connection, TLS and its policy, login, MAIL and RCPT: as for
    a message of the zone. With a DOMAIN, the recipient is its postmaster. No content is
    sent, nothing is counted; limits of connections and rates are not asked.
    """
    from mta.wiring_asking import build_prober

    recipient = _address(
        destination if "@" in destination else f"postmaster@{destination}"
    )
    settings, config = load(config_path)
    settings = _within_sandbox(settings)
    name = pick(
        "zone",
        zone or config.queue.default_zone,
        [known.name for known in config.enabled_zones()],
        config.source,
    )
    with opened(config_path) as system:
        prober = build_prober(settings, Live(config), db=system.db, now=system.now)
        request = _request(config, config.zones[name], reverse_path, recipient)
        found = list(prober.probe(request, most=hosts))
    if as_json:
        click.echo(json.dumps({"hosts": [_record(one) for one in found]}))
    else:
        for one in found:
            for line in describe(one):
                click.echo(clean(line))
    if not any(one.is_good for one in found):
        raise SystemExit(FAILED)


def _within_sandbox(settings: Settings) -> Settings:
    """Nothing leaves the sandbox of the system that runs here, probes neither."""
    running = read_ready(settings.state_dir).get("sandbox")
    if settings.sandbox is not None or not isinstance(running, str):
        return settings
    return replace(settings, sandbox=parse_host_port(running))


def _address(text: str) -> str:
    address = normalize_address(text)
    if not is_valid_address(address):
        raise click.BadParameter(f"{text[:80]!r} is no domain and no address")
    return address


def _request(
    config: Config, zone: Zone, reverse_path: str, recipient: str
) -> RelayRequest:
    sender = _address(reverse_path) if reverse_path else ""
    return RelayRequest(
        config=config,
        zone=zone,
        reverse_path=sender,
        recipient=recipient,
        domain=domain_of(recipient),
        delivery_id=f"probe{secrets.token_hex(8)}.001",
        sender=sender if zone.pool_hash == "from" else "",
        size=0,
        needs_8bit=False,
        needs_utf8=False,
        open_content=_nothing,
    )


def _nothing(hop: Hop) -> Iterator[bytes]:
    raise AssertionError("nothing is sent")


def describe(one: Probed) -> Iterator[str]:
    """What came of one host, line by line."""
    found_s = one.found_after.total_seconds()
    if one.target is None:
        yield f"no host after {found_s:.3f} s: {one.reply}"
        return
    target = one.target
    yield f"{target.host} [{target.address}]:{target.port}, named after {found_s:.3f} s"
    if one.reasons.provider:
        yield f"  provider  {one.reasons.provider}"
    if one.reasons.pool_address:
        yield f"  source    {one.reasons.pool_address}"
    for entry in one.reasons.passed_over:
        yield f"            not {', '.join(entry.addresses)}: {entry.cause}"
    if one.reasons.tls.policy:
        yield f"  security  {_secured(one.reasons.tls)}"
    for line in one.talk.splitlines():
        yield f"  {line}"
    verdict = "would be taken" if one.is_good else "would not be taken now"
    yield f"  {verdict}, after {one.took.total_seconds():.3f} s: {one.reply}"


def _secured(tls: TlsFacts) -> str:
    if not tls.verified:
        how = "no session"
    elif not tls.version:
        how = "in clear"
    elif tls.verified == Check.NO:
        how = f"{tls.version} {tls.cipher}, certificate not checked"
    else:
        how = f"{tls.version} {tls.cipher}, certificate checked by {tls.verified}"
    return f"{how}; policy of {tls.policy}"


def _record(one: Probed) -> dict[str, object]:
    target, tls = one.target, one.reasons.tls
    return {
        "host": target.host if target else None,
        "address": str(target.address) if target else None,
        "port": target.port if target else None,
        "good": one.is_good,
        "reply": one.reply,
        "foundAfterMs": round(one.found_after.total_seconds() * 1000, 1),
        "tookMs": round(one.took.total_seconds() * 1000, 1),
        "source": one.reasons.pool_address,
        "provider": one.reasons.provider,
        "policy": tls.policy,
        "tls": tls.version,
        "cipher": tls.cipher,
        "verified": tls.verified,
        "talk": one.talk.splitlines(),
    }
