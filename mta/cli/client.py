"""A client of our HTTP API, for commands that need a running system."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mta.config.settings import Settings
from mta.config.zones import Config
from mta.embedded.ports import format_endpoint
from mta.embedded.state import read_ready
from mta.errors import MtaError

TIMEOUT_S = 30.0
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class ApiFailed(MtaError):
    """The API did not answer, or did not do it; the text says why."""


def find_api(option: str | None, settings: Settings, config: Config) -> str:
    """The API's URL: as given, else what runs on the state folder, else configured."""
    if option:
        return option
    running = read_ready(settings.state_dir).get("api")
    if isinstance(running, str):
        return running
    return f"http://{format_endpoint(config.api.host, config.api.port)}"


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Talks JSON with the API at ``url``."""

    url: str
    key: str | None = None

    def get(self, path: str) -> dict[str, Any]:
        """Fetch a document.

        Raises:
            ApiFailed: No answer, or not 2xx.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, document: object) -> dict[str, Any]:
        """Send a document, and give the one that comes back.

        Raises:
            ApiFailed: No answer, or not 2xx.
        """
        return self._ask("POST", path, json.dumps(document).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        try:
            connection = self._connect()
        except (ValueError, http.client.InvalidURL) as error:
            raise ApiFailed(f"{self.url}: {error}") from error
        try:
            connection.request(method, urlsplit(self.url).path + path, body, headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise ApiFailed(
                f"no answer from the API at {self.url} ({why}). Is `mta up` running? "
                "--api names another place"
            ) from error
        finally:
            connection.close()
        return _read(status, text)

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("not a URL such as http://127.0.0.1:12080")
        if parts.scheme == "https":
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=TIMEOUT_S
            )
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)


def _read(status: int, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ApiFailed(f"the API answered {status} with something that is no JSON")
    if status // 100 != 2:
        reasons = (document.get(key) for key in ("error", "message", "detail"))
        reason = next(filter(None, reasons), "no reason given")
        field = f" ({document['field']})" if document.get("field") else ""
        raise ApiFailed(f"the API answered {status}: {reason}{field}")
    return document
