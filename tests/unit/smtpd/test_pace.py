"""How long a client may keep us waiting."""

from mta.smtpd.pace import MIN_CONTENT_RATE, Pace


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def wait(pace, clock, seconds, octets=0):
    """Wait for the client once; return how long we would have waited."""
    patience = pace.begin_wait()
    clock.now += seconds
    pace.end_wait(octets)
    return patience


def test_dripping_does_not_renew_the_idle_time():
    """A line must be whole in time, however its octets come (X01)."""
    clock = Clock()
    pace = Pace(300, clock)

    patiences = [wait(pace, clock, 100) for _ in range(4)]

    assert patiences == [300, 200, 100, 0]


def test_a_line_renews_the_idle_time():
    """The next command has all of the time again."""
    clock = Clock()
    pace = Pace(300, clock)
    wait(pace, clock, 299)

    pace.restart()

    assert pace.begin_wait() == 300


def test_our_own_time_is_not_the_clients():
    """A slow store must not make a client late."""
    clock = Clock()
    pace = Pace(300, clock)
    wait(pace, clock, 1)
    clock.now += 10_000

    assert pace.begin_wait() == 299


def test_content_buys_time():
    """At the minimum rate a client may go on for ever."""
    clock = Clock()
    pace = Pace(300, clock)

    patiences = {wait(pace, clock, 200, 200 * MIN_CONTENT_RATE) for _ in range(50)}

    assert patiences == {300}


def test_content_that_drips_runs_out_of_time():
    """One octet a minute is no content."""
    clock = Clock()
    pace = Pace(300, clock)
    waits = 0
    while wait(pace, clock, 60, 1):
        waits += 1

    assert waits == 6
