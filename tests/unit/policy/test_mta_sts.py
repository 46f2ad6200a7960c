"""MTA-STS records and policies, and which hosts they mean."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.policy.mta_sts import (
    MAX_AGE,
    MAX_POLICY_BYTES,
    Mode,
    StsPolicy,
    parse_policy,
    parse_record,
    refresh_at,
)

GOOD = b"version: STSv1\nmode: enforce\nmx: mx.d.test\nmax_age: 86400\n"


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        pytest.param(["v=STSv1; id=20160831085700Z;"], "20160831085700Z", id="RFC"),
        pytest.param(["v=STSv1;id=1"], "1", id="no blanks"),
        pytest.param(["v=STSv1; id=1; a=b;"], "1", id="extension"),
        pytest.param(["v=STSv1; a=b; id=1"], "1", id="extension first"),
        pytest.param(["v=STSv1 ; id = a1 ;"], "a1", id="blanks"),
        pytest.param(["v=spf1 -all", "v=STSv1; id=1"], "1", id="among others"),
        pytest.param([], None, id="none"),
        pytest.param(["v=STSv1; id=1", "v=STSv1; id=2"], None, id="two"),
        pytest.param(["v=STSv1; id=1", "v=STSv1;"], None, id="a broken second one"),
        pytest.param(["v=STSv2; id=1"], None, id="another version"),
        pytest.param(["V=STSv1; id=1"], None, id="case counts"),
        pytest.param([" v=STSv1; id=1"], None, id="blank in front"),
        pytest.param(["v=STSv1"], None, id="no id"),
        pytest.param(["v=STSv1; id="], None, id="empty id"),
        pytest.param(["v=STSv1; id=" + "a" * 33], None, id="long id"),
        pytest.param(["v=STSv1; id=a-b"], None, id="odd id"),
        pytest.param(["v=STSv1; id=1;;"], None, id="empty field"),
        pytest.param(["v=STSv1; xid=1"], None, id="another field"),
        pytest.param(["v=STSv1; id=1 x"], None, id="two words"),
    ],
)
def test_a_record_names_the_policys_id(texts, found):
    """§3.1: exactly one, and well formed."""
    assert parse_record(texts) == found


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        pytest.param(
            GOOD, StsPolicy(Mode.ENFORCE, ("mx.d.test",), timedelta(days=1)), id="LF"
        ),
        pytest.param(
            GOOD.replace(b"\n", b"\r\n"),
            StsPolicy(Mode.ENFORCE, ("mx.d.test",), timedelta(days=1)),
            id="CRLF",
        ),
        pytest.param(
            b"mode:testing\nmx:*.D.test\nmx:  a.test.  \nmax_age:1\nversion:STSv1",
            StsPolicy(Mode.TESTING, ("*.d.test", "a.test"), timedelta(seconds=1)),
            id="any order and case of hosts",
        ),
        pytest.param(
            b"version: STSv1\nmode: none\nmax_age: 0\n",
            StsPolicy(Mode.NONE, (), timedelta(0)),
            id="none needs no host",
        ),
        pytest.param(
            GOOD + b"mode: none\nmax_age: 1\nfuture: thing\n",
            StsPolicy(Mode.ENFORCE, ("mx.d.test",), timedelta(days=1)),
            id="the first of two counts, and the unknown does not",
        ),
        pytest.param(
            GOOD.replace(b"86400", b"9999999999"),
            StsPolicy(Mode.ENFORCE, ("mx.d.test",), MAX_AGE),
            id="a year at most",
        ),
    ],
)
def test_a_policy_is_read(body, policy):
    """§3.2."""
    assert parse_policy(body) == policy


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD.replace(b"STSv1", b"STSv2"), id="another version"),
        pytest.param(GOOD.replace(b"version: STSv1\n", b""), id="no version"),
        pytest.param(GOOD.replace(b"enforce", b"Enforce"), id="no such mode"),
        pytest.param(GOOD.replace(b"mode: enforce\n", b""), id="no mode"),
        pytest.param(GOOD.replace(b"mx: mx.d.test\n", b""), id="no host"),
        pytest.param(GOOD.replace(b"max_age: 86400\n", b""), id="no age"),
        pytest.param(GOOD.replace(b"86400", b"-1"), id="negative age"),
        pytest.param(GOOD.replace(b"86400", b"1e5"), id="odd age"),
        pytest.param(GOOD.replace(b"86400", b"99999999999"), id="age too long"),
        pytest.param(GOOD.replace(b"mx.d.test", b"*.*.test"), id="two stars"),
        pytest.param(GOOD.replace(b"mx.d.test", b"m*.test"), id="half a star"),
        pytest.param(GOOD.replace(b"mx.d.test", b"mx d.test"), id="no host name"),
        pytest.param(GOOD.replace(b"mx.d.test", b""), id="empty host"),
        pytest.param(GOOD + b"<html>", id="not a field"),
        pytest.param(GOOD + b"\xff: x", id="not UTF-8"),
        pytest.param(GOOD + b"x: " + b"a" * MAX_POLICY_BYTES, id="too long"),
        pytest.param(GOOD + b"mx: a.test\n" * 1000, id="too many hosts"),
    ],
)
def test_what_is_no_policy_is_refused(body):
    """Half a policy might leave out the host that the mail goes to."""
    with pytest.raises(ValueError, match="policy"):
        parse_policy(body)


@pytest.mark.parametrize(
    ("host", "matches"),
    [
        ("mx.d.test", True),
        ("a.e.test", True),
        ("a.b.e.test", False),
        ("e.test", False),
        (".e.test", True),  # no such host is ever looked up
        ("mx.d.test.evil.test", False),
        ("xmx.d.test", False),
    ],
)
def test_a_wildcard_stands_for_one_label(host, matches):
    """§4.1."""
    policy = StsPolicy(Mode.ENFORCE, ("mx.d.test", "*.e.test"), MAX_AGE)

    assert policy.matches(host) is matches


def test_what_was_read_can_be_read_again():
    """Reports quote it."""
    policy = parse_policy(GOOD)

    assert parse_policy("\n".join(policy.lines()).encode()) == policy


@pytest.mark.parametrize(
    ("max_age", "after"),
    [
        (timedelta(days=30), timedelta(days=1)),
        (timedelta(hours=2), timedelta(hours=1)),
    ],
    ids=["long", "short"],
)
def test_a_policy_is_asked_for_long_before_it_ends(max_age, after):
    """§10.2: who is in the way for a while gains nothing."""
    now = datetime(2026, 3, 10, tzinfo=UTC)
    policy = StsPolicy(Mode.ENFORCE, ("a.test",), max_age, fetched_at=now)

    assert refresh_at(policy) == now + after


def test_policies_that_say_the_same_are_equal():
    """Sessions opened under one are good for the other."""
    now = datetime(2026, 3, 10, tzinfo=UTC)
    one, other = (
        StsPolicy(Mode.ENFORCE, ("a.test",), MAX_AGE, id=i, until=now, fetched_at=now)
        for i in "12"
    )

    assert one == other
    assert hash(one) == hash(other)
