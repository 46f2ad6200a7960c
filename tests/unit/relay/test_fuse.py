import pytest

from mta.errors import Stopping
from mta.relay.fuse import Fuse, Fuses


class FakeSocket:
    is_cut = False

    def shutdown(self, how):
        self.is_cut = True


@pytest.fixture
def fuse():
    return Fuse()


def test_blown_fuse_cuts_the_socket(fuse):
    """And lets neither a dial nor a dot follow."""
    sock = FakeSocket()
    fuse.arm(sock)

    fuse.blow()

    assert (sock.is_cut, fuse.is_blown) == (True, True)
    with pytest.raises(Stopping):
        fuse.arm(FakeSocket())
    with pytest.raises(Stopping):
        fuse.commit()


def test_committed_fuse_cannot_be_blown(fuse):
    """The dot is out: to cut now would leave the message in doubt."""
    sock = FakeSocket()
    fuse.arm(sock)
    fuse.commit()

    fuse.blow()

    assert (sock.is_cut, fuse.is_blown) == (False, False)


def test_disarmed_fuse_cuts_nothing(fuse):
    """The session is somebody else's by now."""
    sock = FakeSocket()
    fuse.arm(sock)
    fuse.disarm()

    fuse.blow()

    assert not sock.is_cut


def test_socket_that_is_gone_is_no_error(fuse):
    """It was closed in the meantime."""

    class Closed(FakeSocket):
        def shutdown(self, how):
            raise OSError(9, "Bad file descriptor")

    fuse.arm(Closed())

    fuse.blow()

    assert fuse.is_blown


def test_all_attempts_under_way_are_cut_at_once():
    """Those that have ended are no business of anybody's."""
    fuses, ended, first, second = Fuses(), Fuse(), Fuse(), Fuse()
    with fuses.of(ended):
        pass

    with fuses.of(first), fuses.of(second):
        fuses.blow()

    assert [fuse.is_blown for fuse in (ended, first, second)] == [False, True, True]


def test_an_attempt_that_fails_is_under_way_no_more():
    """Whatever it fails with."""
    fuses, fuse = Fuses(), Fuse()
    with pytest.raises(KeyboardInterrupt), fuses.of(fuse):
        raise KeyboardInterrupt

    fuses.blow()

    assert not fuse.is_blown
