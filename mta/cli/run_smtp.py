"""One process of an SMTP interface; ``mta smtp`` starts as many as configured."""

# ruff: noqa: E402 - patching comes before every other import
from gevent import monkey

monkey.patch_all()

import argparse
from datetime import timedelta

from mta.cli import process
from mta.cli.certificates import check_certificates
from mta.cli.listening import run_listener
from mta.cli.reloading import Reloading
from mta.embedded.doors import DOOR_GRACE_S
from mta.observe.metrics import SessionCounter
from mta.smtpd.listener import Listener
from mta.smtpd.ports import Guards
from mta.wiring import build_intake, build_logins, build_pressure, count_live_in

# Less than the supervisor's patience, so that we cut clients off, and not it us.
GRACE = timedelta(seconds=DOOR_GRACE_S - 3)


def main() -> None:
    """Serve one interface."""
    parser = argparse.ArgumentParser(prog="python -m mta.cli.run_smtp")
    parser.add_argument("interface")
    parser.add_argument("--port", type=int, help="instead of the configured one")
    arguments = parser.parse_args()
    settings, config = process.load()
    settings = process.start_logging(settings, f"smtp@{arguments.interface}")
    interfaces = config.interfaces
    name = process.pick("interface", arguments.interface, interfaces, config.source)
    check_certificates(config)
    reloading = Reloading(
        settings, config, check=check_certificates, held_in=count_live_in(settings)
    )
    intake = build_intake(settings, reloading.config)
    pressure = build_pressure(settings, reloading.config)
    pressure.start()
    logins = build_logins(settings, reloading.config)
    guards = Guards(logins=logins, pressure=pressure.refusal)

    def listen() -> Listener:
        listener = Listener(
            interfaces[name],
            settings.hostname,
            intake,
            port=arguments.port,
            guards=guards,
            observer=SessionCounter(),
        )
        reloading.afterwards(lambda _, new: listener.adopt(new.interfaces[name]))
        reloading.listen()
        return listener

    run_listener(listen, grace=GRACE)


if __name__ == "__main__":
    process.run(main)
