"""An outbound mail system: MSA and relay, on Celery and MongoDB."""

__version__ = "0.1.0"
