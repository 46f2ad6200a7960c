"""Who says what a limit allows: a line of the file, a profile, a measure, or nobody."""

from typing import Literal

from mta.config.limits import DomainLimits
from mta.config.zones import DEFAULT, Config, PoolAddress, Provider, Zone
from mta.policy.measures import MANUAL, Measure

BUILT_IN = "built in"


def origin_of(
    config: Config,
    key: str,
    what: Literal["connections", "rate"],
    *,
    zone: Zone,
    domain: str,
    provider: Provider | None,
    source: PoolAddress | None,
) -> str:
    """Say where it stands what a limit of a session allows.

    Args:
        key: As ``mta.policy.limits.demand_of`` names it; not a measure's.
    """
    kind, _, name = key.partition(":")
    field = "rate" if what == "rate" else "max_connections"
    match kind:
        case "domain":
            return _of_domain(config, domain, field)
        case "provider" if provider is not None:
            profile = f"profile {provider.profile}" if provider.profile else ""
            said = config.place_of("providers", provider.name, field)
            return said or profile or BUILT_IN
        case "source" if source is not None:
            address = str(source.address)
            places = (config.place_of("pools", p, address) for p in config.pools)
            return next(filter(None, places), BUILT_IN)
        case "shared":
            return config.place_of("limits", name, field) or BUILT_IN
        case "zone":
            own = "throttling" if what == "rate" else "connections"
            return config.place_of("zones", zone.name, own) or BUILT_IN
    return BUILT_IN


def origin_of_measure(measure: Measure) -> str:
    """Say what led to a measure."""
    if measure.rule == MANUAL:
        return f"measure {measure.id}, taken by hand"
    return f"measure {measure.id}, by rule {measure.rule}"


def _of_domain(config: Config, domain: str, field: str) -> str:
    own = config.domains.get(domain)
    owner = domain if _says(own, field) else DEFAULT
    return config.place_of("domains", owner, field) or BUILT_IN


def _says(limits: DomainLimits | None, field: str) -> bool:
    return limits is not None and field in limits.model_fields_set
