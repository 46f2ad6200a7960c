"""Programs that prove what the system promises: ``python -m tests.proof.NAME``.

Each starts all it needs, prints one report, and exits 1 if a promise was broken.
"""
