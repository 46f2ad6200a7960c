"""Computing beside the event loop."""

import threading

import gevent
import pytest

from mta.api.aside import aside
from mta.api.problems import Refused
from tests.unit.api.conftest import NOW


def test_others_run_meanwhile():
    """Else one client with a large request would be an outage for all."""
    somebody_ran = threading.Event()
    gevent.spawn(somebody_ran.set)

    assert aside(lambda: somebody_ran.wait(10))


def test_refusals_come_through(capfd):
    """As they are, and without a traceback on stderr."""

    def refuse():
        raise Refused(400, "no")

    with pytest.raises(Refused):
        aside(refuse)

    assert capfd.readouterr().err == ""


def test_a_large_mail_asks_nobody_from_the_other_thread(make_app, a_mail):
    """The clock may go to the database, whose connections belong to the loop."""
    asked_in = []

    def now():
        asked_in.append(threading.get_ident())
        return NOW

    client = make_app(now=now).test_client()

    answer = client.post("/send", json={**a_mail, "text": "x" * 200_000})

    assert answer.status_code == 200
    assert set(asked_in) == {threading.get_ident()}
