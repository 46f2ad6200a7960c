"""What addresses that are warming up have sent to each provider, by hour and day."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from mta.policy.warmup import DayStats, Ration
from mta.store.mongo import WARMUP, Mongo, guarded
from mta.store.usage import Exceeded, Quota, Usage

# Longer than any plan takes, days that are repeated included.
KEPT: Final = timedelta(days=800)


class WarmupBook:
    """The counts; all times are aware UTC, and days are those of UTC."""

    def __init__(self, db: Mongo) -> None:
        self._usage = Usage(db, WARMUP, kept=KEPT)
        self._days = db[WARMUP]

    def reserve(
        self, address: str, site: str, ration: Ration, now: datetime
    ) -> Exceeded | None:
        """Count a message before it is sent; or say which number is reached."""
        return self._usage.reserve(_name(address, site), _quota(ration), 1, now)

    def give_back(
        self, address: str, site: str, ration: Ration, reserved_at: datetime
    ) -> None:
        """The message was not sent after all."""
        name = _name(address, site)
        self._usage.give_back(name, _quota(ration), 1, reserved_at)

    @guarded
    def note_deferred(self, address: str, site: str, reserved_at: datetime) -> None:
        """A message that was counted was not taken, for now."""
        day = f"{_name(address, site)}|d|{reserved_at:%Y-%m-%d}"
        self._days.update_one({"_id": day}, {"$inc": {"deferred": 1}})

    @guarded
    def history(self, address: str, site: str, since: date) -> Mapping[date, DayStats]:
        """What was sent and deferred on each day from ``since`` on."""
        prefix = f"{_name(address, site)}|d|"
        window = {"$gte": f"{prefix}{since}", "$lt": f"{prefix}~"}
        days = {}
        for found in self._days.find({"_id": window}):
            deferred = int(found.get("deferred", 0))
            day = date.fromisoformat(found["_id"].removeprefix(prefix))
            sent = int(found.get("messages", 0)) - deferred
            days[day] = DayStats(max(0, sent), deferred)
        return days

    @guarded
    def sites(self, address: str, day: date) -> list[str]:
        """The sites that an address had mail for on a day."""
        suffix = f"|d|{day}"
        window = {"$gte": f"{address}|", "$lt": f"{address}|~"}
        names = (found["_id"] for found in self._days.find({"_id": window}, {"_id": 1}))
        return sorted(
            name.removeprefix(f"{address}|").removesuffix(suffix)
            for name in names
            if name.endswith(suffix)
        )

    def used(
        self, address: str, site: str, ration: Ration, now: datetime
    ) -> dict[str, int]:
        """Messages of this hour and day, by ``messages_per_hour`` and ``..._day``."""
        return self._usage.used(_name(address, site), _quota(ration), now)


class WarmupPeek(WarmupBook):
    """The same for one who only asks what would be: nothing is counted."""

    def reserve(
        self, address: str, site: str, ration: Ration, now: datetime
    ) -> Exceeded | None:
        return self._usage.exceeded(_name(address, site), _quota(ration), 1, now)

    def give_back(
        self, address: str, site: str, ration: Ration, reserved_at: datetime
    ) -> None:
        pass


def _quota(ration: Ration) -> Quota:
    return Quota(messages_per_hour=ration.per_hour, messages_per_day=ration.per_day)


def _name(address: str, site: str) -> str:
    return f"{address}|{site}"
