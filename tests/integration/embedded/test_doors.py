import os
import re
import signal
import smtplib
import subprocess
import sys
from pathlib import Path


def test_mta_smtp_greets_and_stops(tmp_path):
    """The doors open without any database, on one port, and close with status 0."""
    (tmp_path / "zones.yaml").write_text(
        "interfaces: {feeder: {port: 0, processes: 2}}\n"
        "zones: {default: {connections: 1}, bounces: {connections: 1}}\n"
    )
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MTA_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mta.cli.main", "smtp", "feeder"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        lines = iter(process.stderr)
        ready = next(line for line in lines if line.startswith("ready"))
        port = int(re.fullmatch(r"ready: SMTP .*:(\d+) \(feeder\)\n", ready)[1])
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            assert client.noop()[0] == 250

        process.send_signal(signal.SIGTERM)
        log = "".join(lines)

    assert process.returncode == 0
    assert "stopped process=smtp@feeder.1" in log
    assert "stopped process=smtp@feeder.2" in log
