"""Who is rung for at acceptance, and when the scheduler takes the others."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.intake.expand import Expander
from mta.mail.envelope import Envelope
from mta.policy.fairness import direct_water
from mta.store.deliveries import ETA_LEAD, RING_GRACE
from mta.store.documents import Body, Recipient, StoredMessage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONNECTIONS = 10
DIRECT = direct_water(CONNECTIONS)
HOUR = timedelta(hours=1)


class Store:
    """The rows and messages, and what was written."""

    def __init__(self):
        self.rows = []
        self.expanded = []

    def insert(self, rows):
        self.rows += rows

    def mark_expanded(self, message_id):
        self.expanded.append(message_id)


class Bell:
    def __init__(self, *, normal=0, transactional=0, **rooms):
        self.waiting = {False: normal, True: transactional}
        self.rooms = rooms
        self.rung = []

    def room(self, zone, *, most, is_transactional):
        return self.rooms.get(zone, most - self.waiting[is_transactional])

    def ring(self, zone, deliveries, *, rung_at):
        self.rung += deliveries
        return len(deliveries)


def a_message(**changes):
    facts = {
        "id": "m",
        "envelope": Envelope(
            reverse_path="ada@a.test",
            recipients=(),
            interface="feeder",
            protocol="ESMTP",
            received_at=NOW,
            session_id="s",
        ),
        "header": b"Subject: hi\r\n",
        "body": Body(file_id="f", size=4, hash="h", md5="m", is_8bit=False),
        "message_id": "<1@a.test>",
        "subject": "hi",
        "created_at": NOW,
        "due_at": NOW,
        "give_up_at": NOW + 24 * HOUR,
        "recipient_count": 1,
    }
    return StoredMessage(**{**facts, **changes})


def to(count, zone="default"):
    return [Recipient(f"r{n}@b.test", "b.test", zone) for n in range(count)]


@pytest.fixture
def store():
    return Store()


def expand(store, bell, recipients, **message):
    expander = Expander(store, store, bell, lambda zone: CONNECTIONS)
    expander.expand(a_message(**message), recipients, NOW)
    return [row["ring_at"] for row in store.rows]


def test_mail_that_comes_singly_is_rung_at_once(store):
    """A zone without backlog delivers without waiting for a tick."""
    bell = Bell()

    ring_at = expand(store, bell, to(1))

    assert [row.id for row in bell.rung] == ["m.001"]
    assert ring_at == [NOW + RING_GRACE]


def test_of_a_long_list_only_the_first_are_rung_at_once(store):
    """The rest is the scheduler's: other tenants' mail comes between."""
    bell = Bell()

    ring_at = expand(store, bell, to(DIRECT + 3), is_transactional=True)

    assert len(bell.rung) == DIRECT
    assert ring_at[-3:] == [NOW] * 3
    assert store.rows[-1]["rung_at"] is None


def test_no_more_are_rung_than_there_is_room_for(store):
    """Zone by zone: each has a list of its own."""
    bell = Bell(default=1)

    ring_at = expand(store, bell, to(2) + to(1, "news"))

    assert [row.zone for row in bell.rung] == ["default", "news"]
    assert ring_at == [NOW + RING_GRACE, NOW, NOW + RING_GRACE]


def test_mail_for_later_is_not_rung_at_acceptance(store):
    """It comes to the scheduler shortly before it is due."""
    bell = Bell()

    ring_at = expand(store, bell, to(2), due_at=NOW + HOUR)

    assert bell.rung == []
    assert ring_at == [NOW + HOUR - ETA_LEAD] * 2
    assert [row["due_at"] for row in store.rows] == [NOW + HOUR] * 2


def test_the_first_doorbell_knows_its_lane(store):
    """Transactional mail goes before other mail in the broker, too."""
    bell = Bell()

    expand(store, bell, to(1), tenant="shop", is_transactional=True)

    (rung,) = bell.rung
    assert (rung.lane, rung.is_transactional) == ("0:shop", True)
    assert store.rows[0]["lane"] == "0:shop"


def test_the_rows_come_before_the_note_that_they_exist(store):
    """A crash between the two only writes them again."""
    store.mark_expanded = lambda message_id: store.expanded.append(len(store.rows))

    expand(store, Bell(), to(2_500))

    assert store.expanded == [2_500]


def test_transactional_mail_is_rung_behind_a_backlog(store):
    """It overtakes what waits in the broker, so that is no reason to wait."""
    bell = Bell(normal=DIRECT)

    expand(store, bell, to(1))
    expand(store, bell, to(1), id="t", is_transactional=True)

    assert [row.id for row in bell.rung] == ["t.001"]


def test_much_transactional_mail_waits_for_its_turn_as_well(store):
    """Whose mail it all is, everybody's turns would be his."""
    bell = Bell(transactional=DIRECT)

    ring_at = expand(store, bell, to(1), is_transactional=True)

    assert (bell.rung, ring_at) == ([], [NOW])
