"""Explanations in the JSON of our own API."""

from datetime import datetime, timedelta

from mta.api.measures import measure_record
from mta.api.records import delivery_record, reasons_record
from mta.api.shapes import format_instant
from mta.config.zones import Config, Provider
from mta.operate.explain import Explained, Holdup, Journey
from mta.operate.limits import LimitNow
from mta.operate.timeline import Window, next_step
from mta.operate.tls import HostStanding, TlsStanding
from mta.policy.mta_sts import StsPolicy
from mta.policy.routing import Explanation, MatchedBy, Route, UnknownZone
from mta.policy.source import SourceChoice


def explained_record(
    found: Explained, config: Config, now: datetime
) -> dict[str, object]:
    """One recipient's copy: what was decided, what would be now, what holds it up."""
    record: dict[str, object] = {"recipient": found.recipient}
    if found.delivery is not None:
        step = next_step(found.delivery)
        record |= {
            "delivery": delivery_record(found.delivery),
            "next": step.text + (f" {format_instant(step.at)}" if step.at else ""),
            "window": _window(found.window) if found.window else None,
        }
    journey = found.journey
    return record | {
        "route": _explanation(found.route),
        "journey": _journey(journey, config, now) if journey else None,
    }


def _explanation(found: Explanation) -> dict[str, object]:
    return {
        **_route(found.result),
        "lost": [_route(route) for route in found.lost],
        "ignored": [_route(route) for route in found.ignored],
    }


def _route(route: Route | UnknownZone) -> dict[str, object]:
    if isinstance(route, UnknownZone):
        rule = f"{MatchedBy.REQUEST} {route.name[:80]}"
        return {"zone": None, "rule": rule, "place": "", "error": "no such zone"}
    return {"zone": route.zone.name, "rule": route.rule, "place": route.place}


def _journey(journey: Journey, config: Config, now: datetime) -> dict[str, object]:
    return {
        "zone": journey.zone.name,
        "receiver": {
            "provider": _provider(journey.places.provider, config),
            "site": journey.places.site,
            "hosts": list(journey.hosts),
        },
        "targets": [
            {
                "host": target.host,
                "address": str(target.address),
                "port": target.port,
            }
            for target in journey.targets
        ],
        "problem": journey.problem,
        "source": _source(journey),
        "limits": [_limit(limit, now) for limit in journey.limits],
        "measures": [measure_record(measure) for measure in journey.measures],
        "tls": _tls(journey.tls),
        "holdups": [_holdup(holdup, now) for holdup in journey.holdups],
        "reasons": reasons_record(journey.reasons),
    }


def _tls(standing: TlsStanding) -> dict[str, object]:
    level, sts = standing.security.level, standing.sts
    return {
        "level": level.value,
        "by": level.by,
        "place": standing.place,
        "minimum": standing.security.minimum,
        "requireTls": standing.security.require_tls,
        "mtaSts": _sts(sts) if sts else None,
        "mtaStsProblem": standing.problem,
        "hosts": [_tls_host(host) for host in standing.hosts],
    }


def _sts(policy: StsPolicy) -> dict[str, object]:
    return {
        "mode": policy.mode.value,
        "mx": list(policy.mx),
        "id": policy.id,
        "fetchedAt": format_instant(policy.fetched_at) if policy.fetched_at else None,
        "until": format_instant(policy.until) if policy.until else None,
    }


def _tls_host(standing: HostStanding) -> dict[str, object]:
    policy = standing.policy
    record: dict[str, object] = {
        "host": standing.host,
        "dane": standing.dane,
        "problem": standing.problem,
    }
    if policy is None:
        return record
    return record | {
        "policy": policy.by,
        "required": policy.is_required,
        "verified": policy.check.value,
        "tlsa": [str(entry) for entry in policy.tlsa],
    }


def _provider(provider: Provider | None, config: Config) -> object:
    if provider is None:
        return None
    return {
        "name": provider.name,
        "profile": provider.profile,
        "patterns": list(provider.mx),
        "place": config.place_of("providers", provider.name),
    }


def _source(journey: Journey) -> object:
    choice = journey.choice
    if choice is None:
        return None
    is_known = journey.keeps_by and choice.address
    return {
        "address": str(choice.address.address) if is_known and choice.address else None,
        "keepsBy": journey.keeps_by,
        "lastResort": journey.reasons.is_last_resort,
        "shares": _shares(choice),
        "passedOver": [
            {"address": str(entry.address), "cause": cause}
            for entry, cause in choice.passed_over
        ],
    }


def _shares(choice: SourceChoice) -> list[dict[str, object]]:
    return [
        {"address": str(entry.address), "share": round(share, 4)}
        for entry, share in choice.shares
    ]


def _limit(limit: LimitNow, now: datetime) -> dict[str, object]:
    record: dict[str, object] = {
        "key": limit.key,
        "what": limit.what,
        "allowed": limit.allowed,
        "origin": limit.origin,
    }
    if limit.what == "connections":
        return record | {"open": limit.open}
    return record | {"nextAt": _after(limit.wait, now)}


def _holdup(holdup: Holdup, now: datetime) -> dict[str, object]:
    return {
        "text": holdup.text,
        "key": holdup.key,
        "until": _after(holdup.wait, now),
    }


def _after(wait: timedelta | None, now: datetime) -> str | None:
    return None if wait is None else format_instant(now + wait)


def _window(window: Window) -> dict[str, object]:
    return {
        "earliest": format_instant(window.earliest),
        "latest": format_instant(window.latest) if window.latest else None,
        "giveUpAt": format_instant(window.give_up_at),
    }
