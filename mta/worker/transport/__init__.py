"""How a Celery message gets through Redis: taken safely, in bulk, started at once."""
