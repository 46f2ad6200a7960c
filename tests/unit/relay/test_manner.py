"""In what manner next hops are talked to: by LMTP, with a login, or just so."""

import pytest

from mta.config.next_hop import RelayLogin
from mta.config.zones import HostPort
from mta.relay.manner import BY_SMTP, Manner
from mta.smtp.login_client import Credentials
from tests.unit.relay.fakes import (
    FakeConnector,
    FakeSession,
    FakeTargets,
    a_request,
    a_zone,
)

ZONE = a_zone(
    host="relay.test", lmtp=True, auth=RelayLogin(user="ada", password="opensesame")
)


class Connector(FakeConnector):
    """Notes how it was told to talk."""

    def connect(self, *where, manner, **how):
        self.manner = manner
        return super().connect(*where, manner=manner, **how)


@pytest.mark.parametrize(
    ("sandbox", "manner"),
    [
        (None, Manner(is_lmtp=True, credentials=Credentials("ada", "opensesame"))),
        (HostPort("127.0.0.1", 2526), BY_SMTP),
    ],
    ids=["the relay", "the sandbox in its place"],
)
def test_the_zone_says_how_and_the_sandbox_is_spared(a_relay, sandbox, manner):
    """What takes mail in the sandbox knows no passwords, and is told none."""
    targets = FakeTargets("192.0.2.1")
    targets.sandbox = sandbox
    connector = Connector(FakeSession())

    a_relay(connector, targets).send(a_request(ZONE))

    assert connector.manner == manner
