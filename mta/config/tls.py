"""How sessions with other servers are encrypted, and what is reported of it."""

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from mta.config.base import Frozen
from mta.config.fields import Boolean, Line, text_of
from mta.config.values import parse_domain

# From the weakest to the strictest.
TlsLevel: TypeAlias = Literal["ignore", "opportunistic", "require", "verify"]
OPPORTUNISTIC: Final[TlsLevel] = "opportunistic"

MinimumVersion: TypeAlias = Literal["1.2", "1.3"]

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9_+-]+)*")


def _version(value: object) -> str:
    """Take ``1.2``, which YAML reads as a number, or ``TLSv1.3``."""
    text = str(value).strip().lower().removeprefix("tls").removeprefix("v").strip()
    if isinstance(value, bool) or text not in {"1.2", "1.3"}:
        # RFC 8996: those before are over.
        raise ValueError("is no version of TLS; there are 1.2 and 1.3")
    return text


def _address(text: str) -> str:
    local, at, domain = text.strip().rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local) or len(local) > 64:
        raise ValueError("is not an address, such as tls-reports@example.com")
    return f"{local}@{parse_domain(domain)}"


ReportAddress = Annotated[str, BeforeValidator(text_of(_address))]


class TlsConfig(Frozen):
    """What holds for all sessions with other servers.

    Attributes:
        minimum: Version of TLS below which there is none; see RFC 8996.
        mta_sts: Policies that domains publish by MTA-STS (RFC 8461) are followed.
        dane: Those of hosts by DANE (RFC 7672), where DNS can be trusted.
    """

    minimum: Annotated[MinimumVersion, BeforeValidator(_version)] = "1.2"
    mta_sts: Boolean = True
    dane: Boolean = True


class TlsReportConfig(Frozen):
    """Reports to domains about TLS with their servers (RFC 8460).

    Attributes:
        sender: Where they are from; None: nothing is counted and none is sent.
        organization: Whose reports they are; None: the address's domain.
        contact: Who answers questions; None: the address.
    """

    sender: Annotated[ReportAddress | None, Field(alias="from")] = None
    organization: Line | None = None
    contact: Line | None = None
