"""A listener in its own, monkey-patched process; told what to do on stdin.

Prints the port, then ``done`` and the number of messages once it was stopped.
"""

# ruff: noqa: E402 - patching comes before every other import
from gevent import monkey

monkey.patch_all()

import json
import sys
from datetime import timedelta
from ipaddress import ip_network

import gevent

from mta.config.zones import Interface
from mta.smtpd.listener import Listener


class Submission:
    id = "m1"

    def __init__(self, intake):
        self._intake = intake

    def write(self, chunk):
        self._intake.octets += len(chunk)

    def commit(self):
        self._intake.committed += 1
        return self

    def abort(self):
        self._intake.aborted += 1


class Intake:
    octets = committed = aborted = 0

    def begin(self, envelope):
        return Submission(self)


def main():
    options = json.loads(sys.argv[1])
    grace = timedelta(seconds=options.pop("grace", 10))
    networks = tuple(map(ip_network, options.pop("allowed_networks", [])))
    interface = Interface(name="feeder", allowed_networks=networks, **options)
    intake = Intake()
    listener = Listener(interface, "mx.test", intake, port=0)
    listener.start()
    print(listener.address[1], flush=True)
    waiter = gevent.get_hub().threadpool.spawn(sys.stdin.read)
    waiter.get()
    listener.stop(grace)
    print("done", intake.committed, intake.aborted, intake.octets, flush=True)


if __name__ == "__main__":
    main()
