"""What is known of large receivers: their hosts, and limits to begin with.

Starting values: careful ones, with which a sender of good standing meets no limit of
theirs. Who sends much there raises them by and by, and who is new lowers them. They
are text as an operator would write it, and are read like the rest of the file.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mta.config.document import Data

Profile = Mapping[str, Data]


RATE = "100/s"


def _profile(*mx: str, connections: int = 10, reuse_count: int = 100) -> Profile:
    return MappingProxyType(
        {
            "mx": mx,
            "max_connections": connections,
            "rate": RATE,
            "reuse_count": reuse_count,
        }
    )


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        # Gmail and Google Workspace.
        "google": _profile(
            *("*.google.com", "*.googlemail.com", "*.psmtp.com"),
            connections=5,
            reuse_count=50,
        ),
        # Outlook.com, Hotmail and Microsoft 365.
        "microsoft": _profile(
            *("*.protection.outlook.com", "*.mx.microsoft", "*.eo.outlook.com"),
            connections=5,
            reuse_count=50,
        ),
        # Yahoo and AOL, and the domains they keep for others.
        "yahoo": _profile("*.yahoodns.net", reuse_count=20),
        # iCloud Mail, with the domains of its users.
        "apple": _profile("*.mail.icloud.com", reuse_count=5),
        # GMX, WEB.DE and mail.com.
        "gmx": _profile("*.gmx.net", "*.gmx.com", "*.web.de", "*.mail.com"),
        "t-online": _profile("*.t-online.de", connections=5),
        # Orange and Wanadoo: they count connections, and refuse the third.
        "orange": _profile("*.orange.fr", "*.wanadoo.fr", connections=2),
        "free": _profile("*.free.fr", connections=2),
        "laposte": _profile("*.laposte.net", connections=2),
        "sfr": _profile("*.sfr.fr", connections=2),
        "libero": _profile("*.libero.it", connections=5),
        "comcast": _profile("*.comcast.net", connections=25, reuse_count=1000),
        "charter": _profile("*.charter.net"),
        "cox": _profile("*.cox.net"),
    }
)
