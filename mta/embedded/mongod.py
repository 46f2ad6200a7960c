"""The embedded MongoDB: one mongod as a replica set of one, on loopback.

A replica set, because ``w=majority`` is to mean what it means in production.
The set's only member is written into the data as ``127.0.0.1:PORT``, so the port
stays the same for a state folder; if it must change, the set is told by force.
For trying out, tests and small sites: see docs for what production wants.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from mta.embedded.child import Child, Role, bounded_log
from mta.embedded.find import Server

HOST = "127.0.0.1"
REPLICA_SET = "rs0"
GRACE_S = 30.0

_ASK_MS = 500
_ACT_MS = 10_000  # replSetInitiate syncs several files
_NOT_A_MEMBER = 93  # mongod's error InvalidReplicaSetConfig


def mongo_uri(port: int) -> str:
    """Where clients connect."""
    return f"mongodb://{HOST}:{port}/mta?replicaSet={REPLICA_SET}&w=majority"


def mongod_child(
    server: Server, folder: Path, port: int, environ: Mapping[str, str]
) -> Child:
    """The process; its data is in ``folder``/mongo, its log beside it."""
    data, log = folder / "mongo", bounded_log(folder / "mongod.log")
    data.mkdir(exist_ok=True)
    options = {
        "--dbpath": data,
        "--port": port,
        "--bind_ip": HOST,
        "--replSet": REPLICA_SET,
        "--oplogSize": 128,  # MiB
        # Small, for a machine that does other things too: the system's own cache
        # of files stands behind it. The usual option starts at 256 MB.
        "--wiredTigerEngineConfigString": "cache_size=24MB",
        "--logpath": log,
        "--setParameter": "diagnosticDataCollectionEnabled=false",
    }
    arguments = [str(word) for pair in options.items() for word in pair]
    return Child(
        name="mongod",
        role=Role.MONGOD,
        argv=(str(server.binary), *arguments, "--logappend", "--nounixsocket"),
        env={**environ, **server.env},
        is_ready=lambda: becomes_writable(port),
        grace_s=GRACE_S,
        log=log,
    )


def becomes_writable(port: int) -> bool:
    """Bring the set up if need be, and tell whether it takes writes."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        HOST,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=_ASK_MS,
        connectTimeoutMS=_ASK_MS,
        socketTimeoutMS=_ACT_MS,
    )
    try:
        hello = client.admin.command("hello")
        if hello.get("isWritablePrimary"):
            return True
        if "setName" not in hello:
            _initiate(client, port)
        return False
    except PyMongoError:
        return False
    finally:
        client.close()


def _initiate(client: MongoClient[dict[str, Any]], port: int) -> None:
    """Found the set, or tell an existing one that its member has moved."""
    member = {"_id": 0, "host": f"{HOST}:{port}"}
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as failure:
        if failure.code == _NOT_A_MEMBER:
            config = client.admin.command("replSetGetConfig")["config"]
            config["members"] = [config["members"][0] | {"host": member["host"]}]
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
            return
    founding = {"_id": REPLICA_SET, "members": [member]}
    # Refused if the set exists and the server is still loading its settings.
    with suppress(OperationFailure):
        client.admin.command("replSetInitiate", founding)
