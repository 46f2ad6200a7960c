"""What the routes of one app share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mta.api.ports import Intake, Look, Pressure
from mta.config.live import Live
from mta.config.settings import Settings
from mta.config.zones import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a blueprint may need.

    Attributes:
        now: The clock; aware UTC.
        pressure: None: we are never too busy.
    """

    config: Live[Config]
    settings: Settings
    intake: Intake
    look: Look
    now: Callable[[], datetime]
    pressure: Pressure | None = None
