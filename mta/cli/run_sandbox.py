"""The process of ``mta sandbox``: the MX that takes mail for anybody."""

# ruff: noqa: E402 - patching comes before every other import
from gevent import monkey

monkey.patch_all()

import argparse
from datetime import timedelta

from mta.cli import process
from mta.cli.listening import run_listener
from mta.config.settings import Settings
from mta.config.zones import Interface
from mta.embedded.sandbox import Script
from mta.smtpd.listener import Listener
from mta.smtpd.ports import Guards
from mta.wiring import build_inbox

GRACE = timedelta(seconds=5)
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 2526
MAX_SIZE = 1024 * 1024 * 1024
MAX_RECIPIENTS = 10_000


def main() -> None:
    """Take mail on loopback."""
    parser = argparse.ArgumentParser(prog="python -m mta.cli.run_sandbox")
    parser.add_argument("--port", type=int, help="instead of that of MTA_SANDBOX")
    port = parser.parse_args().port
    settings, _ = process.load()
    settings = process.start_logging(settings, "sandbox")
    interface = sandbox_interface(settings)
    inbox = build_inbox(settings)
    run_listener(
        lambda: Listener(
            interface,
            settings.hostname,
            inbox,
            port=port,
            guards=Guards(screen=Script()),
        ),
        grace=GRACE,
    )


def sandbox_interface(settings: Settings) -> Interface:
    """The sandbox's door: wide open, to this machine only."""
    host, port = settings.sandbox or (DEFAULT_HOST, DEFAULT_PORT)
    return Interface(
        name="sandbox",
        host=host,
        port=port,
        processes=1,
        max_size=MAX_SIZE,
        max_recipients=MAX_RECIPIENTS,
    )


if __name__ == "__main__":
    process.run(main)
