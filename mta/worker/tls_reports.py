"""Sends the daily reports about TLS to the domains that want them (RFC 8460).

For every day that is over: looks up where the domain wants its report, and sends it
there by mail, through our own intake, or by HTTPS. What was sent is removed; what could
not be is tried again, and forgotten after some days. Whoever is the leader does it; if
it dies between sending and noting that, the next one sends a report of the same name
again.
"""

import gzip
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Final, Protocol

from mta.config.live import Live
from mta.config.tls import TlsReportConfig
from mta.config.zones import Config
from mta.errors import AttemptFailed, MtaError
from mta.intake.accept import Intake
from mta.mail.address import domain_of, is_valid_address
from mta.mail.envelope import Envelope
from mta.mail.tls_report import ReportMail, compose_report_mail
from mta.observe import metrics
from mta.policy.tls_report import (
    Places,
    compose_report,
    file_name,
    parse_places,
    report_id,
    window_of,
)
from mta.relay.web import WebAnswer, WebFailed
from mta.store.tls_results import Progress, TlsResults

log = logging.getLogger(__name__)

# Every worker has written by then what it counted.
SETTLED_AFTER: Final = timedelta(minutes=10)
# §4.1: not all at midnight.
SPREAD: Final = timedelta(hours=4)
RETRY_AFTER: Final = timedelta(hours=1)
MAX_TRIES: Final = 24
AT_ONCE: Final = 100  # reports of one run
MAX_ANSWER: Final = 4096  # of a web server, which is not read

INTERFACE: Final = "tls-report"
MEDIA_TYPE: Final = "application/tlsrpt+gzip"


class Names(Protocol):
    """The part of the resolver that is needed here."""

    def find_texts(self, name: str) -> tuple[str, ...]: ...


class Posts(Protocol):
    """Sends by HTTPS; see ``mta.relay.web.Web``."""

    def post(
        self, url: str, body: bytes, *, media_type: str, max_bytes: int
    ) -> WebAnswer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsReports:
    """Makes and sends reports.

    Attributes:
        now: The clock; aware UTC.
    """

    config: Live[Config]
    hostname: str
    results: TlsResults
    names: Names
    web: Posts
    intake: Intake
    now: Callable[[], datetime]

    def send_due(self, is_over: Callable[[], bool] = lambda: False) -> int:
        """Send the reports whose time has come; return how many were dealt with.

        Args:
            is_over: Asked between two; true to stop.

        Raises:
            StoreUnavailable: MongoDB is away.
        """
        said = self.config.current.tls_report
        if said.sender is None:
            return 0
        done = 0
        now = self.now()
        for day, domain in self.results.unreported(now.date(), now):
            if done >= AT_ONCE or is_over():
                break
            if now >= due_at(day, domain):
                self._report(said, said.sender, day, domain)
                done += 1
        return done

    def _report(
        self, said: TlsReportConfig, sender: str, day: date, domain: str
    ) -> None:
        try:
            places = parse_places(self.names.find_texts(f"_smtp._tls.{domain}"))
        except AttemptFailed as failure:
            self._put_off(day, domain, str(failure.reply))
            return
        progress = self.results.progress(day, domain)
        tallies = self.results.tallies(day, domain)
        if not places or not tallies or progress.tries >= MAX_TRIES:
            self.results.forget(day, domain)
            return
        submitter = domain_of(sender)
        identity = report_id(domain, day, self.hostname)
        report = compose_report(
            domain,
            day,
            tallies,
            organization=said.organization or submitter,
            contact=said.contact or sender,
            identity=identity,
        )
        mail = ReportMail(
            sender=sender,
            recipient="",
            domain=domain,
            submitter=submitter,
            identity=identity,
            file_name=file_name(domain, submitter, day),
            content=gzip.compress(report, mtime=0),
        )
        problems = self._send(places, progress, mail, day)
        if problems:
            self._put_off(day, domain, "; ".join(problems))
        else:
            self.results.forget(day, domain)

    def _send(
        self, places: Places, progress: Progress, mail: ReportMail, day: date
    ) -> list[str]:
        """Send a report to all that do not have it yet; return what went wrong."""
        problems = []
        steps: Sequence[tuple[str, str, Callable[[str, ReportMail], str]]] = (
            *(("mailto", address, self._mail) for address in places.addresses),
            *(("https", url, self._post) for url in places.urls),
        )
        for how, place, send in steps:
            name = f"{how}:{place}"
            if name in progress.done:
                continue
            problem = send(place, mail)
            metrics.TLS_REPORTS.labels(how, "failed" if problem else "sent").inc()
            if problem:
                problems.append(f"{name[:100]}: {problem}")
                continue
            log.info("tls report sent domain=%s day=%s to=%s", mail.domain, day, name)
            self.results.note_done(day, mail.domain, name)
        return problems

    def _mail(self, address: str, mail: ReportMail) -> str:
        if not (is_valid_address(address) and address.isascii()):
            return ""  # nobody could ever get it
        now = self.now()
        envelope = Envelope(
            reverse_path=mail.sender,
            recipients=(address,),
            interface=INTERFACE,
            protocol="HTTP",
            received_at=now,
            session_id="",
            expires_at=now + timedelta(days=2),
        )
        submission = self.intake.begin(envelope)
        try:
            submission.write(compose_report_mail(replace(mail, recipient=address), now))
        except MtaError as error:
            submission.abort()
            return str(error)
        try:
            submission.commit()
        except MtaError as error:
            return str(error)
        return ""

    def _post(self, url: str, mail: ReportMail) -> str:
        try:
            answer = self.web.post(
                url, mail.content, media_type=MEDIA_TYPE, max_bytes=MAX_ANSWER
            )
        except WebFailed as failure:
            return str(failure)
        return "" if 200 <= answer.status < 300 else f"answered {answer.status}"

    def _put_off(self, day: date, domain: str, why: str) -> None:
        log.warning("tls report not sent domain=%s day=%s (%s)", domain, day, why)
        self.results.put_off(day, domain, self.now() + RETRY_AFTER)


def due_at(day: date, domain: str) -> datetime:
    """When the report of a day is sent: some time of the night, always the same."""
    _, last = window_of(day)
    digest = blake2b(domain.encode(), digest_size=4).digest()
    part = int.from_bytes(digest, "big") / 2**32
    return last + timedelta(seconds=1) + SETTLED_AFTER + SPREAD * part
