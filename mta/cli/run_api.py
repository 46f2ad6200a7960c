"""The process of ``mta api``: the HTTP door and the dashboard."""

# ruff: noqa: E402 - patching comes before every other import
from gevent import monkey

monkey.patch_all()

import argparse
from datetime import timedelta

from mta.api.serve import serve
from mta.cli import process
from mta.cli.reloading import Reloading
from mta.embedded.doors import DOOR_GRACE_S
from mta.embedded.failure import StartFailed
from mta.wiring import build_api, build_pressure, count_live_in

# Less than the supervisor's patience, so that we cut clients off, and not it us.
GRACE = timedelta(seconds=DOOR_GRACE_S - 3)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m mta.cli.run_api")
    parser.add_argument("--port", type=int, help="instead of the configured one")
    port = parser.parse_args().port
    settings, config = process.load()
    settings = process.start_logging(settings, "api")
    reloading = Reloading(settings, config, held_in=count_live_in(settings))
    pressure = build_pressure(settings, reloading.config)
    pressure.start()
    app = build_api(settings, reloading.config, pressure)
    reloading.listen()
    port = config.api.port if port is None else port
    try:
        serve(app, config.api.host, port, grace=GRACE, ready=_say_ready)
    except OSError as error:
        raise StartFailed(f"cannot serve the API: {error}") from error


def _say_ready(_host: str, _port: int) -> None:
    process.say_ready()


if __name__ == "__main__":
    process.run(main)
