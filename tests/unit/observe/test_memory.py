"""How much memory is left, as a kernel's files tell it."""

import pytest

from mta.observe.memory import free_memory

MIB = 1024 * 1024


@pytest.fixture
def machine(tmp_path):
    """A machine with 1000 kB, and whatever control groups a test adds."""

    class Machine:
        proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"

        def say(self, available, group="/"):
            (self.proc / "self").mkdir(parents=True, exist_ok=True)
            text = f"MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable: {available} kB\n"
            (self.proc / "meminfo").write_text(text)
            groups = f"4:memory:/old\n0::{group}\n"
            (self.proc / "self/cgroup").write_text(groups)

        def add_group(self, path, *, limit, used, pages=0, slab=0):
            folder = self.cgroups / path
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "memory.max").write_text(f"{limit}\n")
            (folder / "memory.current").write_text(f"{used}\n")
            stat = f"anon 9\ninactive_file {pages}\nslab_reclaimable {slab}\n"
            (folder / "memory.stat").write_text(stat)

        def free(self):
            return free_memory(proc=self.proc, cgroups=self.cgroups)

    return Machine()


def test_a_machine_says_what_is_available(machine):
    """Not what is free: the kernel keeps little of it idle."""
    machine.say(available=250)

    assert machine.free() == 0.25


def test_a_container_may_have_less_than_the_machine(machine):
    """Its own limit is what kills it."""
    machine.say(available=900)
    machine.add_group("", limit=100 * MIB, used=70 * MIB)

    assert machine.free() == pytest.approx(0.3)


def test_pages_of_files_are_not_taken(machine):
    """A database's cache of files fills any group, and hurts none."""
    machine.say(available=900)
    machine.add_group(
        "", limit=100 * MIB, used=100 * MIB, pages=50 * MIB, slab=10 * MIB
    )

    assert machine.free() == pytest.approx(0.6)


def test_the_tightest_group_counts(machine):
    """A slice may have less left than the service in it."""
    machine.say(available=900, group="/mta.slice/api.service")
    machine.add_group("mta.slice", limit=100, used=90)
    machine.add_group("mta.slice/api.service", limit=50, used=5)

    assert machine.free() == pytest.approx(0.1)


def test_a_group_without_a_limit_says_nothing(machine):
    """What the kernel calls max is as much as there is."""
    machine.say(available=900, group="/api")
    machine.add_group("api", limit="max", used=10**9)

    assert machine.free() == 0.9


@pytest.mark.parametrize("group", ["/../elsewhere", "/gone", ""])
def test_a_group_that_is_not_shown_to_us_says_nothing(machine, group):
    """In a container, the path may be that of the world outside."""
    machine.say(available=900, group=group)

    assert machine.free() == 0.9


def test_a_group_that_may_have_nothing_has_nothing_left(machine):
    """Nobody divides by zero for that."""
    machine.say(available=900)
    machine.add_group("", limit=0, used=10)

    assert machine.free() == 0


@pytest.mark.parametrize(
    "text", ["", "MemTotal:\n", "MemTotal: x kB\nMemAvailable: 1\n", "\xff\n\n : : :\n"]
)
def test_a_system_that_says_nothing_is_no_reason_for_anything(machine, text):
    """Not every system is Linux."""
    machine.say(available=1)
    (machine.proc / "meminfo").write_text(text)

    assert machine.free() is None


def test_this_machine_says_something():
    """The files are where we look for them."""
    assert 0 < free_memory() < 1
