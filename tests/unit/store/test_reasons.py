"""Reasons as the few words that a row has room for, and back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery import DeliveryState, Outcome
from mta.policy.limits import limit_key
from mta.reasons import NO_REASONS, Limit, PassedOver, Reasons, TlsFacts
from mta.reply import make_reply
from mta.store.documents import outcome_document, to_outcome
from mta.store.reasons import reasons_document, to_reasons

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Reasons(
    provider="google",
    site="mx1.big.test+mx2.big.test",
    pool_address="192.0.2.1",
    is_last_resort=True,
    passed_over=(PassedOver("its ration is used up", ("192.0.2.2", "2001:db8::3")),),
    limits=(Limit("domain:bulk:a.test", 5, "600/m"), Limit("zone:bulk", 20)),
    tls=TlsFacts("dane", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "dane"),
)


def an_outcome(reasons: Reasons) -> Outcome:
    reply = make_reply(250, "2.0.0", "taken")
    return Outcome(at=NOW, state=DeliveryState.DELIVERED, reply=reply, reasons=reasons)


@pytest.mark.parametrize(
    "reasons",
    [
        pytest.param(ALL, id="all there is"),
        pytest.param(NO_REASONS, id="nothing"),
        pytest.param(Reasons(limits=(Limit("zone:z", None, "1/h"),)), id="a rate"),
        pytest.param(Reasons(limits=(Limit("zone:z", 0),)), id="no connections"),
        pytest.param(Reasons(tls=TlsFacts("zones.z.tls")), id="no TLS yet"),
        pytest.param(
            Reasons(passed_over=(PassedOver("rests: 550 a|b | c", ("192.0.2.1",)),)),
            id="a bar in the cause",
        ),
        pytest.param(
            Reasons(passed_over=(PassedOver("rests: 😀\n", ("::1",)),)),
            id="odd text in the cause",
        ),
        pytest.param(
            Reasons(limits=(Limit("domain:my zone:a b|c.test", 1, "1/s"),)),
            id="blanks in the key",
        ),
        pytest.param(
            Reasons(limits=(Limit(limit_key("domain", "z", "b\n.test"), 5),)),
            id="a key with a digest",
        ),
    ],
)
def test_reasons_come_back_as_they_were_kept(reasons):
    """An explanation that has changed on its way is none."""
    assert to_reasons(reasons_document(reasons)) == reasons


@given(
    cause=st.text(),
    limit=st.builds(
        Limit,
        st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1),
        st.none() | st.integers(1, 10_000),
        st.sampled_from(["", "600/m", "1/d"]),
    ),
)
def test_whatever_is_said_comes_back(cause, limit):
    """Causes are others' words, and keys are any printable ASCII."""
    passed = (PassedOver(cause, ("192.0.2.1", "2001:db8::1")),)
    reasons = Reasons(passed_over=passed, limits=(limit,))

    assert to_reasons(reasons_document(reasons)) == reasons


def test_what_says_nothing_takes_no_room():
    """A row has sixty outcomes."""
    assert reasons_document(Reasons(provider="google")) == {"provider": "google"}
    assert "why" not in outcome_document(an_outcome(NO_REASONS))


def test_an_outcome_keeps_its_reasons():
    """With all else that is known of the attempt."""
    outcome = an_outcome(ALL)

    assert to_outcome(outcome_document(outcome)) == outcome


def test_an_outcome_without_reasons_is_read_as_before():
    """Rows that were written before there were any."""
    document = outcome_document(an_outcome(ALL))
    del document["why"]

    assert to_outcome(document).reasons == NO_REASONS
