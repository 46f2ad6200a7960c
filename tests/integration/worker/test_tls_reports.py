"""Reports about TLS: counted in MongoDB, sent by mail through our intake, or by web."""

import email
import gzip
import json
from datetime import date, datetime, timedelta
from functools import partial
from ipaddress import ip_address

import pytest

from mta.config.live import Live
from mta.config.load import parse_config
from mta.errors import TransientFailure
from mta.intake.accept import Intake
from mta.intake.expand import Expander
from mta.intake.ids import MessageIds
from mta.intake.route import Routing
from mta.policy.routing import Router
from mta.policy.tls_report import Detail, Policy
from mta.policy.tls_results import TlsResult
from mta.relay.guard import make_context
from mta.relay.web import Web
from mta.reply import make_reply
from mta.store.census import Census
from mta.store.deliveries import Deliveries
from mta.store.messages import Messages
from mta.store.mongo import SPOOL_BUCKET
from mta.store.spool import Spool
from mta.store.tls_results import MAX_DETAILS, TlsResults
from mta.worker.tls_reports import RETRY_AFTER, TlsReports, due_at
from tests.support.outbound import authority, serve, trust
from tests.support.web import WebServer

__all__ = ["authority", "trust"]

DAY = date(2026, 3, 10)
POLICY = Policy("sts", "d.test", ("version: STSv1", "mode: enforce"), ("mx.d.test",))
OK = Detail(TlsResult.SUCCESS)
BAD = Detail(
    *(TlsResult.CERTIFICATE_EXPIRED, "192.0.2.1", "mx.d.test", "198.51.100.1"),
    "certificate has expired",
)
CONFIG = b"""
tls_report: {from: tls-reports@us.test, organization: Us Inc.}
"""


class Bell:
    def room(self, zone, *, most, is_transactional):
        return 100

    def ring(self, zone, deliveries, *, rung_at):
        return len(deliveries)


class World:
    """A day with results, and where the domain wants to hear of them."""

    def __init__(self, db, trust):
        self.db = db
        self.results = TlsResults(db)
        self.now = due_at(DAY, "d.test") + timedelta(seconds=1)
        self.texts = {"_smtp._tls.d.test": ("v=TLSRPTv1; rua=mailto:tls@d.test",)}
        self.config = Live(parse_config("zones.yaml", CONFIG, {}))
        self.port = 443
        self._make = partial(make_context, authorities=str(trust))
        self.results.add(DAY, {POLICY: {OK: 5, BAD: 2}})

    def find_texts(self, name):
        found = self.texts.get(name, ())
        if found is None:
            raise TransientFailure(make_reply(450, "4.4.3", "x"), category="dns")
        return found

    def reports(self):
        messages = Messages(self.db)
        routing = self.config.derive(lambda said: Routing(said, Router(said)))
        deliveries = Deliveries(self.db, lease=timedelta(seconds=60))
        intake = Intake(
            config=self.config,
            hostname="mta.test",
            ids=MessageIds(),
            routing=routing,
            spool=Spool(self.db, SPOOL_BUCKET),
            messages=messages,
            expander=Expander(deliveries, messages, Bell(), lambda zone: 10),
            now=lambda: self.now,
        )
        return TlsReports(
            config=self.config,
            hostname="mta.test",
            results=self.results,
            names=self,
            web=Web(
                find_addresses=lambda host: (ip_address("127.77.1.9"),),
                port=self.port,
                make_context=lambda: self._make("1.2", True),
                timeout=timedelta(seconds=5),
            ),
            intake=intake,
            now=lambda: self.now,
        )

    def sent(self):
        """Recipients and messages that were handed over."""
        found = []
        for document in self.db.messages.find():
            body = b"".join(
                chunk["data"]
                for chunk in self.db["mail.chunks"]
                .find({"files_id": document["body"]["file_id"]})
                .sort("n", 1)
            )
            header = bytes(document["header"])
            [row] = Census(self.db).of_message(document["_id"], limit=2)
            message = email.message_from_bytes(header + b"\r\n" + body)
            found.append((row.recipient, message))
        return found

    @property
    def is_done(self):
        return self.db.tls_results.count_documents({}) == 0


@pytest.fixture
def world(db, trust):
    return World(db, trust)


@pytest.fixture
def web(world, authority):
    certificate = authority.issue_cert("reports.d.test")
    with WebServer("127.77.1.9", serve(certificate)) as server:
        world.port = server.port
        yield server


def test_a_report_goes_out_by_mail(world):
    """As RFC 8460 §5.3 has it; then nothing is left of the day."""
    assert world.reports().send_due() == 1
    [(recipient, message)] = world.sent()

    assert recipient == "tls@d.test"
    assert message["From"] == "<tls-reports@us.test>"
    assert message["TLS-Report-Domain"] == "d.test"
    assert message["TLS-Report-Submitter"] == "us.test"
    assert message["TLS-Required"] == "No"
    assert message["Message-ID"] == "<20260310.d.test@mta.test>"
    assert " ".join(message["Subject"].split()) == (
        "Report Domain: d.test Submitter: us.test Report-ID: <20260310.d.test@mta.test>"
    )
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "tlsrpt"
    text, file = message.get_payload()
    assert text.get_content_type() == "text/plain"
    assert file.get_content_type() == "application/tlsrpt+gzip"
    assert file.get_filename() == "us.test!d.test!1773100800!1773187199.json.gz"
    report = json.loads(gzip.decompress(file.get_payload(decode=True)))
    assert report["organization-name"] == "Us Inc."
    assert report["contact-info"] == "tls-reports@us.test"
    [policy] = report["policies"]
    assert policy["summary"] == {
        "total-successful-session-count": 5,
        "total-failure-session-count": 2,
    }
    assert [d["failed-session-count"] for d in policy["failure-details"]] == [2]
    assert world.is_done


def test_a_report_goes_out_by_web(world, web):
    """§5.4: a POST of the same file."""
    url = f"https://reports.d.test:{web.port}/tls?x=1"
    world.texts["_smtp._tls.d.test"] = (f"v=TLSRPTv1; rua={url}",)
    world.reports().send_due()

    assert web.asked == ["POST /tls?x=1"]
    report = json.loads(gzip.decompress(web.bodies[0]))
    assert report["report-id"] == "20260310.d.test@mta.test"
    assert world.is_done


def test_who_has_a_report_does_not_get_it_again(world, web):
    """When another place could not be reached, and is tried later."""
    url = f"https://reports.d.test:{web.port}/"
    world.texts["_smtp._tls.d.test"] = (f"v=TLSRPTv1; rua={url},mailto:a@d.test",)
    web.status = 503
    world.reports().send_due()

    assert len(world.sent()) == 1
    assert not world.is_done

    assert world.reports().send_due() == 0  # another leader, at once

    world.now += RETRY_AFTER
    web.status = 200
    assert world.reports().send_due() == 1

    assert len(world.sent()) == 1
    assert len(web.asked) == 2
    assert world.is_done


def test_a_report_has_its_time(world):
    """Some time of the night after; that day's own results are not told yet."""
    world.now = due_at(DAY, "d.test") - timedelta(seconds=1)

    assert world.reports().send_due() == 0
    assert (
        timedelta(0)
        < due_at(DAY, "d.test") - datetime(*(2026, 3, 11), tzinfo=world.now.tzinfo)
        < timedelta(hours=4, minutes=15)
    )


@pytest.mark.parametrize("texts", [(), ("v=TLSRPTv1; rua=ftp://d.test/",)])
def test_who_wants_no_report_is_forgotten(world, texts):
    """It was said otherwise when its results were counted."""
    world.texts["_smtp._tls.d.test"] = texts
    world.reports().send_due()

    assert world.sent() == []
    assert world.is_done


def test_what_dns_could_not_tell_is_asked_again(world):
    """An hour later, and for some days."""
    world.texts["_smtp._tls.d.test"] = None
    world.reports().send_due()

    assert not world.is_done

    world.texts["_smtp._tls.d.test"] = ("v=TLSRPTv1; rua=mailto:tls@d.test",)
    world.now += RETRY_AFTER
    world.reports().send_due()

    assert len(world.sent()) == 1


def test_without_a_sender_nothing_is_sent(world):
    """It is off unless somebody has said whose reports they are."""
    world.config.replace(parse_config("zones.yaml", b"{}", {}))

    assert world.reports().send_due() == 0
    assert not world.is_done


def test_a_leader_that_dies_leaves_the_rest_to_the_next(world):
    """A report is sent and noted one by one."""
    for n in range(3):
        world.results.add(DAY, {POLICY._replace(domain=f"d{n}.test"): {OK: 1}})
        record = ("v=TLSRPTv1; rua=mailto:x@d.test",)
        world.texts[f"_smtp._tls.d{n}.test"] = record
    world.now += timedelta(hours=5)
    turns = iter([False, False, True])

    assert world.reports().send_due(lambda: next(turns)) == 2
    assert world.reports().send_due() == 2
    assert len(world.sent()) == 4


def test_counts_of_all_processes_are_one(world):
    """Each adds what it has seen."""
    for _ in range(3):
        TlsResults(world.db).add(DAY, {POLICY: {OK: 1, BAD: 1}})
    [tally] = world.results.tallies(DAY, "d.test")

    assert (tally.policy, tally.successes, tally.failures) == (POLICY, 8, 5)
    assert tally.details == {BAD: 5}


def test_details_are_bounded(world):
    """The rest is counted, and not told one by one."""
    many = {BAD._replace(address=f"198.51.100.{n}"): 1 for n in range(200)}
    world.results.add(DAY, {POLICY: many})
    [tally] = world.results.tallies(DAY, "d.test")

    assert tally.failures == 202
    assert len(tally.details) == MAX_DETAILS


def test_what_is_never_sent_is_not_kept_for_ever(world):
    """MongoDB removes it after some days."""
    found = world.db.tls_results.find_one()

    assert found["expires_at"].date() == date(2026, 3, 16)
