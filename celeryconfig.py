"""Celery's settings: derived from zones.yaml and ``MTA_*``, then yours to change.

Read by every Celery process started in this folder. What each setting is for
stands in ``mta/worker/celery_settings.py``; override one by a line below, such
as ``broker_pool_limit = 50``.
"""

from mta.worker.celery import load_celery_settings

globals().update(load_celery_settings())
del load_celery_settings  # all that is left here is a setting
