"""What the leader does for TLS, beside its ticks: renews policies, sends reports.

Both ask DNS and web servers of strangers, and mail must not wait for those: they have
a thread of their own, which ends by itself. Each run is bounded, and what it does not
get done the next one does.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from mta.errors import StoreUnavailable

log = logging.getLogger(__name__)

RUN_FOR_S: Final = 120.0
REFRESH_AT_ONCE: Final = 100
REFRESH_RETRY: Final = timedelta(minutes=30)


class Policies(Protocol):
    """Fetches policies; see ``mta.relay.mta_sts.StsPolicies``."""

    def refresh(self, domain: str) -> bool: ...


class PolicyStore(Protocol):
    """Knows which policies are old; see ``mta.store.sts_policies.StsStore``."""

    def due(self, now: datetime, *, limit: int) -> list[str]: ...

    def put_off(self, domain: str, until: datetime) -> None: ...


class Reports(Protocol):
    """Sends reports; see ``mta.worker.tls_reports.TlsReports``."""

    def send_due(self, is_over: Callable[[], bool]) -> int: ...


def _start_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="tls-chores", daemon=True).start()


@dataclass(kw_only=True)
class TlsChores:
    """Started by the leader, now and then.

    Attributes:
        now: The clock; aware UTC.
    """

    policies: Policies
    store: PolicyStore
    reports: Reports
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    start_thread: Callable[[Callable[[], None]], None] = _start_thread
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def start(self) -> None:
        """Do what is due, aside; nothing if that is being done already."""
        if self._lock.acquire(blocking=False):
            try:
                self.start_thread(self._run)
            except BaseException:
                self._lock.release()
                raise

    def _run(self) -> None:
        until = self.monotonic() + RUN_FOR_S
        try:
            self.refresh(lambda: self.monotonic() > until)
            self.reports.send_due(lambda: self.monotonic() > until)
        except StoreUnavailable as error:
            log.warning("tls chores left for later error=%s", error)
        except Exception:
            log.exception("tls chores broke")
        finally:
            self._lock.release()

    def refresh(self, is_over: Callable[[], bool]) -> None:
        """Fetch policies again, long before they run out."""
        for domain in self.store.due(self.now(), limit=REFRESH_AT_ONCE):
            if is_over():
                return
            if not self.policies.refresh(domain):
                self.store.put_off(domain, self.now() + REFRESH_RETRY)
