"""Limits as people see them: what they allow, who says so, and what is in use."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from mta.config.zones import Config, PoolAddress, Provider, Zone
from mta.policy.limits import Demand, limit_key
from mta.policy.measures import Measure
from mta.policy.origins import origin_of, origin_of_measure
from mta.store.limits_look import InUse

What = Literal["connections", "rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitNow:
    """A limit, and how much of it is left.

    Attributes:
        allowed: As in ``5`` or ``600/m``.
        origin: Who says so: a line of the file, a profile, a measure.
        open: Connections open now; None if nobody knows, or it is a rate.
        wait: Until one who comes now would have a turn, likewise.
    """

    key: str
    what: What
    allowed: str
    origin: str
    open: int | None = None
    wait: timedelta | None = None

    @property
    def is_full(self) -> bool:
        """Whether one who comes now has to wait for a connection."""
        return self.open is not None and self.open >= int(self.allowed)


def limits_now(
    demand: Demand,
    in_use: InUse | None,
    *,
    config: Config,
    zone: Zone,
    domain: str,
    provider: Provider | None,
    source: PoolAddress | None,
    measures: Sequence[Measure],
) -> tuple[LimitNow, ...]:
    """Say of each limit in ``demand`` what it allows and what is left, in its order."""
    by_measure = {
        limit_key("measure", m.id): origin_of_measure(m)
        for m in measures
        if m.action == "slow"
    }

    def origin(key: str, what: What) -> str:
        return by_measure.get(key) or origin_of(
            config,
            key,
            what,
            zone=zone,
            domain=domain,
            provider=provider,
            source=source,
        )

    def found() -> Iterator[LimitNow]:
        for slot in demand.slots:
            yield LimitNow(
                key=slot.key,
                what="connections",
                allowed=str(slot.limit),
                origin=origin(slot.key, "connections"),
                open=in_use.open[slot.key] if in_use else None,
            )
        for pace in demand.paces:
            yield LimitNow(
                key=pace.key,
                what="rate",
                allowed=str(pace.rate),
                origin=origin(pace.key, "rate"),
                wait=in_use.waits[pace.key] if in_use else None,
            )

    return tuple(found())
