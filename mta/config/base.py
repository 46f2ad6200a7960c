"""What all parts of the mail policy have in common."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from mta.config.fields import whole

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)

Priority: TypeAlias = Literal["normal", "transactional"]
Connections = Annotated[int, whole(1, 10_000)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Fields that the loader fills: no keys of the file.
    derived: ClassVar[frozenset[str]] = frozenset()
