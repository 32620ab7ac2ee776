from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.unit.harness.scripted import settle
from tests.unit.harness.stage import FULL_DISK, Stage
from truss_async.harness.lease_keeper import LeaseKeeper
from truss_async.harness.request_queue import RequestQueueError
from truss_async.harness.request_queue.patience import PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio

LEASE = 15.0
THIRD = LEASE / 3


class WorkerDouble:
    def __init__(self) -> None:
        self.taken_over = 0
        self.dropped = 0

    async def take_over(self) -> None:
        self.taken_over += 1

    def drop(self) -> None:
        self.dropped += 1


class KeeperStage(Stage):
    def __init__(self) -> None:
        super().__init__()
        self.workers = [WorkerDouble(), WorkerDouble()]
        self.keeper = LeaseKeeper(
            queue=self.request_queue,
            lease_seconds=LEASE,
            workers=self.workers,
            activity=self.activity,
            report=self.reports.append,
        )

    @property
    def taken_over(self) -> list[int]:
        return [worker.taken_over for worker in self.workers]

    @property
    def dropped(self) -> list[int]:
        return [worker.dropped for worker in self.workers]

    async def renews(self, *, is_kept: bool = True) -> None:
        renew = await self.queue.takes("renew")
        assert renew.said == {"now": self.now}
        renew.answer(is_kept)
        await settle()

    async def cannot_renew(self) -> None:
        """The storage cannot be reached; it is asked again after a pause."""
        (await self.queue.takes("renew")).fail(RequestQueueError(FULL_DISK))
        await self.pass_time(PAUSE_SECONDS)


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[KeeperStage]:
    made = KeeperStage()
    task = made.activity.start(made.keeper.run())
    yield made
    task.cancel()
    (await made.queue.takes("give_back")).answer()
    await settle()
    assert task.cancelled()
    await made.activity.settle(patience_seconds=0)


async def test_the_lease_is_renewed_three_times_in_its_length_and_then_it_is_looked_after_others(
    stage: KeeperStage,
) -> None:
    for number in range(1, 8):
        assert stage.taken_over == [number - 1] * 2
        await stage.renews()
        assert stage.taken_over == [number] * 2
        await stage.pass_time(THIRD - 0.001)
        assert stage.queue.open == []
        await stage.pass_time(0.001)
    assert (stage.dropped, stage.reports) == ([0, 0], [])


async def test_a_lease_that_others_ended_is_told_of_and_the_work_is_dropped_before_theirs_is_taken_over(
    stage: KeeperStage,
) -> None:
    await stage.renews()
    await stage.pass_time(THIRD)
    await stage.renews(is_kept=False)
    assert (stage.dropped, stage.taken_over) == ([1, 1], [2, 2])
    assert [line for line in stage.reports if "had ended" in line] == stage.reports
    await stage.pass_time(THIRD)
    await stage.renews()
    assert (stage.dropped, stage.taken_over, len(stage.reports)) == ([1, 1], [3, 3], 1)


async def test_a_storage_that_is_back_in_time_costs_nothing(stage: KeeperStage) -> None:
    await stage.renews()
    await stage.pass_time(THIRD)
    for _ in range(9):
        await stage.cannot_renew()
    await stage.renews()
    assert (stage.dropped, stage.taken_over, stage.reports) == ([0, 0], [2, 2], [FULL_DISK])
    await stage.pass_time(THIRD)
    await stage.renews()
    assert stage.dropped == [0, 0]


@pytest.mark.parametrize("answers", [True, False], ids=["it refuses", "it hangs"])
async def test_what_cannot_be_renewed_is_dropped_at_the_end_of_the_lease_and_not_before(
    stage: KeeperStage, answers: bool
) -> None:
    await stage.renews()
    await stage.pass_time(THIRD)
    if answers:
        for _ in range(9):
            await stage.cannot_renew()
    else:
        await stage.pass_time(9)
    await stage.pass_time(0.999)
    assert stage.dropped == [0, 0]
    await stage.pass_time(0.001)
    assert stage.dropped == [1, 1]
    assert [line for line in stage.reports if "15 s" in line] == stage.reports[-1:]


async def test_the_lease_is_counted_from_before_the_storage_was_asked(stage: KeeperStage) -> None:
    renew = await stage.queue.takes("renew")
    await stage.pass_time(4)
    renew.answer(True)
    await stage.pass_time(THIRD)
    assert stage.queue.open == ["renew"]
    await stage.pass_time(LEASE - THIRD - 4 - 0.001)
    assert stage.dropped == [0, 0]
    await stage.pass_time(0.001)
    assert stage.dropped == [1, 1]


async def test_what_was_dropped_is_given_back_when_the_storage_can_be_reached_and_a_new_lease_begins(
    stage: KeeperStage,
) -> None:
    await stage.renews()
    await stage.pass_time(THIRD)
    for _ in range(10):
        await stage.cannot_renew()
    (await stage.queue.takes("give_back")).fail(RequestQueueError(FULL_DISK))
    await stage.pass_time(PAUSE_SECONDS)
    (await stage.queue.takes("give_back")).answer()
    await stage.renews(is_kept=False)
    assert (stage.dropped, stage.taken_over) == ([1, 1], [2, 2])
    await stage.pass_time(THIRD)
    await stage.renews()
    assert (stage.dropped, stage.taken_over) == ([1, 1], [3, 3])


async def test_a_renewal_that_is_answered_after_the_work_was_dropped_does_not_keep_it_from_others(
    stage: KeeperStage,
) -> None:
    await stage.renews()
    await stage.pass_time(THIRD)
    late = await stage.queue.takes("renew")
    await stage.pass_time(LEASE - THIRD)
    assert stage.dropped == [1, 1]
    late.answer(True)
    (await stage.queue.takes("give_back")).answer()
    await stage.renews(is_kept=False)
    assert (stage.dropped, stage.taken_over) == ([1, 1], [2, 2])


async def test_a_renewal_that_hangs_for_several_leases_is_told_of_once(stage: KeeperStage) -> None:
    await stage.renews()
    await stage.pass_time(THIRD)
    late = await stage.queue.takes("renew")
    await stage.pass_time(10 * LEASE)
    late.answer(False)
    await settle()
    assert (stage.dropped, len(stage.reports), stage.taken_over) == ([1, 1], 1, [2, 2])


async def test_who_takes_over_while_the_storage_fails_renews_before_he_tries_again(
    stage: KeeperStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> None:
        raise RequestQueueError(FULL_DISK)

    with monkeypatch.context() as patch:
        patch.setattr(stage.workers[1], "take_over", refused)
        await stage.renews()
    await stage.pass_time(PAUSE_SECONDS)
    await stage.renews()
    assert (stage.taken_over, stage.reports) == ([2, 1], [FULL_DISK])


async def test_the_end_is_no_failure_though_the_storage_cannot_be_reached() -> None:
    stage = KeeperStage()
    task = stage.activity.start(stage.keeper.run())
    await stage.renews()
    task.cancel()
    (await stage.queue.takes("give_back")).fail(RequestQueueError(FULL_DISK))
    await settle()
    assert task.cancelled()
    await stage.pass_time(10 * LEASE)
    assert (stage.dropped, stage.reports) == ([0, 0], [])
