"""Delivery: the Celery application, its tasks, and the scheduler that rings."""
