"""What an explanation stands on, as it is told to be."""

from dataclasses import dataclass, field
from datetime import timedelta

from mta.config.live import Live
from mta.config.load import parse_config
from mta.delivery import Delivery, DeliveryState
from mta.intake.route import Routing
from mta.mail.envelope import Envelope
from mta.operate.explain import Explain, Letter
from mta.policy.routing import Router
from mta.relay.rations import Rations
from mta.relay.security import Security
from mta.relay.sources import Sources
from mta.store.documents import Body, StoredMessage
from mta.store.limits_look import InUse
from tests.unit.relay.fakes import NOW, Book, FakeTargets, HeldBack, Until

FIRST, SECOND = "192.0.2.10", "192.0.2.11"
MORE_AFTER = timedelta(hours=11, minutes=30)
TEXT = """
interfaces:
  feeder: {allow_routing_headers: true}
  inside: {port: 2526}
zones:
  default: {connections: 20, pool: p, throttling: 500/s}
  news: {connections: 10, pool: p, pool_hash: from, sender_domains: [news.test]}
  far: {host: relay.test, recipient_domains: [far.test]}
  old: {disabled: true}
pools:
  p: [192.0.2.10, 192.0.2.11]
domains:
  default: {max_connections: 8}
providers:
  big: {mx: ["*.big.test"], max_connections: 9}
"""


class FakeMessages:
    def __init__(self):
        self.stored = {}

    def find(self, message_id):
        return self.stored.get(message_id)


class FakeCensus:
    def __init__(self):
        self.rows = []

    def find(self, delivery_id):
        return next((row for row in self.rows if row.id == delivery_id), None)

    def of_message(self, message_id, *, limit):
        return [row for row in self.rows if row.message_id == message_id][:limit]


class FullBook(Book):
    """Says of some addresses that their ration is used up; counts nothing."""

    def __init__(self, *used_up):
        super().__init__()
        self.used_up = used_up

    def reserve(self, address, site, ration, now):
        return Until(now + MORE_AFTER) if address in self.used_up else None


@dataclass
class FakeLook:
    """How much is in use, by key; of all else nothing is."""

    open: dict[str, int] = field(default_factory=dict)
    waits: dict[str, timedelta] = field(default_factory=dict)
    trouble: object = None
    is_away: bool = False
    asked: list[str] = field(default_factory=list)

    def in_use(self, demand, trouble=""):
        self.asked.append(trouble)
        if self.is_away:
            return None
        return InUse(
            open={slot.key: self.open.get(slot.key, 0) for slot in demand.slots},
            waits={p.key: self.waits.get(p.key, timedelta(0)) for p in demand.paces},
            trouble=self.trouble,
        )


@dataclass
class Rig:
    """An explanation, and what it stands on."""

    text: str = TEXT
    targets: FakeTargets = field(default_factory=lambda: FakeTargets("192.0.2.1"))
    measures: tuple = ()
    book: Book = field(default_factory=Book)
    look: FakeLook = field(default_factory=FakeLook)
    messages: FakeMessages = field(default_factory=FakeMessages)
    census: FakeCensus = field(default_factory=FakeCensus)

    @property
    def config(self):
        return parse_config("zones.yaml", self.text.encode(), {})

    @property
    def explain(self):
        config = self.config
        return Explain(
            routing=Live(Routing(config, Router(config))),
            messages=self.messages,
            census=self.census,
            open_sources=lambda: Sources(
                targets=self.targets,
                held_back=HeldBack(self.measures),
                rations=Rations(self.book, lambda: NOW),
                now=lambda: NOW,
            ),
            security=Security(targets=self.targets),
            limits=self.look,
            now=lambda: NOW,
        )

    def store(self, *rows, **envelope):
        """Have a message with these deliveries."""
        letter = a_letter(recipients=(), **envelope)
        self.messages.stored["m"] = StoredMessage(
            id="m",
            envelope=letter.envelope,
            header=letter.header,
            body=Body(file_id="f", size=4, hash="", md5="", is_8bit=False),
            message_id="<1@a.test>",
            subject="",
            created_at=NOW,
            due_at=NOW,
            give_up_at=NOW + timedelta(days=1),
            recipient_count=len(rows),
            tenant=letter.tenant,
        )
        self.census.rows += rows

    def one(self, *rows, **envelope):
        """Explain the only delivery of a message that is stored."""
        self.store(*(rows or (a_row(),)), **envelope)
        [found] = self.explain.message("m", limit=100)
        return found

    def supposed(self, **envelope):
        """Explain the only recipient's copy of a message that is supposed."""
        [found] = self.explain.supposed(a_letter(**envelope))
        return found


def a_letter(*, header="Subject: hi\r\n", tenant="shop", **changes):
    facts = {
        "reverse_path": "ada@a.test",
        "recipients": ("bob@b.test",),
        "interface": "feeder",
        "protocol": "ESMTP",
        "received_at": NOW,
        "session_id": "s",
    }
    envelope = Envelope(**{**facts, **changes})
    return Letter(envelope=envelope, header=header.encode(), tenant=tenant)


def a_row(number=1, **changes):
    facts = {
        "id": f"m.{number:03x}",
        "message_id": "m",
        "zone": "default",
        "recipient": "bob@b.test",
        "domain": "b.test",
        "state": DeliveryState.QUEUED,
        "created_at": NOW,
        "due_at": NOW,
        "give_up_at": NOW + timedelta(days=1),
    }
    return Delivery(**{**facts, **changes})
