"""Whose a message is, how urgent it is, and when it may leave."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from mta.config.zones import Config, Interface, QueueConfig
from mta.errors import Rejected
from mta.intake.terms import settle_terms
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection
from mta.mail.submit import prepare_header

NOON = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

CONFIG = Config(
    queue=QueueConfig(max_queue_time=5 * DAY, future_date=True),
    interfaces={
        "feeder": Interface(name="feeder"),
        "trusted": Interface(name="trusted", allow_routing_headers=True),
        "shop": Interface(
            name="shop", allow_routing_headers=True, priority="transactional"
        ),
    },
)


def settle(header="", config=CONFIG, **facts):
    defaults = {
        "reverse_path": "ada@example.test",
        "recipients": ("bob@example.test",),
        "interface": "feeder",
        "protocol": "ESMTP",
        "received_at": NOON,
        "session_id": "s1",
    }
    envelope = Envelope(**(defaults | facts))
    section = HeaderSection.parse(header.encode())
    prepared = prepare_header(
        section, envelope=envelope, now=NOON, hostname="mta.example.test"
    )
    return settle_terms(config, envelope, prepared, created_at=NOON)


@pytest.mark.parametrize(
    ("facts", "tenant"),
    [
        pytest.param({}, "feeder", id="the interface's"),
        pytest.param({"user": "ada"}, "feeder/ada", id="its user's"),
        pytest.param({"user": "ada", "tenant": "acme"}, "acme", id="whose was said"),
        pytest.param({"user": "a" * 200}, "feeder/" + "a" * 93, id="cut to 100"),
    ],
)
def test_mail_that_nobody_claims_is_its_doors(facts, tenant):
    """So that one application's flood is not another's."""
    assert settle(**facts).tenant == tenant


@pytest.mark.parametrize(
    ("interface", "tenant"),
    [("api", "acme"), ("trusted", "acme"), ("feeder", "feeder")],
)
def test_a_header_field_names_the_tenant_where_clients_may_choose(interface, tenant):
    """From anybody else it is only removed."""
    assert settle("X-Tenant: acme\r\n", interface=interface).tenant == tenant


def test_the_doors_word_wins_over_the_header():
    """An application that hands on its customers' messages knows whose they are."""
    header = "X-Tenant: other\r\nX-Delivery-Priority: transactional\r\n"

    terms = settle(header, interface="api", tenant="acme", priority="normal")

    assert terms.tenant == "acme"
    assert not terms.is_transactional


@pytest.mark.parametrize(
    ("interface", "header", "is_transactional"),
    [
        pytest.param("feeder", "", False, id="by default"),
        pytest.param("shop", "", True, id="by the interface"),
        pytest.param("shop", "normal", False, id="chosen"),
        pytest.param("trusted", "Transactional", True, id="chosen, in any case"),
        pytest.param("feeder", "transactional", False, id="not for it to choose"),
        pytest.param("feeder", "urgent", False, id="not even read"),
    ],
)
def test_urgency_is_chosen_or_the_interfaces(interface, header, is_transactional):
    """X-Delivery-Priority counts where clients may choose."""
    field = f"X-Delivery-Priority: {header}\r\n" if header else ""

    assert settle(field, interface=interface).is_transactional is is_transactional


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("X-Delivery-Priority: urgent\r\n", "'urgent' is neither transactional nor"),
        ("X-Delivery-Priority:\r\n", "X-Delivery-Priority: '' is neither"),
        ("X-Tenant: " + "x" * 101 + "\r\n", "X-Tenant: is not a name of 1 to 100"),
        ("X-Tenant:\r\n", "X-Tenant: is not a name"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_by_name(header, expected):
    """Mail must not lose its way over a typing error."""
    with pytest.raises(Rejected) as refused:
        settle(header, interface="trusted")

    assert refused.value.reply.code == 554
    assert expected in str(refused.value.reply)
    assert refused.value.pointer == f"/headers/{header.partition(':')[0]}"


def test_a_message_is_due_at_once_and_lasts_as_long_as_the_queue_says():
    """Unless somebody says otherwise."""
    terms = settle()

    assert (terms.due_at, terms.give_up_at) == (NOON, NOON + 5 * DAY)


def test_time_in_the_queue_counts_from_the_first_possible_attempt():
    """What waits until Christmas still gets its five days of tries."""
    terms = settle(deliver_after=NOON + 90 * DAY)

    assert terms.due_at == NOON + 90 * DAY
    assert terms.give_up_at == NOON + 95 * DAY


def test_a_time_that_is_past_is_now():
    """A job that ran late is no mistake."""
    assert settle(deliver_after=NOON - HOUR).due_at == NOON


@pytest.mark.parametrize(
    ("expires_in", "gives_up_in"), [(HOUR, HOUR), (30 * DAY, 5 * DAY)]
)
def test_a_message_expires_but_never_later_than_the_queue_allows(
    expires_in, gives_up_in
):
    """The earlier of both ends it."""
    assert settle(expires_at=NOON + expires_in).give_up_at == NOON + gives_up_in


@pytest.mark.parametrize(
    "times",
    [
        {"expires_at": NOON},
        {"expires_at": NOON - HOUR},
        {"deliver_after": NOON + HOUR, "expires_at": NOON + HOUR},
    ],
)
def test_a_message_cannot_expire_before_it_may_leave(times):
    """No attempt would ever be made."""
    with pytest.raises(Rejected, match="expires_at: must be after") as refused:
        settle(**times)

    assert refused.value.pointer == "/expires_at"


def test_nobody_waits_for_longer_than_a_year():
    """It is a mail queue, not an archive."""
    settle(deliver_after=NOON + 365 * DAY)

    with pytest.raises(Rejected, match="deliver_after: must be at most 365d ahead"):
        settle(deliver_after=NOON + 366 * DAY)


def test_the_times_of_a_streamed_message_are_named_as_its_query_has_them():
    """There is no JSON to point into."""
    with pytest.raises(Rejected) as refused:
        settle(deliver_after=NOON + 366 * DAY, from_header=True)

    assert refused.value.pointer == "deliver_after"


def a_date(instant):
    return f"Date: {format_datetime(instant)}\r\n"


@pytest.mark.parametrize(
    ("ahead", "waits"),
    [
        pytest.param(-DAY, timedelta(0), id="past"),
        pytest.param(timedelta(minutes=5), timedelta(0), id="a clock that is off"),
        pytest.param(timedelta(minutes=6), timedelta(minutes=6), id="meant"),
        pytest.param(365 * DAY, 365 * DAY, id="a year"),
    ],
)
def test_a_date_that_is_ahead_defers_a_message(ahead, waits):
    """As ZoneMTA does it with futureDate, five minutes for wrong clocks included."""
    assert settle(a_date(NOON + ahead)).due_at == NOON + waits


def test_a_date_defers_nothing_unless_the_operator_wants_it():
    """A wrong clock would hold a site's mail back."""
    assert settle(a_date(NOON + DAY), config=Config()).due_at == NOON


def test_a_date_beyond_a_year_is_refused():
    """Neither deferred for ever nor sent at once."""
    with pytest.raises(Rejected, match="Date: must be at most 365d ahead"):
        settle(a_date(NOON + 366 * DAY))


def test_a_time_that_was_asked_for_wins_over_the_date():
    """The Date says what the recipient reads."""
    assert settle(a_date(NOON + DAY), deliver_after=NOON + HOUR).due_at == NOON + HOUR
