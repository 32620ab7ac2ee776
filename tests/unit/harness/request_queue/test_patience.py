"""How long a queue that does not answer is asked again, and how often that is told."""

import asyncio

import pytest

from truss_async.harness.request_queue import RequestQueueError, until_stored
from truss_async.harness.request_queue.protocol import DamagedQueueError


async def refused(error: RequestQueueError, *, times: int) -> tuple[list[float], list[str]]:
    pauses, reports, left = list[float](), list[str](), [error] * times

    async def operation() -> str:
        if left:
            raise left.pop()
        return "stored"

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    assert await until_stored(operation, pause=pause, report=reports.append) == "stored"
    return pauses, reports


@pytest.mark.parametrize(
    ("error", "pauses", "told"),
    [
        (RequestQueueError("the disk is full"), [1, 1, 1, 1, 2, 4, 8, 16, 16, 16, 16], 8),
        (DamagedQueueError("the disk is broken"), [16] * 11, 11),
    ],
)
def test_what_does_not_pass_is_asked_for_ever_less_often_and_told_again(
    error: RequestQueueError, pauses: list[float], told: int
) -> None:
    assert asyncio.run(refused(error, times=11)) == (pauses, [str(error)] * told)
