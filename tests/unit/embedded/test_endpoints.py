from mta.embedded.child import Process
from mta.embedded.endpoints import Endpoints

ENDPOINTS = Endpoints(
    smtp={"feeder": "127.0.0.1:2525"},
    api="http://127.0.0.1:12080",
    flower="http://127.0.0.1:5555",
    mongo="mongodb://127.0.0.1:1/mta",
    redis="redis://127.0.0.1:2/0",
)


def test_the_ready_line_names_every_door():
    """One line, starting with ``ready``, with what a user needs."""
    assert ENDPOINTS.line() == (
        "ready: SMTP 127.0.0.1:2525 (feeder), API http://127.0.0.1:12080, "
        "dashboard http://127.0.0.1:12080/, Flower http://127.0.0.1:5555"
    )


def test_the_ready_file_has_its_promised_keys():
    """Tools rely on these names."""
    assert ENDPOINTS.document([Process("worker@default", 123)]) == {
        "smtp": {"feeder": "127.0.0.1:2525"},
        "api": "http://127.0.0.1:12080",
        "dashboard": "http://127.0.0.1:12080/",
        "flower": "http://127.0.0.1:5555",
        "mongo": "mongodb://127.0.0.1:1/mta",
        "redis": "redis://127.0.0.1:2/0",
        "sandbox": None,
        "metrics": ["http://127.0.0.1:12080/metrics"],
        "processes": [{"name": "worker@default", "pid": 123}],
    }
