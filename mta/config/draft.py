"""The whole file as it was read, before anybody compared its parts."""

from dataclasses import dataclass, field

from mta.config.document import Data, Document, Path
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
from mta.config.zones import (
    ApiConfig,
    Config,
    DnsConfig,
    DomainLimits,
    FlowerConfig,
    Interface,
    PoolAddress,
    PressureConfig,
    Provider,
    QueueConfig,
    TenantConfig,
    UsersConfig,
    Zone,
    built_in_interfaces,
    built_in_zones,
)

Pool = tuple[Read[PoolAddress], ...]


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
    users: Read[UsersConfig]
    pressure: Read[PressureConfig]
    interfaces: dict[str, Read[Interface]]
    pools: dict[str, Pool]
    zones: dict[str, Read[Zone]]
    domains: dict[str, Read[DomainLimits]]
    providers: dict[str, Read[Provider]]
    tenants: dict[str, Read[TenantConfig]]
    doubtful: set[str] = field(default_factory=set)

    def config(self, source: str) -> Config:
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
            users=self.users.value,
            pressure=self.pressure.value,
            interfaces=_values(self.interfaces),
            pools=pools,
            zones=zones,
            domains=_values(self.domains),
            providers=_values(self.providers),
            tenants=_values(self.tenants),
            source=source,
        )


def read_draft(document: Document) -> Draft:
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

    def checked(key: str) -> dict[str, Data] | None:
        """The same, of a section whose keys are names."""
        entries = named(key)
        for name in entries or ():
            check_name(document, key.removesuffix("s"), (key, name))
        return entries

    interfaces, zones = checked("interfaces"), checked("zones")
    return Draft(
        api=single("api", ApiConfig),
        flower=single("flower", FlowerConfig),
        dns=single("dns", DnsConfig),
        queue=single("queue", QueueConfig),
        users=single("users", UsersConfig),
        pressure=single("pressure", PressureConfig),
        interfaces=_read_named(document, "interfaces", Interface, interfaces)
        if interfaces is not None
        else _defaults("interfaces", built_in_interfaces()),
        pools={
            name: _read_pool(document, ("pools", name), pool)
            for name, pool in (checked("pools") or {}).items()
        },
        zones=_read_named(document, "zones", Zone, zones)
        if zones is not None
        else _defaults("zones", built_in_zones()),
        domains=_read_domains(document, named("domains") or {}),
        providers=_read_named(
            document, "providers", Provider, checked("providers") or {}
        ),
        tenants=_read_tenants(document, named("tenants") or {}),
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


def _read_pool(document: Document, path: Path, data: Data) -> Pool:
    if data is None or data == ():
        document.note_key(path, "has no addresses; list them, or remove the pool")
        return ()
    if not isinstance(data, tuple):
        document.note(path, "is not a list; write one line '- address: ...' for each")
        return ()
    reads = (
        read_model(
            document,
            (*path, index),
            PoolAddress,
            # A mere address will do, if there is nothing else to say about it.
            {"address": entry} if isinstance(entry, str) else entry,
        )
        for index, entry in enumerate(data)
    )
    return tuple(read for read in reads if read is not None)
