"""A gevent worker on our Redis transport: an ordinary Celery worker, only quicker."""

import time
from datetime import timedelta

from mta.worker.doorbell import PRIORITY_HIGH, SWEEP_TASK
from tests.integration.worker.rig import QUEUE, eventually, utc_now


def test_an_idle_worker_starts_a_task_at_once(broker, notes, start_worker):
    """No polling interval lies between publishing and the start of the task."""
    start_worker()
    broker.publish("warm-up")
    notes.next("done")
    waits = []
    for number in range(10):
        began = time.monotonic()
        broker.publish(str(number))
        notes.next("started")
        waits.append(time.monotonic() - began)

    assert sorted(waits)[5] < 0.5  # others look once a second


def test_a_slot_that_gets_free_is_used_at_once(broker, notes, start_worker):
    """40 tasks of 0.3 s on four slots take three seconds, not eighteen."""
    start_worker(slots=4)
    began = time.monotonic()

    broker.publish(*(f"{number} 0.3" for number in range(40)))
    notes.next("done", 40)

    assert 3.0 <= time.monotonic() - began < 12


def test_only_what_can_start_is_taken(broker, notes, start_worker):
    """There is no prefetch: the rest waits where priorities still count."""
    start_worker(slots=2)
    broker.publish("a 2", "b 2", "c", "d")
    notes.next("started", 2)
    broker.publish("urgent", priority=PRIORITY_HIGH)

    assert (broker.unacked(), broker.waiting()) == (2, 3)
    assert notes.next("started") == ["urgent"]


def test_normal_mail_is_every_fifth_while_urgent_mail_waits(
    broker, notes, start_worker
):
    """Neither class starves."""
    broker.publish(*(f"n{number}" for number in range(4)))
    broker.publish(*(f"u{number}" for number in range(12)), priority=PRIORITY_HIGH)

    start_worker(slots=1)

    started = notes.next("started", 16)
    assert started[:10] == ["u0", "u1", "u2", "u3", "n0", "u4", "u5", "u6", "u7", "n1"]
    assert started[10:] == ["u8", "u9", "u10", "u11", "n2", "n3"]


def test_an_eta_is_kept_without_a_slot(broker, notes, start_worker):
    """What waits for its time lets others pass, and is listed as scheduled."""
    start_worker(slots=1)
    broker.wait_for_commands()
    (held,) = broker.publish("later", eta=utc_now() + timedelta(seconds=2))
    eventually(lambda: broker.unacked() == 1)
    published = time.monotonic()
    broker.publish("now")

    assert notes.next("started") == ["now"]
    (scheduled,) = broker.inspect().scheduled().values()
    assert [entry["request"]["id"] for entry in scheduled] == [held]
    assert notes.next("started") == ["later"]
    assert 1.0 < time.monotonic() - published < 15


def test_whose_time_has_come_waits_in_the_order_of_priority(
    broker, notes, start_worker
):
    """Not before all others, because it was with a worker already."""
    start_worker(slots=1)
    due_at = utc_now() + timedelta(seconds=3)
    broker.publish("late1", "late2", "late3", eta=due_at)
    eventually(lambda: broker.waiting() == 0)
    broker.publish("long 6")
    notes.next("started")
    eventually(lambda: broker.waiting() == 3)
    broker.publish("urgent", priority=PRIORITY_HIGH)

    first, *others = notes.next("started", 4)
    assert first == "urgent"
    assert sorted(others) == ["late1", "late2", "late3"]


def test_a_revoked_task_does_not_run(broker, notes, start_worker):
    """Neither one that waits for its time, nor one that comes later."""
    start_worker()
    broker.wait_for_commands()
    (held,) = broker.publish("held", eta=utc_now() + timedelta(seconds=2))
    eventually(lambda: broker.unacked() == 1)
    broker.app.control.revoke([held], reply=True, limit=1)
    eventually(lambda: broker.unacked() == 0)

    broker.publish("other")

    assert notes.next("started") == ["other"]
    assert notes.all("started") == []


def test_remote_control_sees_the_tasks_at_work(broker, notes, start_worker):
    """Flower and ``celery inspect`` show ours as they show any task."""
    start_worker(slots=3)
    broker.wait_for_commands()
    (task_id,) = broker.publish("a 4")
    notes.next("started")

    (active,) = broker.inspect().active().values()
    (stats,) = broker.inspect().stats().values()
    (reserved,) = broker.inspect().reserved().values()

    assert [(task["id"], task["args"]) for task in active] == [(task_id, ["a 4"])]
    assert active[0]["delivery_info"]["routing_key"] == QUEUE
    assert stats["total"] == {"mta.deliver": 1}
    assert stats["pool"]["max-concurrency"] == 3
    assert stats["broker"]["transport"] == "redis"
    assert reserved == []


def test_other_tasks_go_celerys_way(broker, notes, start_worker):
    """On the same worker, within the same slots."""
    start_worker(slots=1)

    broker.publish("a 0.5")
    broker.app.send_task(SWEEP_TASK, queue=QUEUE)
    broker.publish("b")

    assert sorted(notes.next("done", 3)) == ["a", "b", "sweep"]
    eventually(lambda: broker.unacked() == 0)


def test_a_doorbell_with_more_to_it_goes_celerys_way(broker, notes, start_worker):
    """An expired task is not run, as Celery promises."""
    start_worker()

    broker.app.send_task(
        "mta.deliver", args=("expired",), queue=QUEUE, expires=utc_now()
    )
    broker.app.send_task("mta.deliver", args=("plain",), queue=QUEUE)

    assert notes.next("started") == ["plain"]
    eventually(lambda: broker.unacked() == 0)
    assert notes.all("started") == []


def test_a_stopped_worker_finishes_and_gives_back(broker, notes, start_worker):
    """SIGTERM: what runs ends, what waits for its time goes back to the queue."""
    worker = start_worker(slots=1)
    broker.publish("later", eta=utc_now() + timedelta(minutes=1))
    eventually(lambda: broker.unacked() == 1)
    broker.publish("long 3", "next")
    notes.next("started")

    code = worker.stop()

    assert (code, notes.all("done"), notes.all("started")) == (0, ["long"], [])
    assert (broker.unacked(), broker.waiting()) == (0, 2)


def test_a_message_of_another_publisher_is_found(
    broker, stock_broker, notes, start_worker
):
    """It rings no bell; every idle worker looks once a second."""
    start_worker()

    stock_broker.publish("foreign")

    assert notes.next("done", timeout_s=5) == ["foreign"]
