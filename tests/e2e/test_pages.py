"""The dashboard in a real browser: what strangers wrote is text, and only text."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.support.sink import Sink
from tests.support.stack import Stack

CONFIG = """
api: {port: 0}
flower: {enabled: false}
interfaces:
  feeder: {port: 0, processes: 1}
zones:
  default: {connections: 5}
  bounces: {connections: 1}
"""

# Whatever of this runs says so in the title.
SPEECH = "document.title='RAN'"
IMAGE = f'<img src=x onerror="{SPEECH}">'
SCRIPT = f"</title></pre></td><script>{SPEECH}</script>"
PAYLOAD = f'{IMAGE}{SCRIPT}"><svg onload="{SPEECH}">{{{{7*7}}}}'
RECIPIENT = '"<svg/onload=document.title=`RAN`>"@pages.test'

Browse = Callable[[str], str]


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Browse:
    """Loads a page, lets it do what it can, and returns the document it became."""
    browser = shutil.which("chromium")
    if browser is None:
        if os.environ.get("CI") in {"1", "true"}:
            pytest.fail("chromium is missing, and CI must have it")
        pytest.skip("needs chromium on PATH")
    profile = tmp_path_factory.mktemp("profile")
    return lambda url: _dump(browser, profile, url)


@pytest.fixture(scope="module")
def sandbox(
    browse: Browse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A sandbox that has received a message in which everything is an attack."""
    with Stack(tmp_path_factory.mktemp("sandbox"), CONFIG, "--sandbox") as running:
        answer = running.post("/send", a_hostile_mail(RECIPIENT))
        running.wait_until_finished(answer["id"])
        yield running


def test_browser_runs_the_payload_where_it_is_markup(
    browse: Browse, tmp_path: Path
) -> None:
    """Else the other tests would prove nothing."""
    page = tmp_path / "page.html"
    page.write_text(f"<title>{PAYLOAD}")

    assert "<title>RAN" in browse(page.as_uri())


def test_inbox_shows_the_message(browse: Browse, sandbox: Stack) -> None:
    """Its subject and its recipient, as they were written."""
    page = browse(f"{sandbox.ready['api']}/inbox")

    check_inert(page)
    assert RECIPIENT in unescape(page)


def test_received_message_is_read_as_text(browse: Browse, sandbox: Stack) -> None:
    """In the heading, the text and the header."""
    received = sandbox.get("/inbox.json?limit=1")[0]

    page = browse(f"{sandbox.ready['api']}/inbox/{received['id']}")

    check_inert(page)
    assert unescape(page).count(SCRIPT) >= 3


def test_timeline_quotes_the_mx(browse: Browse, stack: Stack, sink: Sink) -> None:
    """What a server replied is no more trusted than what a sender wrote."""
    sink.refuse = lambda _, __: f"550 5.7.1 {PAYLOAD}"
    answer = stack.post("/send", a_hostile_mail("bob@pages.test"))
    stack.wait_until_finished(answer["id"])

    page = browse(f"{stack.ready['api']}/messages/{answer['id']}")

    check_inert(page)
    assert f"550 5.7.1 {PAYLOAD}" in unescape(page)


def a_hostile_mail(recipient: str) -> dict[str, object]:
    """A message of which every part that a page may show is an attack."""
    return {
        "from": {"name": PAYLOAD, "address": "eve@pages.test"},
        "to": {"name": PAYLOAD, "address": recipient},
        "subject": PAYLOAD,
        "text": PAYLOAD,
        "html": PAYLOAD,
        "headers": {"X-Note": PAYLOAD},
    }


def check_inert(page: str) -> None:
    """Nothing ran and nothing became an element, yet all of it can be read."""
    assert "<title>RAN" not in page
    assert "<script" not in page
    assert "<img" not in page
    assert "<svg" not in page
    # Lists cut long subjects, so not the whole of it.
    assert IMAGE in unescape(page)


def _dump(browser: str, profile: Path, url: str) -> str:
    command = [
        browser,
        "--headless",
        "--no-sandbox",  # containers run their tests as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=2000",  # for handlers to run in
        "--dump-dom",
        url,
    ]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode()
