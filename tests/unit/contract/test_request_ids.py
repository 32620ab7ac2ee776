"""The ids of requests."""

from uuid import UUID

from truss_async.contract.request_ids import new_request_id


def test_an_id_is_a_random_uuid_in_hex() -> None:
    made = [new_request_id() for _ in range(200)]
    assert all(UUID(each).hex == each for each in made)
    assert {UUID(each).version for each in made} == {4}
    assert len(set(made)) == 200
