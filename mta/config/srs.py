"""Rewriting of reverse paths (SRS): with what, for which mail."""

from typing import Annotated

from pydantic import Field

from mta.config.base import Frozen
from mta.config.fields import Domain


class SrsConfig(Frozen):
    """How the reverse paths of forwarded mail become ours.

    Attributes:
        secret: What only we know; None: nothing is rewritten.
        domain: Of the new paths; bounces to it are to be given back.
        exclude_domains: Those that send through us anyway: their paths stay.
        interfaces: Only mail that came in there; empty: all mail.
    """

    secret: Annotated[str | None, Field(repr=False, min_length=8, max_length=200)] = (
        None
    )
    domain: Domain | None = None
    exclude_domains: tuple[Domain, ...] = ()
    interfaces: tuple[str, ...] = ()
