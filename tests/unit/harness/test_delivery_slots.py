from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.harness.delivery_slots import (
    MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_PER_ENDPOINT,
    DeliverySlots,
    Slot,
)

ENDPOINT = "https://one.example/hook"
OTHER = "https://other.example/hook"
COUNT_OF_FULL_SERVERS = MAX_IN_FLIGHT // MAX_IN_FLIGHT_PER_ENDPOINT


class Taker:
    """Takes slots, and keeps those whose turn came."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, Slot]] = []
        self.times_of_room = 0
        self.slots = DeliverySlots(
            on_turn=lambda request_id, slot: self.turns.append((request_id, slot)), on_room=self._count
        )

    def take(self, endpoint: str = ENDPOINT, *, count: int = 1) -> list[Slot]:
        taken = [self.slots.try_take(endpoint) for _ in range(count)]
        assert None not in taken
        return [slot for slot in taken if slot is not None]

    def fill(self) -> list[Slot]:
        """Take all that there are."""
        servers = [f"https://{number}.example/" for number in range(COUNT_OF_FULL_SERVERS)]
        return [slot for server in servers for slot in self.take(server, count=MAX_IN_FLIGHT_PER_ENDPOINT)]

    def _count(self) -> None:
        self.times_of_room += 1


@pytest.fixture
def taker() -> Taker:
    return Taker()


def test_one_server_gets_so_many_slots_and_others_go_on(taker: Taker) -> None:
    taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)
    assert taker.slots.try_take(ENDPOINT) is None
    assert taker.slots.try_take(OTHER) is not None
    assert taker.slots.room == MAX_IN_FLIGHT - MAX_IN_FLIGHT_PER_ENDPOINT - 1


@pytest.mark.parametrize(
    ("endpoint", "is_the_same"),
    [
        ("https://one.example/another?path#x", True),
        ("http://one.example/hook", False),
        ("https://one.example:444/hook", False),
        ("https://two.example/hook", False),
    ],
)
def test_a_server_is_told_by_scheme_host_and_port(taker: Taker, endpoint: str, is_the_same: bool) -> None:
    taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)
    assert (taker.slots.try_take(endpoint) is None) is is_the_same


def test_a_slot_that_is_given_back_is_free_again(taker: Taker) -> None:
    first, *_ = taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)
    taker.slots.give_back(first)
    assert taker.slots.room == MAX_IN_FLIGHT - MAX_IN_FLIGHT_PER_ENDPOINT + 1
    taker.take()
    assert (taker.slots.try_take(ENDPOINT), taker.turns) == (None, [])


def test_when_all_are_taken_no_server_gets_one(taker: Taker) -> None:
    held = taker.fill()
    assert (taker.slots.try_take(OTHER), taker.slots.room) == (None, 0)
    taker.slots.give_back(held[0])
    taker.take(OTHER)


def test_room_is_told_of_once_when_there_was_none(taker: Taker) -> None:
    held = taker.fill()
    assert taker.times_of_room == 0
    taker.slots.give_back(held.pop())
    taker.slots.give_back(held.pop())
    assert taker.times_of_room == 1
    taker.take(OTHER, count=2)
    taker.slots.give_back(held.pop())
    assert taker.times_of_room == 2


def test_what_is_claimed_already_gets_a_slot_though_others_took_the_last_ones_meanwhile(taker: Taker) -> None:
    held = taker.fill()
    beyond = taker.slots.take_or_wait(OTHER, "r1")
    assert beyond is not None
    taker.slots.give_back(held[0])
    assert (taker.slots.room, taker.times_of_room) == (0, 0)
    taker.slots.give_back(beyond)
    assert (taker.slots.room, taker.times_of_room) == (1, 1)


def test_what_is_beyond_the_slots_of_its_server_waits_in_line(taker: Taker) -> None:
    held = taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)
    assert [taker.slots.take_or_wait(ENDPOINT, request_id) for request_id in ("r1", "r2")] == [None, None]
    assert taker.slots.take_or_wait(OTHER, "r3") is not None
    room = taker.slots.room
    for slot in held[:2]:
        taker.slots.give_back(slot)
        assert taker.slots.try_take(ENDPOINT) is None, "somebody came before those in line"
    assert [request_id for request_id, _ in taker.turns] == ["r1", "r2"]
    assert taker.slots.room == room
    for slot in [*held[2:], *(slot for _, slot in taker.turns)]:
        taker.slots.give_back(slot)
    taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)


def test_nobody_waits_after_all_were_dismissed(taker: Taker) -> None:
    held = taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)
    taker.slots.take_or_wait(ENDPOINT, "r1")
    taker.slots.dismiss_waiting()
    for slot in held:
        taker.slots.give_back(slot)
    assert (taker.turns, taker.slots.room) == ([], MAX_IN_FLIGHT)


def test_a_server_to_which_nothing_is_sent_is_forgotten(taker: Taker) -> None:
    for slot in taker.fill():
        taker.slots.give_back(slot)
    assert taker.slots._endpoints == {}


servers = st.integers(0, 2).map(lambda number: f"https://{number}.example/")
steps = st.tuples(st.sampled_from(["try", "claimed", "back"]), servers, st.integers(1, 100))


@given(st.lists(steps, max_size=40))
def test_in_any_order_no_slot_is_lost_or_given_twice_and_each_line_keeps_its_order(
    taken: list[tuple[str, str, int]],
) -> None:
    held: dict[str, list[Slot]] = {}
    lines: dict[str, list[str]] = {}

    def on_turn(request_id: str, slot: Slot) -> None:
        assert lines[slot.origin].pop(0) == request_id
        held[slot.origin].append(slot)

    slots = DeliverySlots(on_turn=on_turn, on_room=lambda: None)
    for number, (step, server, count) in enumerate(taken):
        origin = server.rstrip("/")
        mine, line = held.setdefault(origin, []), lines.setdefault(origin, [])
        for again in range(count):
            if step == "back":
                if mine:
                    slots.give_back(mine.pop(0))
                continue
            is_free = len(mine) < MAX_IN_FLIGHT_PER_ENDPOINT
            request_id = f"{number}-{again}"
            slot = (
                slots.try_take(server)
                if step == "try"
                else slots.take_or_wait(f"{server}{request_id}", request_id)
            )
            assert (slot is not None) is is_free
            if slot is not None:
                mine.append(slot)
            elif step == "claimed":
                line.append(request_id)
        assert slots.room == MAX_IN_FLIGHT - sum(map(len, held.values()))
    for mine in held.values():
        while mine:
            slots.give_back(mine.pop())
    assert (slots.room, [*filter(None, lines.values())]) == (MAX_IN_FLIGHT, [])
