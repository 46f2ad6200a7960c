"""Computing beside the event loop."""

import threading

import gevent
import pytest

from mta.api.aside import aside
from mta.api.problems import Refused


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
