"""Pools: addresses that the file names, and those of interfaces that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from mta.config.document import Data, Document, Path
from mta.config.network import Network
from mta.config.sections import Read, read_model
from mta.config.values import IPAddress
from mta.config.wording import join_words, shorten, suggest
from mta.config.zones import PoolAddress

Pool: TypeAlias = tuple[Read[PoolAddress], ...]


def read_pool(document: Document, path: Path, data: Data, network: Network) -> Pool:
    """Read a list of addresses.

    What an entry says of an interface it says of each of its addresses, but of those
    that have an entry of their own.
    """
    if data is None or data == ():
        document.note_key(path, "has no addresses; list them, or remove the pool")
        return ()
    if not isinstance(data, tuple):
        document.note(path, "is not a list; write one line '- address: ...' for each")
        return ()
    reads = [
        read
        for index, entry in enumerate(data)
        for read in _read_entry(document, (*path, index), entry, network)
    ]
    named = {r.value.address for r in reads if r.value.interface is None}
    return tuple(
        read
        for read in reads
        if read.value.interface is None or read.value.address not in named
    )


def _read_entry(
    document: Document, path: Path, entry: Data, network: Network
) -> Sequence[Read[PoolAddress]]:
    if isinstance(entry, str):
        # A mere address will do, if there is nothing else to say about it.
        entry = {"address": entry}
    if isinstance(entry, dict) and "interface" in entry:
        return _read_interface(document, path, entry, network)
    read = read_model(document, path, PoolAddress, entry)
    return () if read is None else (read,)


def _read_interface(
    document: Document, path: Path, entry: dict[str, Data], network: Network
) -> Sequence[Read[PoolAddress]]:
    if "address" in entry:
        message = "names the addresses of an entry that has an address already"
        document.note((*path, "interface"), message)
        return ()
    addresses = _addresses_of(document, (*path, "interface"), entry, network)
    if not addresses:
        return ()
    first = read_model(
        document, path, PoolAddress, {**entry, "address": str(addresses[0])}
    )
    if first is None:
        return ()
    return [
        replace(first, value=first.value.model_copy(update={"address": address}))
        for address in addresses
    ]


def _addresses_of(
    document: Document, path: Path, entry: Mapping[str, Data], network: Network
) -> Sequence[IPAddress]:
    name = entry["interface"]
    if not isinstance(name, str):
        document.note(path, f"{document.quote(path)} is not text; put it in quotes")
        return ()
    if name not in network:
        hint = suggest(name, network) or f"there are {join_words([*network], 'and')}"
        message = f"this machine has no network interface {shorten(name)}; {hint}"
        document.note(path, message)
        return ()
    if not network[name]:
        message = f"{shorten(name)} has no address that mail could leave from"
        document.note(path, message)
    return network[name]
