import pytest

from mta.embedded.watch import FileWatch


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "zones.yaml"
    file.write_text("old")
    return file


def test_an_untouched_file_has_not_changed(file):
    """However often it is looked at."""
    watch = FileWatch(file)

    assert [watch.has_changed() for _ in range(3)] == [False] * 3


def test_a_change_is_told_once_and_when_it_is_whole(file):
    """At the first look it may still be being written."""
    watch = FileWatch(file)
    file.write_text("newer")

    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


def test_a_link_that_leads_elsewhere_is_a_change(file, tmp_path):
    """As where files are mounted into containers."""
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(file)
    other.write_text("old")
    watch = FileWatch(link)

    _link_to(other, tmp_path).replace(link)

    assert [watch.has_changed() for _ in range(2)] == [False, True]


def test_a_file_that_is_gone_is_no_change(file):
    """Somebody is about to put another one in its place."""
    watch = FileWatch(file)
    file.unlink()

    assert [watch.has_changed() for _ in range(3)] == [False] * 3


def _link_to(target, folder):
    link = folder / "beside"
    link.symlink_to(target)
    return link
