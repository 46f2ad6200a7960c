"""Hostile input for everything that reads what strangers send (``make fuzz``).

A target is a function of octets that raises only if a promise is broken. ``targets.py``
lists them, ``run.py`` searches, ``seeds/`` keeps what is worth starting from and what
was found; the test suite runs those again.
"""
