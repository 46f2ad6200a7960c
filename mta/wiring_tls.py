"""The composition root of what is known of TLS with other servers."""

import functools
from collections.abc import Callable
from datetime import datetime

from mta.config.live import Live
from mta.config.settings import Settings, limits_url
from mta.config.zones import Config, DnsConfig
from mta.intake.accept import Intake
from mta.policy.tls_report import Detail, Policy, Seen
from mta.policy.tls_results import TlsResult
from mta.relay.hosts import LiveTargets
from mta.relay.mta_sts import StsPolicies
from mta.relay.resolver import Exchange, LiveAnswers, Resolver, ask
from mta.relay.security import Security
from mta.relay.shared_dns import SharedExchange
from mta.relay.tls_tally import TlsTally
from mta.relay.tlsa import Dane
from mta.relay.web import Web
from mta.store.dns_answers import DnsAnswers
from mta.store.mongo import Mongo
from mta.store.sts_policies import StsStore
from mta.store.tls_results import TlsResults
from mta.worker.tls_chores import TlsChores
from mta.worker.tls_reports import TlsReports


def build_security(
    settings: Settings,
    config: Live[Config],
    targets: LiveTargets,
    db: Mongo,
    *,
    now: Callable[[], datetime],
) -> Security:
    """What finds the policies that sessions are opened under."""
    names = live_answers(settings, config)
    tally = TlsTally(store=TlsResults(db), names=names, now=now)

    def note_problem(domain: str, problem: TlsResult, text: str) -> None:
        if config.current.tls_report.sender is not None:
            tally.note(Seen(Policy("sts", domain), Detail(problem, text=text[:200])))

    return Security(
        targets=targets,
        sts=StsPolicies(
            names=names,
            web=Web(find_addresses=targets.find_web_addresses),
            store=StsStore(db),
            now=now,
            on_problem=note_problem,
        ),
        dane=Dane(names),
        tally=tally,
    )


def build_chores(
    settings: Settings,
    config: Live[Config],
    targets: LiveTargets,
    db: Mongo,
    intake: Intake,
) -> TlsChores:
    """What the leading scheduler does for TLS."""
    names, now = live_answers(settings, config), intake.now
    web = Web(find_addresses=targets.find_web_addresses)
    store = StsStore(db)
    return TlsChores(
        policies=StsPolicies(names=names, web=web, store=store, now=now),
        store=store,
        reports=TlsReports(
            config=config,
            hostname=settings.hostname,
            results=TlsResults(db),
            names=names,
            web=web,
            intake=intake,
            now=now,
        ),
        now=now,
    )


def live_answers(settings: Settings, config: Live[Config]) -> LiveAnswers:
    """What asks the nameservers."""
    return LiveAnswers(config.derive(lambda said: resolver_of(settings, said.dns)))


@functools.lru_cache(maxsize=1)  # a reload about something else forgets no answers
def resolver_of(settings: Settings, dns: DnsConfig) -> Resolver:
    """The resolver of this process, which shares its answers with all others."""
    url = limits_url(settings)
    exchange: Exchange = ask
    if url is not None and dns.cache_ttl:
        answers = DnsAnswers(url)
        exchange = SharedExchange(ask, answers, dns.cache_ttl.total_seconds())
    return Resolver(
        dns.nameservers,
        timeout=dns.timeout,
        cache_ttl=dns.cache_ttl,
        trust_ad=dns.trust_ad,
        exchange=exchange,
    )
