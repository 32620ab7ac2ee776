from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.harness.delivery_slots import (
    MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_PER_ENDPOINT,
    MAX_REMEMBERED,
    NOWHERE,
    DeliverySlots,
    Origin,
    Slot,
    origin_of,
)

ENDPOINT = "https://one.example/hook"
OTHER = "https://other.example/hook"


def server(number: int | str) -> str:
    return f"https://{number}.example/hook"


class Taker:
    """Takes slots, and keeps those whose turn came."""

    def __init__(self, limit: int = MAX_IN_FLIGHT) -> None:
        self.turns: list[tuple[str, Slot]] = []
        self.times_of_room = 0
        self.slots = DeliverySlots(
            on_turn=lambda request_id, slot: self.turns.append((request_id, slot)),
            on_room=self._count,
            limit=limit,
        )

    def take(self, endpoint: str = ENDPOINT, *, count: int = 1) -> list[Slot]:
        taken = [self.slots.try_take(endpoint) for _ in range(count)]
        assert None not in taken
        return [slot for slot in taken if slot is not None]

    def fill(self) -> list[Slot]:
        """Take all that there are."""
        return [self.take(server(number))[0] for number in range(self.slots.room)]

    def hears(self, endpoint: str, *, answered: bool) -> None:
        self.slots.heard(origin_of(endpoint), answered=answered)

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
        ("https://ONE.example:443", True),
        ("https://user:password@one.example/hook", True),
        ("http://localhost/hook", False),
        ("https://one.example:444/hook", False),
        ("https://two.example/hook", False),
    ],
)
def test_a_server_is_told_by_scheme_host_and_port(taker: Taker, endpoint: str, is_the_same: bool) -> None:
    taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)
    assert (taker.slots.try_take(endpoint) is None) is is_the_same


def test_what_cannot_be_sent_gets_a_slot_too_and_is_not_remembered(taker: Taker) -> None:
    assert [slot.origin for slot in taker.take("https://a..example/")] == [NOWHERE]
    taker.slots.heard(NOWHERE, answered=False)
    taker.take("no url", count=MAX_IN_FLIGHT_PER_ENDPOINT - 1)


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
    taker.take(OTHER)
    taker.take(ENDPOINT)
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


# Servers that do not answer.


@pytest.mark.parametrize("is_known", [True, False])
def test_the_more_slots_servers_without_an_answer_have_the_fewer_each_gets_but_one(is_known: bool) -> None:
    taker, taken = Taker(), []
    for number in range(500):
        if is_known:
            taker.hears(server(number), answered=False)
        ids = [f"{number}-{each}" for each in range(10)]
        slots = [taker.slots.take_or_wait(server(number), request_id) for request_id in ids]
        taken.append(sum(slot is not None for slot in slots))
    assert (taken[0], taken[-1], min(taken)) == (10, 1, 1)
    assert taken == sorted(taken, reverse=True)
    assert taker.slots.room > MAX_IN_FLIGHT // 2


def test_a_server_alone_gets_as_many_as_if_it_answered(taker: Taker) -> None:
    taker.hears(ENDPOINT, answered=False)
    taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT)


def test_servers_that_answer_get_theirs_though_the_others_keep_all_that_they_can_get(taker: Taker) -> None:
    for number in range(MAX_IN_FLIGHT):
        taker.hears(server(number), answered=False)
        taker.slots.take_or_wait(server(number), str(number))
    assert taker.slots.room == MAX_IN_FLIGHT * 5 // 8
    taker.hears(ENDPOINT, answered=True)
    taker.take(count=MAX_IN_FLIGHT_PER_ENDPOINT // 2)
    taker.take(OTHER)


def test_servers_that_stop_to_answer_leave_some_to_others(taker: Taker) -> None:
    for number in range(200):
        taker.hears(server(number), answered=True)
        for each in range(MAX_IN_FLIGHT_PER_ENDPOINT):
            taker.slots.take_or_wait(server(number), f"{number}-{each}")
    assert taker.slots.room > 0


def test_whoever_waits_for_a_server_that_answers_at_last_has_its_turn_at_once() -> None:
    taker = Taker(limit=64)
    taker.hears(ENDPOINT, answered=False)
    taker.take(ENDPOINT)
    for number in range(3):
        taker.take(server(number))
    held = [taker.slots.take_or_wait(ENDPOINT, str(number)) for number in range(20)]
    waiting = held.count(None)
    assert waiting > 15
    taker.hears(ENDPOINT, answered=True)
    assert len(taker.turns) == waiting


def test_servers_without_an_answer_take_turns_when_there_are_more_of_them_than_slots() -> None:
    taker = Taker(limit=8)
    for number in range(10):
        taker.hears(server(number), answered=False)
    held = [
        slot
        for number in range(10)
        for each in range(3)
        if (slot := taker.slots.take_or_wait(server(number), f"{number}-{each}"))
    ]
    assert len(held) == 3
    while len(taker.turns) < 17:
        taker.slots.give_back(held.pop(0))
        held += [slot for _, slot in taker.turns[-1:]]
    began = [request_id for request_id, _ in taker.turns]
    assert began == [*(f"{number}-0" for number in range(3, 10)), *(f"{number}-1" for number in range(10))]


def test_what_was_heard_of_very_many_servers_is_forgotten_and_no_slot_lost(taker: Taker) -> None:
    taker.hears(ENDPOINT, answered=False)
    (held,) = taker.take(ENDPOINT)
    for number in range(MAX_REMEMBERED):
        taker.hears(server(number), answered=False)
    taker.hears(server(0), answered=True)
    taker.slots.give_back(held)
    assert taker.slots.room == MAX_IN_FLIGHT


class Books:
    """Who should have a slot, and who waits, by what was done so far."""

    def __init__(self, limit: int) -> None:
        self.held: dict[Origin, list[Slot]] = defaultdict(list)
        self.lines: dict[Origin, list[str]] = defaultdict(list)
        self.slots = DeliverySlots(on_turn=self._turn, on_room=lambda: None, limit=limit)
        self._ids = itertools.count()

    def hear(self, url: str, *, answered: bool) -> None:
        self.slots.heard(origin_of(url), answered=answered)

    def try_take(self, url: str) -> None:
        if slot := self.slots.try_take(url):
            assert not self.lines[slot.origin], "somebody came before those in line"
            self.held[slot.origin].append(slot)

    def take_or_wait(self, url: str) -> None:
        request_id, origin = str(next(self._ids)), origin_of(url)
        if slot := self.slots.take_or_wait(url, request_id):
            assert not self.lines[origin], "somebody came before those in line"
            self.held[origin].append(slot)
        else:
            self.lines[origin].append(request_id)

    def give_back(self, url: str) -> None:
        if mine := self.held[origin_of(url)]:
            self.slots.give_back(mine.pop(0))

    def _turn(self, request_id: str, slot: Slot) -> None:
        assert self.lines[slot.origin].pop(0) == request_id
        self.held[slot.origin].append(slot)

    @property
    def taken(self) -> int:
        assert all(len(each) <= MAX_IN_FLIGHT_PER_ENDPOINT for each in self.held.values())
        return sum(map(len, self.held.values()))


STEPS: list[Callable[[Books, str], None]] = [
    Books.try_take,
    Books.take_or_wait,
    Books.give_back,
    partial(Books.hear, answered=True),
    partial(Books.hear, answered=False),
]


@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 5).map(server), st.integers(1, 20)), max_size=60
    ),
    st.sampled_from([1, 2, 5, 8, 64, MAX_IN_FLIGHT]),
)
def test_in_any_order_no_slot_is_lost_or_given_twice_and_each_line_moves_in_its_order(
    steps: list[tuple[Callable[[Books, str], None], str, int]], limit: int
) -> None:
    books = Books(limit)
    for step, url, times in steps:
        for _ in range(times):
            step(books, url)
        assert books.slots.room == limit - books.taken
    while books.taken:
        for number in range(6):
            books.give_back(server(number))
    assert (books.slots.room, [*filter(None, books.lines.values())]) == (limit, [])
