"""The whole file as it was read, before anybody compared its parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mta.config.dkim_draft import DkimDraft, read_dkim
from mta.config.document import Data, Document, Path
from mta.config.network import Network
from mta.config.pools import Pool, read_pool
from mta.config.profiles import PROFILES
from mta.config.sections import (
    M,
    Read,
    check_domain,
    check_keys,
    check_name,
    check_tenant,
    read_mapping,
    read_model,
)
from mta.config.shaping import built_in_rules
from mta.config.warmup import built_in_plans
from mta.config.wording import join_words, shorten, suggest
from mta.config.zones import (
    ApiConfig,
    Config,
    DnsConfig,
    DomainLimits,
    FlowerConfig,
    Interface,
    PressureConfig,
    Provider,
    QueueConfig,
    ShapingRule,
    SharedLimit,
    SrsConfig,
    TenantConfig,
    TimeoutsConfig,
    TlsConfig,
    TlsReportConfig,
    UsersConfig,
    WarmupPlan,
    Zone,
    built_in_interfaces,
    built_in_zones,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Every part that could be read.

    Attributes:
        doubtful: Sections that could not be: what they hold is not known.
    """

    api: Read[ApiConfig]
    flower: Read[FlowerConfig]
    dns: Read[DnsConfig]
    queue: Read[QueueConfig]
    timeouts: Read[TimeoutsConfig]
    tls: Read[TlsConfig]
    tls_report: Read[TlsReportConfig]
    dkim: DkimDraft
    srs: Read[SrsConfig]
    users: Read[UsersConfig]
    pressure: Read[PressureConfig]
    interfaces: dict[str, Read[Interface]]
    pools: dict[str, Pool]
    zones: dict[str, Read[Zone]]
    limits: dict[str, Read[SharedLimit]]
    domains: dict[str, Read[DomainLimits]]
    providers: dict[str, Read[Provider]]
    tenants: dict[str, Read[TenantConfig]]
    shaping: dict[str, Read[ShapingRule]]
    warmup: dict[str, Read[WarmupPlan]]
    doubtful: set[str] = field(default_factory=set)

    def config(
        self,
        source: str,
        lines: Mapping[tuple[str, ...], int],
        hidden: frozenset[str] = frozenset(),
    ) -> Config:
        """Put the parts together; for a file without mistakes."""
        pools = {
            name: tuple(entry.value for entry in pool)
            for name, pool in self.pools.items()
        }
        zones = {
            name: zone.value.model_copy(
                update={"addresses": pools.get(zone.value.pool or "", ())}
            )
            for name, zone in self.zones.items()
        }
        return Config(
            api=self.api.value,
            flower=self.flower.value,
            dns=self.dns.value,
            queue=self.queue.value,
            timeouts=self.timeouts.value,
            tls=self.tls.value,
            tls_report=self.tls_report.value,
            dkim=self.dkim.config(),
            srs=self.srs.value,
            users=self.users.value,
            pressure=self.pressure.value,
            interfaces=_values(self.interfaces),
            pools=pools,
            zones=zones,
            limits=_values(self.limits),
            domains=_values(self.domains),
            providers=_values(self.providers),
            tenants=_values(self.tenants),
            shaping={**built_in_rules(), **_values(self.shaping)},
            warmup={**built_in_plans(), **_values(self.warmup)},
            source=source,
            lines=lines,
            hidden=hidden,
        )


def read_draft(document: Document, network: Network) -> Draft:
    """Read every section; sections that are not there have their defaults."""
    data = read_mapping(document, (), document.data) or {}
    check_keys(document, Config, data)
    doubtful = {str(key) for key in document.left_out.get((), ())}

    def single(key: str, model: type[M]) -> Read[M]:
        read = read_model(document, (key,), model, data.get(key))
        return read or Read(model(), (key,), frozenset(model.model_fields))

    def named(key: str) -> dict[str, Data] | None:
        """What is under a section; None if there is nothing to be read."""
        if data.get(key) is None:
            return None
        entries = read_mapping(document, (key,), data[key])
        if entries is None:
            doubtful.add(key)
            return None
        if document.left_out.get((key,)):
            doubtful.add(key)
        return entries

    def checked(key: str, kind: str = "") -> dict[str, Data] | None:
        """The same, of a section whose keys are names."""
        entries = named(key)
        for name in entries or ():
            check_name(document, kind or key.removesuffix("s"), (key, name))
        return entries

    interfaces, zones = checked("interfaces"), checked("zones")
    return Draft(
        api=single("api", ApiConfig),
        flower=single("flower", FlowerConfig),
        dns=single("dns", DnsConfig),
        queue=single("queue", QueueConfig),
        timeouts=single("timeouts", TimeoutsConfig),
        tls=single("tls", TlsConfig),
        tls_report=single("tls_report", TlsReportConfig),
        dkim=read_dkim(document, data.get("dkim")),
        srs=single("srs", SrsConfig),
        users=single("users", UsersConfig),
        pressure=single("pressure", PressureConfig),
        interfaces=_read_named(document, "interfaces", Interface, interfaces)
        if interfaces is not None
        else _defaults("interfaces", built_in_interfaces()),
        pools={
            name: read_pool(document, ("pools", name), pool, network)
            for name, pool in (checked("pools") or {}).items()
        },
        zones=_read_named(document, "zones", Zone, zones)
        if zones is not None
        else _defaults("zones", built_in_zones()),
        domains=_read_domains(document, named("domains") or {}),
        limits=_read_named(document, "limits", SharedLimit, checked("limits") or {}),
        providers=_read_providers(document, checked("providers") or {}, doubtful),
        tenants=_read_tenants(document, named("tenants") or {}),
        shaping=_read_named(
            document, "shaping", ShapingRule, checked("shaping", "rule") or {}
        ),
        warmup=_read_named(
            document, "warmup", WarmupPlan, checked("warmup", "plan") or {}
        ),
        doubtful=doubtful,
    )


def _read_named(
    document: Document, key: str, model: type[M], entries: dict[str, Data]
) -> dict[str, Read[M]]:
    reads = {
        name: read_model(document, (key, name), model, entry, name=name)
        for name, entry in entries.items()
    }
    return {name: read for name, read in reads.items() if read is not None}


def _read_domains(
    document: Document, entries: dict[str, Data]
) -> dict[str, Read[DomainLimits]]:
    """Read them by their A-labels, of which each may be there once."""
    reads: dict[str, Read[DomainLimits]] = {}
    paths: dict[str, Path] = {}
    for name, entry in entries.items():
        path = ("domains", name)
        domain = check_domain(document, path, paths)
        read = read_model(document, path, DomainLimits, entry)
        if domain and read is not None:
            paths[domain] = path
            reads[domain] = read
    return reads


def _read_providers(
    document: Document, entries: dict[str, Data], doubtful: set[str]
) -> dict[str, Read[Provider]]:
    """Read them, with what their profiles say where they say nothing."""
    reads = {}
    for name, entry in entries.items():
        path: Path = ("providers", name)
        said = entry
        profile = entry.get("profile") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(profile, str):
            if profile not in PROFILES:
                hint = suggest(profile, PROFILES)
                hint = hint or f"there are {join_words([*PROFILES], 'and')}"
                message = f"no profile is called {shorten(profile)}; {hint}"
                document.note((*path, "profile"), message)
                doubtful.add("providers")
                continue
            said = {**PROFILES[profile], **entry}
        read = read_model(document, path, Provider, said, name=name)
        if read is not None:
            reads[name] = read
    return reads


def _read_tenants(
    document: Document, entries: dict[str, Data]
) -> dict[str, Read[TenantConfig]]:
    reads = {}
    for name, entry in entries.items():
        check_tenant(document, ("tenants", name))
        read = read_model(document, ("tenants", name), TenantConfig, entry)
        if read is not None:
            reads[name] = read
    return reads


def _values(reads: dict[str, Read[M]]) -> dict[str, M]:
    return {name: read.value for name, read in reads.items()}


def _defaults(key: str, values: dict[str, M]) -> dict[str, Read[M]]:
    return {name: Read(value, (key, name)) for name, value in values.items()}
