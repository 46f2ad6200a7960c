"""The Celery application: ``celery -A mta.worker worker -Q ZONE -P gevent -c N``.

Settings come from ``celeryconfig.py`` if the current folder has one, else from
the same function that file calls.
"""

import os
from importlib.util import find_spec
from typing import Any

from celery import Celery

from mta.config.load import load_config
from mta.config.settings import load_settings
from mta.worker.celery_settings import celery_settings


def load_celery_settings() -> dict[str, Any]:
    """Celery's settings from zones.yaml and the environment of this process."""
    settings = load_settings(os.environ)
    return celery_settings(settings, load_config(settings.config_path, os.environ))


app = Celery("mta")
if find_spec("celeryconfig") is not None:
    app.config_from_object("celeryconfig")
else:
    app.add_defaults(load_celery_settings)
