"""The composition root of what leaves: content, its signatures, and their keys."""

from collections.abc import Callable
from datetime import datetime, timedelta

from mta.config.live import Live
from mta.config.zones import Config, DnsConfig
from mta.operate.dkim import Keys
from mta.relay.resolver import Resolver
from mta.store.deliveries import Deliveries
from mta.store.dkim_keys import DkimKeys
from mta.store.messages import Messages
from mta.store.mongo import SPOOL_BUCKET, Mongo
from mta.store.spool import Spool
from mta.worker.key_watch import KeyWatch
from mta.worker.keyring import Keyring
from mta.worker.leases import Leases
from mta.worker.library import Library
from mta.worker.request import Requests
from mta.worker.sealer import Sealer


def build_requests(
    db: Mongo,
    config: Live[Config],
    deliveries: Deliveries,
    leases: Leases,
    now: Callable[[], datetime],
) -> Requests:
    """What a worker's deliveries send."""
    said = config.derive(lambda config: config.dkim)
    return Requests(
        library=Library(Messages(db), Spool(db, SPOOL_BUCKET)),
        deliveries=deliveries,
        leases=leases,
        sealer=Sealer(said, Keyring(said, DkimKeys(db)), now),
    )


def build_key_watch(
    db: Mongo, config: Live[Config], now: Callable[[], datetime]
) -> KeyWatch:
    """What looks for the records of signing keys."""
    keys = Keys(DkimKeys(db), now)
    return KeyWatch(keys, config.derive(lambda said: fresh_resolver(said.dns)))


def fresh_resolver(dns: DnsConfig) -> Resolver:
    """What remembers no answer: a record that was not there may be there now."""
    return Resolver(dns.nameservers, timeout=dns.timeout, cache_ttl=timedelta(0))
