import socket
from contextlib import ExitStack

import pytest

from mta.embedded.failure import StartFailed
from mta.embedded.ports import port_of, reserve

HOST = "127.0.0.1"


def a_listener(port: int, *, is_shared: bool = False) -> socket.socket:
    """A server as gevent, Tornado, mongod and redis-server open theirs."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((HOST, port))
    listener.listen()
    return listener


def test_a_reserved_port_may_be_listened_on():
    """The reservation is not in the way of whom it is for."""
    with (
        reserve(HOST, 0, what="api") as reservation,
        a_listener(port_of(reservation)) as listener,
    ):
        assert listener.getsockname() == reservation.getsockname()


def test_a_reserved_port_may_be_shared():
    """The processes of an SMTP interface listen on one port."""
    with (
        reserve(HOST, 0, what="smtp") as reservation,
        a_listener(port_of(reservation), is_shared=True),
        a_listener(port_of(reservation), is_shared=True) as second,
    ):
        assert second.getsockname() == reservation.getsockname()


@pytest.mark.parametrize("is_shared", [False, True], ids=["alone", "shared"])
def test_a_port_in_use_is_said_before_anything_starts(is_shared):
    """Another system's door is noticed, although the kernel would share it."""
    with a_listener(0, is_shared=is_shared) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(StartFailed, match=rf"interface x: {HOST}:{port} is in use"):
            reserve(HOST, port, what="interface x")


def test_a_reserved_port_is_nobody_elses_by_chance():
    """Neither outgoing connections nor listeners on any free port get it."""
    with reserve(HOST, 0, what="mongo") as reservation, a_listener(0) as server:
        taken = port_of(reservation)
        with ExitStack() as held:
            others = {
                held.enter_context(
                    socket.create_connection(server.getsockname())
                ).getsockname()[1]
                for _ in range(50)
            }
            others |= {
                held.enter_context(a_listener(0)).getsockname()[1] for _ in range(50)
            }

            assert taken not in others


def test_an_address_of_another_machine_is_named():
    """A configuration copied from elsewhere says what is wrong with it."""
    with pytest.raises(StartFailed, match=r"192\.0\.2\.1 is not an address of this"):
        reserve("192.0.2.1", 0, what="the API")
