from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.unit.harness.scripted import settle
from tests.unit.harness.stage import FULL_DISK, Stage
from truss_async.harness.housekeeping import STATUS_KEPT, Housekeeping
from truss_async.harness.request_queue import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.harness.scripted import Call

pytestmark = pytest.mark.asyncio

ROUND = ("expire", "forget", "erase_kept", "next_expiry", "next_over", "next_erasure")
NOTHING: dict[str, Any] = {"expire": [], "forget": 0, "erase_kept": 0}
MINUTE = timedelta(minutes=1)


class HousekeepingStage(Stage):
    def __init__(self, *, keep_results: timedelta | None = None) -> None:
        super().__init__()
        self.housekeeping = Housekeeping(
            queue=self.request_queue,
            activity=self.activity,
            report=self.reports.append,
            keep_results=keep_results,
        )

    async def tidies(self, **following: datetime | None) -> dict[str, Call]:
        """Answer what is asked in one round; nothing was due."""
        calls = {}
        for name in ROUND:
            calls[name] = await self.queue.takes(name)
            calls[name].answer(NOTHING.get(name, following.get(name)))
        await settle()
        return calls

    async def is_at_rest(self) -> bool:
        await settle()
        return not self.queue.open


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[HousekeepingStage]:
    made = HousekeepingStage()
    async with made.running(made.housekeeping):
        yield made


async def test_at_the_start_what_fell_due_is_expired_and_forgotten(stage: HousekeepingStage) -> None:
    calls = await stage.tidies()
    assert calls["expire"].said["now"] == stage.now
    assert calls["forget"].said["over_before"] == stage.now - STATUS_KEPT
    assert await stage.is_at_rest()


async def test_what_fell_due_at_one_moment_is_dealt_with_in_slices(stage: HousekeepingStage) -> None:
    for name in NOTHING:
        for _ in range(3):
            call = await stage.queue.takes(name, expire=[], forget=0)
            limit = call.said["limit"]
            assert 0 < limit <= AT_ONCE
            call.answer([str(number) for number in range(limit)] if name == "expire" else limit)
    await stage.queue.takes("next_expiry", erase_kept=0)


async def test_when_others_are_looked_after_what_they_queued_expires_too(stage: HousekeepingStage) -> None:
    await stage.tidies(next_expiry=stage.now + MINUTE)
    await stage.housekeeping.take_over()
    calls = await stage.tidies()
    assert calls["expire"].said["now"] == stage.now
    stage.housekeeping.drop()
    assert await stage.is_at_rest()


@pytest.mark.parametrize(
    ("expiry", "over", "seconds"),
    [
        (90, None, 90),
        (None, -600, 3000),
        (90, -600, 90),
        (3599, -10, 3590),
        (None, None, 3600),
        (7200, 0, 3600),
    ],
)
async def test_it_looks_again_when_the_first_thing_is_due_and_not_before(
    stage: HousekeepingStage, expiry: float | None, over: float | None, seconds: float
) -> None:
    moments = [None if each is None else stage.now + timedelta(seconds=each) for each in (expiry, over)]
    await stage.tidies(next_expiry=moments[0], next_over=moments[1])
    await stage.pass_time(seconds - 0.001)
    assert await stage.is_at_rest()
    await stage.pass_time(0.001)
    assert stage.queue.open == ["expire"]


async def test_a_request_that_expires_before_all_others_is_not_overslept(stage: HousekeepingStage) -> None:
    await stage.tidies(next_expiry=stage.now + 10 * MINUTE)
    stage.housekeeping.note_expiry(stage.now + MINUTE)
    await stage.pass_time(59)
    assert await stage.is_at_rest()
    await stage.pass_time(1)
    assert stage.queue.open == ["expire"]


async def test_a_request_that_expires_after_others_wakes_nobody(stage: HousekeepingStage) -> None:
    await stage.tidies(next_expiry=stage.now + MINUTE)
    stage.housekeeping.note_expiry(stage.now + 2 * MINUTE)
    assert await stage.is_at_rest()
    await stage.pass_time(60)
    await stage.tidies(next_expiry=stage.now + MINUTE)
    assert await stage.is_at_rest()
    await stage.pass_time(60)
    assert stage.queue.open == ["expire"]


@pytest.mark.parametrize("during", ROUND)
async def test_an_expiry_that_is_noted_while_it_tidies_counts(stage: HousekeepingStage, during: str) -> None:
    """The queue may have been read before that request was in it."""
    for name in ROUND:
        call = await stage.queue.takes(name)
        if name == during:
            stage.housekeeping.note_expiry(stage.now + MINUTE)
        call.answer(NOTHING.get(name))
    await stage.pass_time(59)
    assert await stage.is_at_rest()
    await stage.pass_time(1)
    assert stage.queue.open == ["expire"]


async def test_what_expired_while_it_tidied_is_expired_at_once(stage: HousekeepingStage) -> None:
    call = await stage.queue.takes("expire")
    stage.housekeeping.note_expiry(stage.now + MINUTE)
    await stage.pass_time(60)
    call.answer([])
    await stage.queue.takes(
        "expire", forget=0, erase_kept=0, next_expiry=None, next_over=None, next_erasure=None
    )


@pytest.mark.parametrize("name", ROUND)
async def test_a_full_disk_is_told_of_once_and_what_is_due_is_done_when_there_is_room(
    stage: HousekeepingStage, name: str
) -> None:
    answers = {each: NOTHING.get(each) for each in ROUND}
    await stage.refuse(name, times=3, **answers)
    assert stage.reports == [FULL_DISK]
    stage.housekeeping.note_expiry(stage.now + MINUTE)
    (await stage.queue.takes(ROUND[-1], **answers)).answer(None)
    assert await stage.is_at_rest()
    await stage.pass_time(60)
    assert stage.queue.open == ["expire"]


@pytest.mark.parametrize("name", ROUND)
async def test_it_ends_when_it_is_cancelled_wherever_it_waits(name: str) -> None:
    stage = HousekeepingStage()
    async with stage.running(stage.housekeeping):
        before = ROUND[: ROUND.index(name)]
        call = await stage.queue.takes(name, **{each: NOTHING.get(each) for each in before})
    assert call.is_called_off
    assert stage.queue.open == []


@pytest.mark.parametrize(("kept", "seconds"), [(5, 5), (None, 600), (-1, 0)])
async def test_a_result_is_erased_when_its_time_is_over_and_new_ones_are_looked_after(
    kept: float | None, seconds: float
) -> None:
    """Kept for ten minutes: what is kept from now on is not erased before that."""
    stage = HousekeepingStage(keep_results=10 * MINUTE)
    async with stage.running(stage.housekeeping):
        await stage.tidies(next_erasure=None if kept is None else stage.now + timedelta(seconds=kept))
        if seconds:
            await stage.pass_time(seconds - 0.001)
            assert await stage.is_at_rest()
            await stage.pass_time(0.001)
        assert (await stage.tidies())["erase_kept"].said["now"] == stage.now
