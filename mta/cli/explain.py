"""``mta explain``: why mail goes as it goes, by the HTTP API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from mta.cli.queue import client_options, open_client
from mta.cli.show import clean

Document = dict[str, Any]


@click.command()
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--from", "reverse_path", metavar="ADDRESS", help="MAIL FROM.")
@click.option("--to", "recipients", metavar="ADDRESS", multiple=True, help="RCPT TO.")
@click.option("--header", "fields", metavar="'NAME: TEXT'", multiple=True)
@click.option("--interface", metavar="NAME", help="Where it comes in [default: api]")
@click.option("--origin", metavar="IP", help="The client's address.")
@click.option("--user", metavar="NAME", help="Who has logged in.")
@click.option("--zone", metavar="ZONE", help="The sending zone that is asked for.")
@click.option("--tenant", metavar="NAME", help="Whose mail it is.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@client_options
def explain(
    *,
    message_id: str | None,
    reverse_path: str | None,
    recipients: tuple[str, ...],
    fields: tuple[str, ...],
    limit: int,
    config_path: Path | None,
    api: str | None,
    as_json: bool,
    **said: str | None,
) -> None:
    """Say which zone, address and limits mail gets, why, and what it waits for.

    Of the message ID, or of one that is only supposed: with --from and --to.
    """
    given = {name: text for name, text in said.items() if text is not None}
    is_supposed = bool(recipients) and reverse_path is not None
    has_more = bool(recipients or fields or given) or reverse_path is not None
    if (message_id is None) != is_supposed or (message_id is not None and has_more):
        raise click.UsageError(
            "give either the ID of a message, or --from and --to (--from '' is the "
            "null path)"
        )
    client = open_client(api, config_path)
    if message_id is not None:
        path = f"/v1/messages/{quote(message_id, safe='')}/explain?limit={limit}"
        answer = client.get(path)
    else:
        supposed = {"from": reverse_path, "to": list(recipients), **given}
        answer = client.post("/v1/explain", {**supposed, "headers": _header(fields)})
    if as_json:
        click.echo(json.dumps(answer))
        return
    for found in answer["deliveries"]:
        for line in describe(found):
            click.echo(clean(line))


def _header(fields: tuple[str, ...]) -> dict[str, str]:
    split = (field.partition(":") for field in fields)
    return {name.strip(): text.strip() for name, _, text in split}


def describe(found: Document) -> Iterator[str]:
    """What is said of one recipient's copy, line by line."""
    delivery = found.get("delivery")
    yield f"{found['recipient']}"
    yield from _describe_route(found["route"], delivery)
    if found["journey"]:
        yield from _describe_journey(found["journey"])
    if delivery:
        yield f"  state     {delivery['state']}, {delivery['attempts']} attempts"
        for entry in delivery["timeline"]:
            yield f"            {entry['at']} {entry['state']}: {_reply(entry)}"
        yield f"  next      {found['next']}"
        if found["window"]:
            yield f"            {_window(found['window'])}"


def _describe_route(route: Document, delivery: Document | None) -> Iterator[str]:
    if delivery:
        yield f"  zone      {delivery['zone']}, by {delivery['rule'] or 'not kept'}"
    else:
        yield f"  zone      {_route(route)}"
    if delivery and route["zone"] != delivery["zone"]:
        yield f"            now it would be {_route(route)}"
    for lost in route["lost"]:
        yield f"            not {_route(lost)}"
    for ignored in route["ignored"]:
        yield f"            ignored: {_route(ignored)}; the interface does not allow it"


def _describe_journey(journey: Document) -> Iterator[str]:
    receiver = journey["receiver"]
    provider = receiver["provider"]
    name = provider["name"] if provider else "no provider that is known"
    hosts = ", ".join(receiver["hosts"]) or "DNS is not asked"
    yield f"  receiver  {name} ({hosts})"
    for target in journey["targets"]:
        yield f"            {target['host']} [{target['address']}]:{target['port']}"
    if journey["problem"]:
        yield f"            {journey['problem']}"
    if journey["source"]:
        yield from _describe_source(journey["source"])
    yield from _describe_tls(journey["tls"])
    for number, limit in enumerate(journey["limits"]):
        yield f"  {'limits' if not number else '':<10}{_limit(limit)}"
    for number, holdup in enumerate(journey["holdups"]):
        until = f", until {holdup['until']}" if holdup["until"] else ""
        title = "" if number else "held up"
        yield f"  {title:<10}{holdup['text']}{until}"


def _describe_tls(tls: Document) -> Iterator[str]:
    place = f", {tls['place']}" if tls["place"] else ""
    yield f"  tls       {tls['level']} ({tls['by']}{place}), {tls['minimum']} or later"
    if sts := tls["mtaSts"]:
        hosts = ", ".join(sts["mx"]) or "no hosts"
        yield f"            mta-sts {sts['mode']} until {sts['until']}: {hosts}"
    if tls["mtaStsProblem"]:
        yield f"            mta-sts: {tls['mtaStsProblem']}"
    for host in tls["hosts"]:
        if host["problem"]:
            yield f"            {host['host']}: {host['problem']}"
        else:
            word = "required" if host["required"] else "if it can"
            verified = f", verified by {host['verified']}"
            shown = "" if host["verified"] == "no" else verified
            yield f"            {host['host']}: {word}{shown} ({host['policy']})"
        yield f"            dane: {host['dane']}"


def _describe_source(source: Document) -> Iterator[str]:
    if source["address"]:
        resort = ", the last resort" if source["lastResort"] else ""
        yield f"  source    {source['address']}{resort}, kept by {source['keepsBy']}"
    else:
        yield "  source    by the delivery's id, which does not exist yet"
    for entry in source["shares"]:
        yield f"            {entry['address']} has {entry['share']:.1%}"
    for entry in source["passedOver"]:
        yield f"            not {entry['address']}: {entry['cause']}"


def _route(route: Document) -> str:
    if route["zone"] is None:
        return f"{route['rule']}: {route['error']}"
    place = f", {route['place']}" if route["place"] else ""
    return f"{route['zone']}, by {route['rule']}{place}"


def _limit(limit: Document) -> str:
    text = f"{limit['key']}: {limit['allowed']}"
    if limit["what"] == "connections":
        text += " connections"
        if limit["open"] is not None:
            text += f", {limit['open']} open"
    elif limit["nextAt"]:
        text += f", next {limit['nextAt']}"
    return f"{text} ({limit['origin']})"


def _reply(entry: Document) -> str:
    words = (str(entry["code"]), entry["status"], entry["text"])
    return " ".join(filter(None, words))


def _window(window: Document) -> str:
    if window["latest"] is None:
        return f"from {window['earliest']}, given up {window['giveUpAt']}"
    span = f"{window['earliest']} to {window['latest']}"
    return f"{span} if nothing else happens, given up {window['giveUpAt']}"
