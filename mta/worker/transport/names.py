"""What Celery's settings call our transport; importing it imports nothing else."""

# For ``broker_transport``; the broker's URL stays redis:// or rediss://.
TRANSPORT = "mta.worker.transport.channel:Transport"
SECURE_TRANSPORT = "mta.worker.transport.channel:SecureTransport"

# For a task's ``Strategy``.
STRATEGY = "mta.worker.transport.strategy:start"

# What comes of reading a message that others have put together as they liked.
MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
