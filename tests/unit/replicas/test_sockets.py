import pytest

from truss_async.replicas.sockets import SocketClosed


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (1000, 1000),
        (1003, 1003),
        (1011, 1011),
        (1014, 1014),
        (3000, 3000),
        (4999, 4999),
        (1005, 1000),  # it was closed without a code
        (1006, 1001),  # it was not closed, and is gone
        (1004, 1000),
        (1015, 1000),
        (0, 1000),
        (5000, 1000),
    ],
)
def test_a_code_that_is_never_sent_has_one_in_its_place(told: int, said: int) -> None:
    assert SocketClosed(told).sendable() == SocketClosed(said)


def test_a_reason_is_cut_where_a_character_ends() -> None:
    assert SocketClosed(1000, "ü" * 100).sendable().reason == "ü" * 61
    assert SocketClosed(1000, "x" * 123).sendable().reason == "x" * 123
