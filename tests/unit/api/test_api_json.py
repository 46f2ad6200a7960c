"""Strict JSON: what is refused, and how quickly."""

import json
from contextlib import suppress

import pytest

from mta.api.body import Budget, parse_json
from mta.api.problems import Refused
from tests.support.pace import costs_at_most


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":1,"a":2}', id="a key twice"),
        pytest.param(b'{"a":{"b":1,"b":1}}', id="a key twice, inside"),
        pytest.param(b"[NaN]", id="NaN"),
        pytest.param(b"[-Infinity]", id="infinity"),
        pytest.param(b'["\\ud800"]', id="half a character"),
        pytest.param(b'["\xff"]', id="no UTF-8"),
        pytest.param(b'{"a":1', id="cut short"),
        pytest.param(b'{"a":1}x', id="more behind"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"1" * 1_000_000, id="a number of a million digits"),
        pytest.param(b"[" * 21 + b"]" * 21, id="deep"),
        pytest.param(b"[" * 100_000, id="very deep"),
        pytest.param(b'{"a":' * 100_000, id="very deep objects"),
        pytest.param(b"[" + b"1," * 600_000 + b"1]", id="many values"),
        pytest.param(
            b"{" + b",".join(b'"%d":1' % n for n in range(300_000)) + b"}",
            id="many keys",
        ),
        pytest.param(b'"' + b'\\"' * 1_000_000, id="a string without end"),
        pytest.param(b'"\\', id="an escape without end"),
    ],
)
def test_what_is_no_strict_json_is_refused_at_once(raw):
    """Linear, whatever a client thinks of."""

    def parse():
        with pytest.raises(Refused) as refused:
            parse_json(raw)
        assert refused.value.status == 400

    assert costs_at_most(100, parse)


def test_refusal_speaks_of_the_request_alone():
    """Not of the language we are written in."""
    with pytest.raises(Refused) as refused:
        parse_json(b'{"date":' + b"1" * 5_000 + b"}")

    assert refused.value.text == "The body is not JSON: a number is too long"


def test_byte_order_mark_is_ignored():
    """RFC 8259 §8.1: writers must not add it, and some do."""
    assert parse_json(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, "x", None, True], "b": {}},
        {"brackets in a string": "[{" * 100 + '"' + "," * 1_000_000},
        {"emoji": "\U0001f600"},
    ],
)
def test_strict_json_is_read(value):
    """What other parsers read, we read alike."""
    assert parse_json(json.dumps(value).encode()) == value


def test_large_text_is_no_large_structure():
    """An attachment of many megabytes is one value."""
    raw = json.dumps({"content": "QUJD" * (4 << 20)}).encode()

    assert len(parse_json(raw)["content"]) == 16 << 20


def test_body_over_the_limit_is_refused_before_it_is_read(client):
    """The announced length is enough."""
    answer = client.post(
        "/send",
        data=b"{}",
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": str(65 << 20)},
    )

    assert answer.status_code == 413


def test_large_bodies_at_once_share_a_budget():
    """Memory is bounded over all requests, not only for each."""
    budget = Budget(100)

    with budget.share() as one, budget.share() as other:
        one.take(80)
        other.take(20)
        with pytest.raises(Refused) as refused:
            other.take(1)

    assert refused.value.status == 503


def test_budget_is_given_back_however_a_request_ends():
    """A refused request holds nothing."""
    budget = Budget(100)

    with suppress(RuntimeError), budget.share() as share:
        share.take(100)
        raise RuntimeError

    assert budget.take(100)
