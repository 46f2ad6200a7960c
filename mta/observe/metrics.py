"""Prometheus metrics: ZoneMTA's names for its dashboards, ``mta_*`` for the new.

No label carries a recipient domain or anything else that grows with the mail.
With ``PROMETHEUS_MULTIPROC_DIR`` set, as ``mta up`` does, the API's ``/metrics``
sums all processes of the machine; gauges are set by one process only.
"""

from collections.abc import Collection

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from mta.delivery import LIVE, DeliveryState, Outcome
from mta.policy.pressure import Strain
from mta.reply import Reply

DELIVERY_STATUS = Counter(
    "zonemta_delivery_status",
    "Outcomes of attempts; status and result say the same.",
    ["zone", "status", "result"],
)
MESSAGE_PUSH = Counter(
    "zonemta_message_push", "Messages taken in, or refused, at a door.", ["result"]
)
MESSAGE_DROP = Counter(
    "zonemta_message_drop", "Bodies removed because their intake did not end well."
)
CONNECTION_REUSES = Counter(
    "zonemta_connection_reuses", "Transactions on a session that was open already."
)
CONNECTION_POOL_SIZE = Gauge(
    "zonemta_connection_pool_size",
    "Sessions that are open and idle.",
    multiprocess_mode="livesum",
)
LOGINS_REFUSED = Counter(
    "mta_relay_logins_refused",
    "Next hops that did not let us log in.",
    ["host"],
)
QUEUE_SIZE = Gauge(
    "zonemta_queue_size",
    "Deliveries waiting.",
    ["type"],
    multiprocess_mode="mostrecent",
)

MESSAGES_RECEIVED = Counter(
    "mta_messages_received", "Messages per door.", ["interface", "result"]
)
MESSAGE_BYTES = Histogram(
    "mta_message_bytes",
    "Size of accepted messages.",
    buckets=[1024 * 4**n for n in range(10)],
)
SMTP_SESSIONS = Gauge(
    "mta_smtp_sessions",
    "Clients being served.",
    ["interface"],
    multiprocess_mode="livesum",
)
SMTP_LOGINS = Counter(
    "mta_smtp_logins", "Logins of SMTP clients.", ["interface", "result"]
)
SMTP_TURNED_AWAY = Counter(
    "mta_smtp_turned_away", "Clients that heard a refusal as greeting.", ["interface"]
)
DKIM_SIGNATURES = Counter(
    "mta_dkim_signatures",
    "Signatures made, used (one is used by all recipients), or failed.",
    ["result"],
)
TLS_SESSIONS = Counter(
    "mta_tls_sessions",
    "What came of TLS with other servers, by the policy that applied.",
    ["policy", "result"],
)  # policy: dane, mta-sts, or what the operator wants
TLS_REPORTS = Counter(
    "mta_tls_reports", "Reports about TLS to other domains.", ["how", "result"]
)  # how: mailto, https
DELIVERY_LATENCY = Histogram(
    "mta_delivery_latency_seconds",
    "From acceptance to the final outcome.",
    ["zone"],
    buckets=[0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 1800, 7200, 86400],
)
QUEUE_DELIVERIES = Gauge(
    "mta_queue_deliveries",
    "Deliveries by state.",
    ["state"],
    multiprocess_mode="mostrecent",
)
BROKER_DEPTH = Gauge(
    "mta_broker_tasks",
    "Celery messages waiting in the broker.",
    ["zone"],
    multiprocess_mode="mostrecent",
)
RINGS = Counter(
    "mta_doorbells", "Doorbells published.", ["zone", "by"]
)  # by: intake, scheduler
DOORBELL_FAILURES = Counter(
    "mta_doorbell_failures", "Doorbells whose publishing failed; repaired later."
)
ECHOES = Counter("mta_doorbell_echoes", "Doorbells that found nothing to do.")
LOST_CLAIMS = Counter(
    "mta_claims_lost", "Claims that another owner had taken over.", ["zone"]
)
IN_DOUBT = Counter(
    "mta_in_doubt",
    "Deliveries that may have arrived without our knowing.",
    ["zone", "cause"],
)  # cause: reply (none was read), crash
REPEATED_AFTER_DOUBT = Counter(
    "mta_repeated_after_doubt",
    "Messages sent again although they may have arrived.",
    ["zone"],
)
PARKED = Counter(
    "mta_deliveries_parked",
    "Deliveries that met a limit of connections and wait for a slot.",
    ["zone", "limit"],
)
MEASURES_TAKEN = Counter(
    "mta_measures_taken",
    "Replies that led to a measure, or prolonged it.",
    ["rule", "action"],
)
RATE_WAITS = Counter(
    "mta_rate_waits",
    "Deliveries that met a rate and were given a time of their own.",
    ["zone", "limit"],
)  # limit: zone, domain, provider, source, shared
CHAINED = Counter(
    "mta_deliveries_chained",
    "Parked deliveries taken on by whoever freed the slot.",
    ["zone"],
)
ZONE_WITHOUT_WORKER = Gauge(
    "mta_zone_without_worker",
    "1 while a zone has work and no live worker.",
    ["zone"],
    multiprocess_mode="mostrecent",
)
IDLE_WORKERS = Gauge(
    "mta_workers_stuck",
    "Live workers of a zone that start nothing although tasks wait.",
    ["zone"],
    multiprocess_mode="mostrecent",
)
OLDEST_WAITING_SECONDS = Gauge(
    "mta_queue_oldest_seconds",
    "For how long the oldest due delivery of a zone has been waiting.",
    ["zone"],
    multiprocess_mode="mostrecent",
)
LIMITS_LOCAL = Gauge(
    "mta_limits_local",
    "1 while this worker keeps to its share of the limits, without Redis.",
    multiprocess_mode="livesum",
)
PRESSURE = Gauge(
    "mta_pressure",
    "1 while a door takes no mail for this reason.",
    ["what"],
    multiprocess_mode="livemax",
)  # what: database, memory, queue
SCHEDULER_TICK = Histogram(
    "mta_scheduler_tick_seconds",
    "Time of one tick of the scheduler.",
    buckets=[0.005, 0.02, 0.05, 0.1, 0.25, 1, 5],
)

_STATUS = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.DEFERRED: "deferred",
    DeliveryState.IN_DOUBT: "deferred",
    DeliveryState.BOUNCED: "rejected",
    DeliveryState.EXPIRED: "rejected",
}


class SessionCounter:
    """Counts the sessions of an SMTP listener."""

    def on_open(self, interface: str) -> None:
        """A client was greeted."""
        SMTP_SESSIONS.labels(interface).inc()

    def on_close(self, interface: str) -> None:
        """A client that was greeted is gone."""
        SMTP_SESSIONS.labels(interface).dec()

    def on_login(self, interface: str, *, is_right: bool) -> None:
        """A client tried to log in."""
        SMTP_LOGINS.labels(interface, "accepted" if is_right else "refused").inc()

    def on_turned_away(self, interface: str, reply: Reply) -> None:
        """A client heard ``reply`` in place of a greeting."""
        SMTP_TURNED_AWAY.labels(interface).inc()


def count_outcome(zone: str, outcome: Outcome, *, latency_s: float) -> None:
    """Count one settled attempt."""
    status = _STATUS.get(outcome.state, "unknown")
    DELIVERY_STATUS.labels(zone, status, status).inc()
    if outcome.state.is_terminal:
        DELIVERY_LATENCY.labels(zone).observe(latency_s)


def show_queue(counts: dict[DeliveryState, int]) -> None:
    """Set the queue's gauges; only the leading scheduler does."""
    for state in sorted(LIVE):
        QUEUE_DELIVERIES.labels(state.value).set(counts.get(state, 0))
    active = (DeliveryState.QUEUED, DeliveryState.SENDING)
    waiting = sum(counts.get(state, 0) for state in active)
    deferred = sum(counts.get(state, 0) for state in LIVE) - waiting
    QUEUE_SIZE.labels("queued").set(waiting)
    QUEUE_SIZE.labels("deferred").set(deferred)


def show_pressure(strains: Collection[Strain]) -> None:
    """Set the gauge of a door; every door does."""
    for strain in Strain:
        PRESSURE.labels(strain.value).set(strain in strains)


def serve(host: str, port: int) -> None:
    """Answer ``/metrics`` of this process alone, in a thread of its own."""
    start_http_server(port, addr=host)
