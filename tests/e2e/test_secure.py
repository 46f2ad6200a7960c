"""TLS that a domain demands, through the whole system: gevent, Celery, MongoDB."""

import time

import pytest
import trustme
from pymongo import MongoClient

from tests.conftest import held_port
from tests.peers.tools import need_root
from tests.support.dns import DnsServer
from tests.support.outbound import serve
from tests.support.stack import Stack
from tests.support.tls_mx import TlsMx
from tests.support.web import WebServer

POLICY = (
    b"version: STSv1\nmode: enforce\nmx: mx.good.test\nmx: mx.bad.test\n"
    b"max_age: 86400\n"
)
WEB = "127.77.2.9"
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
interfaces: {{feeder: {{port: 0, processes: 1}}}}
zones: {{default: {{connections: 10, port: {port}}}}}
tls_report: {{from: tls@us.test}}
"""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def hosts(authority):
    """good.test shows the right certificate, bad.test another."""
    good = serve(authority.issue_cert("mx.good.test"))
    bad = serve(trustme.CA().issue_cert("mx.bad.test"))
    with (
        held_port("127.77.2.1") as port,
        TlsMx("127.77.2.1", port, good) as first,
        TlsMx("127.77.2.2", port, bad) as second,
    ):
        yield first, second


@pytest.fixture(scope="module")
def stack(authority, hosts, tmp_path_factory):
    need_root()  # policies are at port 443
    trusted = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    certificate = authority.issue_cert("mta-sts.good.test", "mta-sts.bad.test")
    records = {}
    for number, domain in enumerate(["good.test", "bad.test"], 1):
        records |= {
            domain: [("MX", f"10 mx.{domain}.")],
            f"mx.{domain}": [("A", f"127.77.2.{number}")],
            f"mta-sts.{domain}": [("A", WEB)],
            f"_mta-sts.{domain}": [("TXT", '"v=STSv1; id=1;"')],
            f"_smtp._tls.{domain}": [("TXT", '"v=TLSRPTv1; rua=mailto:r@x.test"')],
        }
    with (
        DnsServer(records) as dns,
        WebServer(WEB, serve(certificate), 443) as web,
        pytest.MonkeyPatch.context() as patch,
    ):
        web.body = POLICY
        patch.setenv("SSL_CERT_FILE", str(trusted))
        config = CONFIG.format(dns=dns.address, port=hosts[0].port)
        with Stack(tmp_path_factory.mktemp("stack"), config) as running:
            yield running


def send(stack, domain):
    mail = {"from": "ada@a.test", "to": f"bob@{domain}", "subject": "x", "text": "x"}
    return stack.post("/send", mail)["id"]


def attempt_of(stack, message_id):
    """Its first attempt, once there is one."""
    deadline = time.monotonic() + 60
    while True:
        [delivery] = stack.deliveries(message_id)
        attempts = [entry for entry in delivery["timeline"] if entry["attempt"]]
        if attempts:
            return delivery, attempts[0]
        assert time.monotonic() < deadline, delivery
        time.sleep(0.1)


def test_who_keeps_to_the_policy_has_the_mail(stack, hosts):
    """The attempt says under which one, and how the host was known."""
    message_id = send(stack, "good.test")
    delivery, attempt = attempt_of(stack, message_id)

    assert delivery["state"] == "delivered"
    facts = attempt["reasons"]["tls"]
    assert (facts["policy"], facts["verified"]) == ("mta-sts", "sts")
    assert facts["version"] == attempt["tls"] == hosts[0].sessions[0].tls
    assert len(hosts[0].messages) == 1


def test_who_does_not_has_none(stack, hosts):
    """It waits, and the explanation says for what."""
    message_id = send(stack, "bad.test")
    delivery, attempt = attempt_of(stack, message_id)

    assert delivery["state"] == "deferred"
    assert attempt["status"] == "4.7.5"
    assert attempt["category"] == "policy"
    assert hosts[1].messages == []
    [found] = stack.get(f"/v1/messages/{message_id}/explain")["deliveries"]
    told = found["journey"]["tls"]
    assert told["mtaSts"]["mode"] == "enforce"
    assert told["hosts"][0]["policy"] == "mta-sts"


def test_what_came_of_it_is_counted(stack):
    """For the reports, and in the metrics."""
    deadline = time.monotonic() + 60
    with MongoClient(stack.ready["mongo"]) as client:
        results = client.get_default_database().tls_results
        while True:
            found = {r["domain"]: (r["ok"], r["failed"]) for r in results.find()}
            if len(found) == 2:
                break
            assert time.monotonic() < deadline, found
            time.sleep(0.5)

    assert found["good.test"] == (1, 0)
    assert found["bad.test"][0] == 0
    assert found["bad.test"][1] >= 1
