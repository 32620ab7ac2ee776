"""Which results are looked for, and which requests are asked about."""

from truss_async.client.batch.open_requests import OpenRequest, OpenRequests


def opened(*ages: int) -> tuple[OpenRequests, dict[int, OpenRequest]]:
    requests, by_age = OpenRequests(first_pause_seconds=0.2, longest_pause_seconds=10), {}
    for age in ages:
        by_age[age] = OpenRequest(age, str(age), age, f"r{age}", attempts=1)
        requests.add(by_age[age])
    return requests, by_age


def ages(found: list[OpenRequest]) -> list[int]:
    return [request.age for request in found]


def test_the_oldest_are_looked_for_first_in_whatever_order_they_were_added() -> None:
    requests, _ = opened(3, 1, 2)
    assert ages(requests.to_look_for(0, most=2)) == [1, 2]
    assert ages(requests.to_look_for(0, most=2)) == [3]
    assert requests.to_look_for(0, most=2) == []


def test_what_was_not_there_comes_later_and_later_and_before_what_is_younger() -> None:
    requests, by_age = opened(1, 2)
    (first,) = requests.to_look_for(0, most=1)
    requests.look_again(first, 0)
    assert ages(requests.to_look_for(0.1, most=9)) == [2]
    assert ages(requests.to_look_for(1, most=9)) == [1]
    requests.look_again(by_age[2], 1)
    requests.look_again(first, 1)
    assert ages(requests.to_look_for(1.4, most=9)) == [2]
    assert ages(requests.to_look_for(30, most=9)) == [1]


def test_only_what_younger_ones_have_overtaken_is_asked_about() -> None:
    requests, by_age = opened(1, 2, 3)
    assert requests.to_ask_about(0, is_silent=False) is None
    requests.settled(by_age[2])
    requests.remove(by_age[2])
    assert requests.to_ask_about(0, is_silent=False) is by_age[1]
    assert requests.to_ask_about(0, is_silent=False) is None
    requests.ask_again(by_age[1], at=5)
    assert requests.to_ask_about(4, is_silent=False) is None
    assert requests.to_ask_about(5, is_silent=False) is by_age[1]


def test_when_nothing_comes_the_oldest_is_asked_about() -> None:
    requests, by_age = opened(1, 2)
    assert requests.to_ask_about(0, is_silent=True) is by_age[1]


def test_what_came_to_nobody_is_asked_about_at_once_until_one_still_waits() -> None:
    requests, by_age = opened(1, 2, 3)
    requests.mark_unwatched()
    by_age[4] = OpenRequest(4, "4", 4, "r4", attempts=1)
    requests.add(by_age[4])
    assert [requests.is_unwatched(each) for each in by_age.values()] == [True, True, True, False]
    assert requests.to_ask_about(0, is_silent=False) is by_age[1]
    assert requests.to_ask_about(0, is_silent=False) is by_age[2]
    requests.still_comes()
    assert requests.to_ask_about(0, is_silent=False) is None
    requests.settled(by_age[4])
    assert requests.to_ask_about(0, is_silent=False) is by_age[3]


def test_a_request_has_one_end() -> None:
    requests, by_age = opened(1)
    assert requests.find("r1") is by_age[1]
    assert requests.remove(by_age[1]) is True
    assert requests.remove(by_age[1]) is False
    assert requests.find("r1") is None
    assert requests.to_look_for(0, most=9) == []
    assert len(requests) == 0
