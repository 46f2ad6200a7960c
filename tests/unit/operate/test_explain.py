"""Which zone a copy takes, and whether it is under way at all."""

from datetime import timedelta

import pytest

from mta.delivery import DeliveryState
from mta.policy.routing import UnknownZone
from tests.unit.operate.fakes import NOW, a_letter, a_row

HOUR = timedelta(hours=1)
S = DeliveryState


def test_a_stored_message_keeps_its_zone_although_the_rules_have_changed(rig):
    """The rules of now are said beside it, as what would be."""
    found = rig.one(a_row(zone="news"), reverse_path="ada@else.test")

    assert found.journey.zone.name == "news"
    assert found.route.result.zone.name == "default"


def test_a_supposed_message_takes_its_zone_by_the_rules_in_force(rig):
    """There is no delivery of it, and so no time."""
    found = rig.supposed(reverse_path="ada@news.test")

    assert found.route.result.rule == "sender domain news.test"
    assert found.journey.zone.name == "news"
    assert (found.delivery, found.window) == (None, None)


def test_each_recipient_of_a_supposed_message_is_explained(rig):
    """In their order; their domains decide."""
    letter = a_letter(recipients=("bob@far.test", "eve@b.test"))

    found = rig.explain.supposed(letter)

    assert [(one.recipient, one.journey.zone.name) for one in found] == [
        ("bob@far.test", "far"),
        ("eve@b.test", "default"),
    ]


@pytest.mark.parametrize("zone", ["nope", "old"], ids=["unknown", "disabled"])
def test_a_zone_that_is_not_there_leads_nowhere(rig, zone):
    """Such a message would be refused."""
    found = rig.supposed(requested_zone=zone)

    assert found.route.result == UnknownZone(zone)
    assert found.journey is None


def test_what_the_submitter_may_not_choose_is_ignored(rig):
    """And said, because it is what people ask about."""
    found = rig.supposed(interface="inside", requested_zone="news")

    assert found.journey.zone.name == "default"
    assert [route.zone.name for route in found.route.ignored] == ["news"]


def test_an_author_of_the_stored_header_section_routes(rig):
    """As it did when the message came in."""
    rig.text = rig.text.replace("sender_domains", "from_domains")

    found = rig.one(header="From: Ada <ada@news.test>\r\n", reverse_path="")

    assert found.route.result.zone.name == "news"


@pytest.mark.parametrize("state", [S.DELIVERED, S.BOUNCED, S.EXPIRED, S.CANCELLED])
def test_a_finished_delivery_has_no_journey(rig, state):
    """It goes nowhere any more; why it had its zone is still told."""
    found = rig.one(a_row(state=state))

    assert (found.journey, found.window) == (None, None)
    assert found.route.result.zone.name == "default"


@pytest.mark.parametrize("zone", ["gone", "old"], ids=["removed", "disabled"])
def test_a_delivery_whose_zone_is_not_in_force_has_no_journey(rig, zone):
    """Nobody sends for that zone, whatever the rules would say."""
    assert rig.one(a_row(zone=zone)).journey is None


def test_a_delivery_under_way_has_a_journey_and_no_window(rig):
    """It is not tried next: it is tried now."""
    found = rig.one(a_row(state=S.SENDING))

    assert found.journey is not None
    assert found.window is None


def test_a_delivery_that_is_due_is_tried_at_once(rig):
    """Nothing holds it up."""
    found = rig.one(a_row(due_at=NOW - HOUR))

    assert found.window.earliest == NOW


def test_what_holds_it_up_moves_its_window(rig):
    """A wait whose end is known."""
    rig.look.waits = {"zone:default": timedelta(minutes=5)}

    found = rig.one()

    assert found.window.earliest == NOW + timedelta(minutes=5)


def test_a_slot_that_gets_free_at_no_known_time_leaves_the_window_open(rig):
    """All that is known is when it is given up."""
    rig.look.open = {"zone:default": 20}

    found = rig.one()

    assert (found.window.earliest, found.window.latest) == (NOW, None)


def test_an_unknown_message_is_none(rig):
    """It may have been forgotten since."""
    assert rig.explain.message("m", limit=10) is None


def test_one_delivery_of_many_is_asked_for_by_its_id(rig):
    """The hundredth recipient's, too."""
    rig.store(*(a_row(n, recipient=f"r{n}@b.test") for n in range(1, 4)))

    found = rig.explain.message("m", limit=1, only="m.003")

    assert [one.recipient for one in found] == ["r3@b.test"]
    assert rig.explain.message("m", limit=1, only="m.009") == []


def test_the_first_deliveries_of_a_message_are_explained(rig):
    """Each costs questions to DNS, MongoDB and Redis."""
    rig.store(*(a_row(n) for n in range(1, 4)))

    found = rig.explain.message("m", limit=2)

    assert [one.delivery.id for one in found] == ["m.001", "m.002"]
