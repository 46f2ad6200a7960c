"""The connection to MongoDB, the indexes as data, and one border for its errors.

Everything a 250 or a settlement rests on is written through ``durable``: a
majority has it in its journal, whatever the server's defaults say.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeAlias, TypeVar

from pymongo import (
    ASCENDING,
    DESCENDING,
    IndexModel,
    MongoClient,
    ReadPreference,
    WriteConcern,
)
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError

from mta.delivery import LIVE
from mta.errors import StoreUnavailable

Document: TypeAlias = dict[str, Any]
Mongo: TypeAlias = Database[Document]
Documents: TypeAlias = Collection[Document]

MAX_ERROR_CHARS = 300  # some of the driver's errors quote whole documents
DEFAULT_DATABASE = "mta"
DURABLE = WriteConcern(w="majority", j=True, wtimeout=10_000)

MESSAGES = "messages"
DELIVERIES = "deliveries"
LEADERS = "leaders"
WORKERS = "workers"
USERS = "users"
USAGE = "usage"
VITALS = "vitals"
MEASURES = "measures"
REFUSALS = "refusals"
WARMUP = "warmup"
STS_POLICIES = "sts_policies"
TLS_RESULTS = "tls_results"
DKIM_KEYS = "dkim_keys"
TRANSCRIPTS = "transcripts"
SPOOL_BUCKET = "mail"
INBOX_BUCKET = "inbox"

# A live row, and no other, has somebody who must look after it at ``ring_at``. The
# indexes hold only those, so a million finished deliveries cost nothing; all rows of
# a message are found by their ``_id``, which follows from its own.
LIVE_ROW = {"ring_at": {"$exists": True}}

INDEXES: Mapping[str, tuple[IndexModel, ...]] = {
    DELIVERIES: (
        IndexModel(
            [("zone", ASCENDING), ("lane", ASCENDING), ("ring_at", ASCENDING)],
            name="ring_by_lane",
            partialFilterExpression=LIVE_ROW,
        ),
        IndexModel(
            [("give_up_at", ASCENDING)],
            name="end",
            partialFilterExpression=LIVE_ROW,
        ),
        IndexModel(
            [("zone", ASCENDING), ("due_at", ASCENDING)],
            name="age",
            partialFilterExpression=LIVE_ROW,
        ),
        IndexModel(
            [("waits_for", ASCENDING), ("lane", ASCENDING), ("due_at", ASCENDING)],
            name="parked",
            partialFilterExpression={"waits_for": {"$exists": True}},
        ),
        IndexModel(
            [("waits_for", ASCENDING), ("ring_at", ASCENDING)],
            name="parked_net",
            partialFilterExpression={"waits_for": {"$exists": True}},
        ),
        IndexModel(
            [("dot_at", ASCENDING)],
            name="dotted",
            partialFilterExpression={"dot_at": {"$exists": True}},
        ),
        IndexModel(
            [("doubted_at", DESCENDING), ("_id", ASCENDING)],
            name="doubted",
            partialFilterExpression={"doubted_at": {"$exists": True}},
        ),
        IndexModel(
            [("message", ASCENDING)],
            name="live_message",
            partialFilterExpression=LIVE_ROW,
        ),
        IndexModel(
            [("state", ASCENDING), ("zone", ASCENDING), ("domain", ASCENDING)],
            name="live_by_state",
            # By the very field that is asked for, so that counting reads no row.
            partialFilterExpression={"state": {"$in": sorted(LIVE)}},
        ),
        IndexModel(
            [("expires_at", ASCENDING)],
            name="finished_ttl",
            expireAfterSeconds=0,
            partialFilterExpression={"expires_at": {"$exists": True}},
        ),
    ),
    MESSAGES: (
        IndexModel(
            [("expand_at", ASCENDING)],
            name="expand",
            partialFilterExpression={"expand_at": {"$exists": True}},
        ),
        IndexModel(
            [("sweep_at", ASCENDING)],
            name="sweep",
            partialFilterExpression={"sweep_at": {"$exists": True}},
        ),
        IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ),
    WORKERS: (
        IndexModel([("seen_at", ASCENDING)], name="ttl", expireAfterSeconds=600),
    ),
    **{
        name: (
            IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
        )
        for name in (USAGE, MEASURES, REFUSALS, WARMUP, TRANSCRIPTS, TLS_RESULTS)
    },
    DKIM_KEYS: (
        IndexModel([("domain", ASCENDING), ("created_at", ASCENDING)], name="domain"),
        IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ),
    STS_POLICIES: (
        IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
        IndexModel([("refresh_at", ASCENDING)], name="refresh"),
    ),
    # The GridFS specification wants (files_id, n); the TTLs are the backstop that
    # collects what a crash between body and message left.
    f"{SPOOL_BUCKET}.chunks": (
        IndexModel([("files_id", ASCENDING), ("n", ASCENDING)], unique=True),
        IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ),
    f"{SPOOL_BUCKET}.files": (
        IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ),
    f"{INBOX_BUCKET}.chunks": (
        IndexModel([("files_id", ASCENDING), ("n", ASCENDING)], unique=True),
        IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ),
    f"{INBOX_BUCKET}.files": (
        IndexModel([("metadata.recipients", ASCENDING)], name="recipients"),
        IndexModel([("expires_at", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ),
}

P = ParamSpec("P")
R = TypeVar("R")


def connect(uri: str, *, name: str) -> Mongo:
    """Open the database of ``uri`` (``mta`` if it names none); connects lazily.

    One client per process, made after any fork and after monkey patching.

    Args:
        name: This process's name, shown by the server's ``currentOp``.
    """
    client: MongoClient[Document] = MongoClient(
        uri,
        appname=name,
        tz_aware=True,
        retryWrites=True,
        maxPoolSize=50,
        waitQueueTimeoutMS=5_000,
        serverSelectionTimeoutMS=8_000,
        connectTimeoutMS=5_000,
        socketTimeoutMS=20_000,
    )
    # Whatever the URI says: a secondary that lags behind would tell of mail that is
    # not there yet, and what is not there is given up.
    return client.get_default_database(
        DEFAULT_DATABASE, read_preference=ReadPreference.PRIMARY
    )


def durable(db: Mongo, name: str) -> Documents:
    """A collection whose writes are acknowledged by a majority's journal."""
    return db.get_collection(name, write_concern=DURABLE)


def ensure_indexes(db: Mongo) -> None:
    """Create what is missing of ``INDEXES``; harmless to repeat."""
    with store_errors():
        for collection, indexes in INDEXES.items():
            db[collection].create_indexes(list(indexes))


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn MongoDB's failures into ``StoreUnavailable``."""
    try:
        yield
    except PyMongoError as error:
        # A WTimeoutError among them: the write may be stored, but is not promised.
        text = f"{type(error).__name__}: {error}"
        raise StoreUnavailable(text[:MAX_ERROR_CHARS]) from error


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Run a store's method under ``store_errors``."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with store_errors():
            return function(*args, **kwargs)

    return call
