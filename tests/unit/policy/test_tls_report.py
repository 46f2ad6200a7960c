"""What reports about TLS say, and where they go."""

import json
from datetime import UTC, date, datetime

import pytest

from mta.policy.mta_sts import MAX_AGE, Mode, StsPolicy
from mta.policy.tls_report import (
    Detail,
    Places,
    Policy,
    Tally,
    compose_report,
    file_name,
    parse_places,
    policy_seen,
    report_id,
    window_of,
)
from mta.policy.tls_results import TlsResult, result_of

DAY = date(2026, 3, 10)
STS = StsPolicy(Mode.ENFORCE, ("mx.d.test",), MAX_AGE)


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        pytest.param(
            ["v=TLSRPTv1; rua=mailto:tls@d.test"],
            Places(addresses=("tls@d.test",)),
            id="mail",
        ),
        pytest.param(
            ["v=TLSRPTv1;rua=https://d.test/r?x=1,mailto:a%2Bb@d.test ;"],
            Places(addresses=("a+b@d.test",), urls=("https://d.test/r?x=1",)),
            id="both, and an extension",
        ),
        pytest.param(
            ["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@d.test!10m"],
            Places(addresses=("a@d.test!10m",)),
            id="among others",
        ),
        pytest.param(["v=TLSRPTv1; rua=http://d.test/"], Places(), id="in clear"),
        pytest.param(["v=TLSRPTv1; rua=https://u:p@d.test/"], Places(), id="login"),
        pytest.param(["v=TLSRPTv1; rua=https://[/"], Places(), id="no URL"),
        pytest.param(["v=TLSRPTv1; rua=mailto:nobody"], Places(), id="no address"),
        pytest.param(["v=TLSRPTv1;"], Places(), id="nowhere"),
        pytest.param(["v=TLSRPTv2; rua=mailto:a@d.test"], Places(), id="version"),
        pytest.param(["v=TLSRPTv1; rua=mailto:a@d.test"] * 2, Places(), id="two"),
        pytest.param([], Places(), id="none"),
    ],
)
def test_a_record_says_where_reports_go(texts, places):
    """RFC 8460 §3."""
    assert parse_places(texts) == places


def test_so_many_places_are_enough():
    """Nobody has us write to the whole world."""
    record = "v=TLSRPTv1; rua=" + ",".join(f"mailto:a{n}@d.test" for n in range(50))

    assert len(parse_places([record]).addresses) == 5


def test_a_report_follows_the_schema():
    """§4.4."""
    tally = Tally(
        policy=policy_seen("d.test", "mta-sts", STS, ()),
        successes=5,
        failures=3,
        details={
            Detail(
                *(TlsResult.CERTIFICATE_EXPIRED, "192.0.2.1", "mx.d.test"),
                *("198.51.100.2", "certificate has expired"),
            ): 3
        },
    )

    report = compose_report(
        "d.test",
        DAY,
        [tally],
        organization="Example Inc.",
        contact="tls@example.test",
        identity="20260310.d.test@mta.test",
    )

    assert json.loads(report) == {
        "organization-name": "Example Inc.",
        "date-range": {
            "start-datetime": "2026-03-10T00:00:00Z",
            "end-datetime": "2026-03-10T23:59:59Z",
        },
        "contact-info": "tls@example.test",
        "report-id": "20260310.d.test@mta.test",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-domain": "d.test",
                    "policy-string": [
                        "version: STSv1",
                        "mode: enforce",
                        "mx: mx.d.test",
                        "max_age: 31557600",
                    ],
                    "mx-host": ["mx.d.test"],
                },
                "summary": {
                    "total-successful-session-count": 5,
                    "total-failure-session-count": 3,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "192.0.2.1",
                        "receiving-mx-hostname": "mx.d.test",
                        "receiving-ip": "198.51.100.2",
                        "failure-reason-code": "certificate has expired",
                        "failed-session-count": 3,
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("by", "sts", "tlsa", "policy"),
    [
        ("dane", STS, ["3 1 1 ab"], Policy("tlsa", "d.test", ("3 1 1 ab",))),
        ("mta-sts", STS, (), Policy("sts", "d.test", STS.lines(), STS.mx)),
        ("default", None, (), Policy("no-policy-found", "d.test")),
        (
            *("default", StsPolicy(Mode.NONE, (), MAX_AGE), ()),
            Policy("no-policy-found", "d.test"),
        ),
    ],
)
def test_a_session_is_counted_by_what_it_was_judged_by(by, sts, tlsa, policy):
    """One of the three kinds there are."""
    assert policy_seen("d.test", by, sts, tlsa) == policy


def test_a_day_is_that_of_utc():
    """From midnight to the last second before the next."""
    assert window_of(DAY) == (
        datetime(2026, 3, 10, tzinfo=UTC),
        datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC),
    )
    assert file_name("d.test", "us.test", DAY) == (
        "us.test!d.test!1773100800!1773187199.json.gz"
    )
    assert report_id("d.test", DAY, "mta.test") == "20260310.d.test@mta.test"


@pytest.mark.parametrize(
    ("code", "result"),
    [(10, "certificate-expired"), (62, "certificate-host-mismatch")]
    + [(code, "certificate-not-trusted") for code in (18, 19, 20, 21, 23)],
)
def test_openssls_reasons_have_words(code, result):
    """§4.3.1."""
    assert result_of(code) == result
