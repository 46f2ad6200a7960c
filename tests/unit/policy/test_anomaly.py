"""Which attempts are worth a transcript."""

from datetime import UTC, datetime

import pytest

from mta.delivery import DeliveryState, Outcome
from mta.policy.anomaly import SLOW, why_kept
from mta.reply import make_reply

SLOW_MS = int(SLOW.total_seconds() * 1000)


def an_outcome(**changes: object) -> Outcome:
    facts = {
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "state": DeliveryState.DELIVERED,
        "reply": make_reply(250, "2.0.0", "taken"),
        "tls": "TLSv1.3",
        "duration_ms": 100,
    }
    return Outcome(**(facts | changes))


@pytest.mark.parametrize(
    ("changes", "last_tls", "why"),
    [
        pytest.param({}, True, "", id="as usual"),
        pytest.param({"tls": ""}, False, "", id="in clear, as before"),
        pytest.param({}, None, "first contact", id="a host nobody remembers"),
        pytest.param({}, False, "encrypted now", id="in clear before"),
        pytest.param({"tls": ""}, True, "no longer encrypted", id="in clear now"),
        pytest.param({"tls": "TLSv1.2"}, True, "", id="another version"),
        pytest.param({"duration_ms": SLOW_MS - 1}, True, "", id="just in time"),
        pytest.param({"duration_ms": SLOW_MS}, True, "slow", id="slow"),
        pytest.param({"category": "smtp"}, True, "failed (smtp)", id="refused"),
        pytest.param(
            {"category": "network", "tls": ""},
            True,
            "failed (network)",
            id="never got to TLS",
        ),
        pytest.param({"category": "dns"}, None, "failed (dns)", id="failed at first"),
        pytest.param(
            {"category": "network", "is_doubtful": True}, True, "in doubt", id="doubt"
        ),
    ],
)
def test_an_attempt_is_kept_for_what_was_unusual(changes, last_tls, why):
    """The gravest reason is told; none: it is not kept."""
    assert why_kept(an_outcome(**changes), last_tls=last_tls) == why
