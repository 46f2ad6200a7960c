"""Where a running system answers: the ready file and the ready line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mta.embedded.child import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The addresses that users and tools need.

    Attributes:
        smtp: ``HOST:PORT`` per interface.
        api: URL without a path.
        flower: URL, or None if it is switched off.
        mongo: URI; ``redis``: URL of the broker's database, if it is ours.
        sandbox: ``HOST:PORT`` where all mail goes, or None if it goes out.
    """

    smtp: Mapping[str, str]
    api: str
    flower: str | None
    mongo: str
    redis: str
    sandbox: str | None = None

    @property
    def dashboard(self) -> str:
        """The web dashboard is served by the API's process."""
        return f"{self.api}/"

    def document(self, processes: Sequence[Process]) -> dict[str, object]:
        """The ready file."""
        return {
            "smtp": dict(self.smtp),
            "api": self.api,
            "dashboard": self.dashboard,
            "flower": self.flower,
            "mongo": self.mongo,
            "redis": self.redis,
            "sandbox": self.sandbox,
            "metrics": [f"{self.api}/metrics"],
            "processes": [{"name": p.name, "pid": p.pid} for p in processes],
        }

    def line(self) -> str:
        """The ready line, for people."""
        doors = ", ".join(f"{place} ({name})" for name, place in self.smtp.items())
        parts = [f"SMTP {doors or 'none'}", f"API {self.api}"]
        parts.append(f"dashboard {self.dashboard}")
        if self.flower:
            parts.append(f"Flower {self.flower}")
        return f"ready: {', '.join(parts)}"
