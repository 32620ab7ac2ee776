"""What a disk does to the queue: nothing altered is given out, nothing is lost without a word, and the rest goes on."""

import asyncio
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from tests.unit.harness.request_queue.storages import SqliteStorage
from truss_async.harness.request_queue import (
    ClaimedRequest,
    RequestQueue,
    RequestQueueError,
    SqliteRequestQueue,
)
from truss_async.harness.request_queue.protocol import VanishedQueueError

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
REQUESTS = 60
DAMAGES = 48
KILLED = textwrap.dedent("""
    import asyncio, os, sys
    from datetime import datetime, timezone
    from pathlib import Path
    from tests.unit.harness.request_queue.driver import QueueDriver
    from tests.unit.harness.request_queue.storages import SqliteStorage
    from tests.unit.harness.request_queue.test_damage import REQUESTS, model_input
    driver = QueueDriver(SqliteStorage(Path(sys.argv[1])), now=datetime(2026, 1, 1, tzinfo=timezone.utc))
    for number in range(REQUESTS):
        if number == REQUESTS // 2 and sys.argv[2] == "half":
            driver.run(lambda queue: asyncio.sleep(0.6))
        driver.enqueue(f"r{number}", model_input=model_input(number), priority=number % 3)
    os._exit(9)
""")


def model_input(number: int) -> bytes:
    return b'"' + f"{number:03d}".encode() * (10, 300, 3000)[number % 3] + b'"'


@pytest.fixture(scope="module", params=["all of it in the log", "half"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a queue with requests, as its owner left it that was killed."""
    folder = tmp_path_factory.mktemp("killed")
    root = Path(__file__).parents[4]
    command = [sys.executable, "-c", KILLED, str(folder / "queue.sqlite3"), str(request.param)]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, check=False)
    assert done.returncode == 9
    return folder


def flip_bytes(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def overwrite_page(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    page = chance.randrange(max(1, len(content) // 4096)) * 4096
    content[page : page + 4096] = chance.choice([bytes(4096), chance.randbytes(4096)])
    file.write_bytes(content)


def cut_off(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: chance.randrange(len(content))])


class Opened:
    """A queue on files that were damaged, and what it said of them."""

    def __init__(self, folder: Path) -> None:
        self.reports: list[str] = []
        storage = SqliteStorage(folder / "queue.sqlite3", report=self.reports.append)
        self.driver = QueueDriver(storage, now=START)

    def claim_all(self) -> dict[str, ClaimedRequest]:
        found: dict[str, ClaimedRequest] = {}
        while claimed := self.driver.run(lambda queue: queue.claim(DEPLOYMENT, limit=7, now=START)):
            found.update({each.request_id: each for each in claimed})
        return found


@pytest.mark.parametrize("file", ["queue.sqlite3", "queue.sqlite3-wal"])
def test_whatever_is_damaged_nothing_altered_is_served_nothing_lost_in_silence_and_the_rest_goes_on(
    killed: Path, tmp_path: Path, file: str
) -> None:
    for seed in [random.randrange(2**32) for _ in range(DAMAGES // 4)]:
        print("seed", seed)
        chance = random.Random(seed)
        folder = tmp_path / str(seed)
        shutil.copytree(killed, folder)
        damage: Callable[[Path, random.Random], None] = chance.choice([flip_bytes, overwrite_page, cut_off])
        damage(folder / file, chance)
        check_what_is_left(folder)


def check_what_is_left(folder: Path) -> None:
    try:
        opened = Opened(folder)
    except RequestQueueError as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert str(folder / "queue.sqlite3") in told
        return
    with opened.driver as driver:
        driver.enqueue("new", model_input=b"1")
        found = opened.claim_all()
        whole = {name: each for name, each in found.items() if each.damage is None}
        assert whole.pop("new").model_input == b"1"
        for name, each in whole.items():
            expected = driver.request(name, model_input=model_input(int(name[1:])))
            assert (each.model_input, each.accepted) == (expected.model_input, expected.accepted)
        assert len(whole) == REQUESTS or opened.reports


@pytest.mark.parametrize("is_open", [False, True])
def test_a_name_in_the_schema_that_is_no_text_is_damage_as_any_other(
    killed: Path, tmp_path: Path, is_open: bool
) -> None:
    folder = tmp_path / "names"
    shutil.copytree(killed, folder)
    opened = Opened(folder)
    with opened.driver as driver:
        if not is_open:
            driver.run(lambda queue: queue.close())
        file = folder / "queue.sqlite3"
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = CAST(replace(CAST(sql AS BLOB), 'KEY, body', x'4b4559ce2020626f6479') AS TEXT)"
                " WHERE name = 'model_inputs'"
            )
            version = connection.execute("PRAGMA schema_version").fetchone()[0]
            connection.execute(f"PRAGMA schema_version = {version + 1}")
        if is_open:
            driver.enqueue("new")
            assert "a name in it is no text" in opened.reports[0]
            assert "new" in opened.claim_all()
        else:
            check_what_is_left(folder)


def test_a_log_that_was_cut_off_is_told_of_with_where_what_is_left_is_kept(
    killed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(killed, folder)
    log = folder / "queue.sqlite3-wal"
    left = log.read_bytes()[:-20_000]
    log.write_bytes(left)
    opened = Opened(folder)
    with opened.driver:
        (report,) = opened.reports
        assert "was damaged or cut off" in report
        assert (folder / "queue-damaged-1.sqlite3-wal").read_bytes() == left
        assert 0 < len(opened.claim_all()) < REQUESTS


def test_a_database_that_is_gone_from_beside_its_log_is_told_of(killed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    shutil.copytree(killed, folder)
    (folder / "queue.sqlite3").write_bytes(b"")
    opened = Opened(folder)
    with opened.driver:
        assert "are lost" in opened.reports[0]
    assert (folder / "queue-damaged-1.sqlite3-wal").stat().st_size > 0


def test_a_kill_that_damages_nothing_is_not_taken_for_damage(killed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    shutil.copytree(killed, folder)
    opened = Opened(folder)
    with opened.driver:
        assert len(opened.claim_all()) == REQUESTS
        assert opened.reports == []
    assert sorted(each.name for each in folder.iterdir()) == ["queue.sqlite3"]


def test_a_name_of_a_column_that_the_disk_has_altered_is_told_of_at_the_start(tmp_path: Path) -> None:
    with Opened(tmp_path).driver as driver:
        driver.enqueue("a")
    file = tmp_path / "queue.sqlite3"
    content = file.read_bytes()
    assert content.count(b"expires_at INTEGER") == 1
    file.write_bytes(content.replace(b"expires_at INTEGER", b"expirer_at INTEGER"))
    with pytest.raises(RequestQueueError, match=re.escape(str(file))):
        Opened(tmp_path)
    assert file.read_bytes().count(b"expirer_at INTEGER") == 1


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path)
    with opened.driver:
        yield opened


def execute(opened: Opened, statement: str) -> None:
    assert isinstance(opened.driver.queue, SqliteRequestQueue)
    with closing(sqlite3.connect(opened.driver.queue._database._path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM model_inputs WHERE seq = 2",
        "UPDATE model_inputs SET body = x'31' WHERE seq = 2",
        "UPDATE model_inputs SET body = 'text' WHERE seq = 2",
        "UPDATE model_inputs SET body = (SELECT body FROM model_inputs WHERE seq = 1) WHERE seq = 2",
        "UPDATE requests SET request = replace(request, 'hook', 'book') WHERE seq = 2",
        "UPDATE requests SET request = CAST(x'ff00fe' AS TEXT) WHERE seq = 2",
        "UPDATE requests SET priority = 'high' WHERE seq = 2",
        "UPDATE requests SET created_at = 9e300 WHERE seq = 2",
        "UPDATE requests SET attempts = 'none', input_checksum = 'none' WHERE seq = 2",
    ],
)
def test_a_damaged_request_fails_with_its_reason_and_the_others_go_on(opened: Opened, change: str) -> None:
    driver = opened.driver
    for number in range(3):
        driver.enqueue(f"r{number}", model_input=model_input(number))
    execute(opened, change)
    found = opened.claim_all()
    assert [name for name, each in found.items() if each.damage is None] == ["r0", "r2"]
    assert "damaged" in (found["r1"].damage or "")
    assert len(opened.reports) == 1
    assert driver.finish("r1", failed=True)
    assert driver.statuses("r1")[0] == "FAILED"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM model_outputs",
        "UPDATE model_outputs SET body = x'31'",
        "UPDATE requests SET errors = '[]', status = 'SUCCEEDED', result_checksum = 1",
    ],
)
def test_of_a_damaged_result_a_failure_is_delivered(opened: Opened, change: str) -> None:
    driver = opened.driver
    driver.enqueue("a")
    driver.claim()
    driver.finish("a")
    execute(opened, change)
    (due,) = driver.claim_deliveries()
    assert (due.data, [each.code for each in due.errors]) == (None, ["INTERNAL_SERVER_ERROR"])
    assert driver.run(lambda queue: queue.claimed_delivery("a")) == due
    assert driver.deliver("a")
    assert driver.statuses("a") == ("FAILED", "SUCCEEDED")


def test_a_result_whose_receiver_is_damaged_is_sent_nowhere(opened: Opened) -> None:
    driver = opened.driver
    for name in "ab":
        driver.enqueue(name)
    driver.claim()
    for name in "ab":
        driver.finish(name)
    execute(opened, "UPDATE requests SET request = replace(request, 'hook', 'book') WHERE request_id = 'a'")
    assert [due.request_id for due in driver.claim_deliveries()] == ["b"]
    assert driver.statuses("a") == ("FAILED", "FAILED")


def test_a_page_that_is_found_damaged_while_the_queue_is_at_work_costs_what_was_on_it_alone(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.harness.request_queue.salvage.MAX_CHECKED_BYTES", -1)  # so it is large
    driver = opened.driver
    for number in range(REQUESTS):
        driver.enqueue(f"r{number}", model_input=model_input(number))
    driver.run(lambda queue: queue.close())
    file = tmp_path / "queue.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        pages = connection.execute("SELECT max(rootpage) FROM sqlite_master").fetchone()[0]
    content = bytearray(file.read_bytes())
    for page in range(pages + 2, len(content) // 4096, 6):
        content[page * 4096 : page * 4096 + 100] = bytes(100)
    file.write_bytes(content)
    driver.queue = driver._open()
    found = opened.claim_all()
    whole = [name for name, each in found.items() if each.damage is None]
    assert len(whole) > REQUESTS / 3
    assert all(found[name].model_input == model_input(int(name[1:])) for name in whole)
    assert opened.reports
    assert (tmp_path / "queue-damaged-1.sqlite3").exists()
    driver.enqueue("new")
    assert driver.claim() == ["new"]


def damaged_and_large(opened: Opened, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open it again with a page of zeros in it, on a file that there is no time to look through at opening."""
    monkeypatch.setattr("truss_async.harness.request_queue.salvage.MAX_CHECKED_BYTES", -1)
    driver = opened.driver
    for number in range(REQUESTS):
        driver.enqueue(f"r{number}", model_input=model_input(number))
    driver.run(lambda queue: queue.close())
    content = bytearray(file.read_bytes())
    page = content.index(model_input(3)) // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    file.write_bytes(content)
    driver.queue = driver._open()
    assert not opened.reports


def test_a_large_file_is_looked_through_while_it_is_at_work(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged_and_large(opened, tmp_path / "queue.sqlite3", monkeypatch)
    opened.driver.enqueue("meanwhile", priority=-1)
    opened.driver.run(lambda queue: queue.check())
    assert "was damaged" in opened.reports[0]
    assert (tmp_path / "queue-damaged-1.sqlite3").exists()
    assert opened.driver.claim(1) == ["meanwhile"]
    opened.driver.run(lambda queue: queue.check())
    assert len(opened.reports) == 1


def test_what_is_asked_for_while_a_file_is_mended_waits_and_is_done(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged_and_large(opened, tmp_path / "queue.sqlite3", monkeypatch)
    database = opened.driver.queue._database  # type: ignore[attr-defined]
    salvage, begun, go_on = database._salvage, asyncio.Event(), threading.Event()
    loop = opened.driver._loop

    def slowly(error: Exception) -> tuple[str, int]:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(30)
        return salvage(error)  # type: ignore[no-any-return]

    monkeypatch.setattr(database, "_salvage", slowly)

    async def go_away_in_the_middle(queue: RequestQueue) -> None:
        checking = asyncio.create_task(queue.check())
        await asyncio.wait_for(begun.wait(), 30)
        checking.cancel()
        asked = asyncio.create_task(queue.claim(DEPLOYMENT, limit=1, now=START))
        await asyncio.sleep(0)
        go_on.set()
        (claimed,) = await asyncio.wait_for(asked, 30)
        assert claimed.request_id == "r0"
        with pytest.raises(asyncio.CancelledError):
            await checking

    opened.driver.run(go_away_in_the_middle)
    assert sum("the damaged file is kept" in each for each in opened.reports) == 1


def test_a_whole_file_and_one_that_cannot_be_looked_at_are_left_alone(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.harness.request_queue.salvage.MAX_CHECKED_BYTES", -1)
    for is_there in (True, False):
        opened.driver.reopen()
        if not is_there:
            (tmp_path / "queue.sqlite3").unlink()
        opened.driver.run(lambda queue: queue.check())
    assert not opened.reports
    assert not list(tmp_path.glob("*damaged*"))


def test_a_large_file_that_cannot_be_mended_is_told_of(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged_and_large(opened, tmp_path / "queue.sqlite3", monkeypatch)
    (tmp_path / "queue.sqlite3-salvaged").mkdir()  # where the new one would be made
    opened.driver.run(lambda queue: queue.check())
    assert "it cannot be mended" in opened.reports[0]
    assert "it cannot be mended" in (opened.driver.queue.health().error or "")


def test_a_request_that_is_on_no_readable_page_has_failed_if_an_index_knows_it(
    tmp_path: Path, killed: Path
) -> None:
    folder = tmp_path / "leaf"
    shutil.copytree(killed, folder)
    with Opened(folder).driver:
        pass
    file = folder / "queue.sqlite3"
    content = bytearray(file.read_bytes())
    page = content.index(b'"https://example.com/hook"') // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    file.write_bytes(content)
    opened = Opened(folder)
    with opened.driver as driver:
        (report,) = opened.reports
        found = opened.claim_all()
        lost = {f"r{number}" for number in range(REQUESTS)} - found.keys()
        assert lost
        assert f"{len(lost)} were lost" in report
        assert {driver.statuses(name) for name in lost} == {("FAILED", "FAILED")}


def test_a_request_that_ended_its_owner_without_a_word_is_counted_and_one_that_was_stopped_is_not(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(tmp_path / "queue.sqlite3")
    for expected in (1, 2):
        with QueueDriver(storage, now=START) as driver:
            if expected == 1:
                driver.enqueue("a")
                driver.claim()
            else:
                assert driver.take_over() == ["a"]
                assert driver.run(lambda queue: queue.resume("a")) is not None
            storage.kill()
        with QueueDriver(storage, now=START) as driver:
            driver.take_over()
            storage.kill()  # while it waits, and is not run
        with QueueDriver(storage, now=START) as driver:
            (waiting,) = driver.run(lambda queue: queue.take_over(DEPLOYMENT, now=START))
            assert waiting.interruptions == expected
            claimed = driver.run(lambda queue: queue.resume("a"))
            assert claimed is not None
            assert claimed.interruptions == expected
            driver.reopen()
            (waiting,) = driver.run(lambda queue: queue.take_over(DEPLOYMENT, now=START))
            assert waiting.interruptions == expected


def counted(opened: Opened) -> dict[str, int]:
    """The damaged requests, by what of them was."""
    return {what: number for what, number in opened.driver.queue.health().damaged_requests.items() if number}


def test_damage_is_counted_once_by_what_of_the_request_it_struck(opened: Opened) -> None:
    driver = opened.driver
    for number in range(4):
        driver.enqueue(f"r{number}", model_input=model_input(number))
    assert opened.driver.queue.health().error is None
    assert counted(opened) == {}
    execute(opened, "UPDATE model_inputs SET body = x'31' WHERE seq = 2")
    # What makes no text fails the first reading, and is read again: it is found twice, and counts once.
    execute(opened, "UPDATE requests SET request = CAST(x'ff00fe' AS TEXT) WHERE seq = 3")
    assert len(opened.claim_all()) == 4
    assert counted(opened) == {"input": 1, "request": 1}
    assert len(opened.reports) == 2
    driver.finish("r0")
    execute(opened, "UPDATE model_outputs SET body = x'31'")
    assert len(driver.claim_deliveries()) == 1
    assert driver.run(lambda queue: queue.claimed_delivery("r0")) is not None
    assert counted(opened) == {"input": 1, "request": 1, "result": 1}


def test_what_a_damaged_file_and_a_damaged_log_cost_is_told_until_what_is_kept_aside_is_removed(
    killed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(killed, folder)
    log = folder / "queue.sqlite3-wal"
    log.write_bytes(log.read_bytes()[:-20_000])
    opened = Opened(folder)
    with opened.driver as driver:
        assert driver.queue.health().lost_log_pages > 0
        assert driver.queue.health().kept_aside == ["queue-damaged-1.sqlite3-wal"]
    file = folder / "queue.sqlite3"
    content = bytearray(file.read_bytes())
    page = content.index(b'"https://example.com/hook"') // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    file.write_bytes(content)
    again = Opened(folder)
    with again.driver as driver:
        health = driver.queue.health()
        assert health.lost_log_pages == 0  # it is the former start's
        assert health.damaged_requests["all"] > 0
        assert health.kept_aside == ["queue-damaged-1.sqlite3-wal", "queue-damaged-2.sqlite3"]
        for name in health.kept_aside:
            (folder / name).unlink()
        assert driver.queue.health().kept_aside == []


def test_a_file_that_cannot_be_mended_is_told_of_each_time_with_what_to_do(
    opened: Opened, tmp_path: Path
) -> None:
    driver = opened.driver
    driver.enqueue("a")
    execute(opened, "DROP TABLE model_inputs")
    (tmp_path / "queue.sqlite3-salvaged").mkdir()  # where the new one would be made
    for _ in range(2):
        with pytest.raises(RequestQueueError, match=r"it cannot be mended: .*move the file away") as refused:
            driver.claim()
        assert refused.value.is_lasting
        assert driver.queue.health().error == str(refused.value)


@pytest.mark.parametrize("what", ["the folder", "the file", "the file, and another is there"])
def test_what_is_taken_away_while_the_queue_is_open_is_noticed_before_anything_is_accepted(
    tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    opened = Opened(folder)
    with opened.driver as driver:
        driver.enqueue("a")
        shutil.rmtree(folder) if what == "the folder" else (folder / "queue.sqlite3").unlink()
        if what.endswith("there"):
            (folder / "queue.sqlite3").touch()
        for name in "bc":
            with pytest.raises(VanishedQueueError, match=r"no longer exists; .*restore the state folder"):
                driver.enqueue(name)
        assert "no longer exists" in (driver.queue.health().error or "")
    assert len(opened.reports) == 1


def test_a_state_folder_that_is_put_back_is_gone_on_with(opened: Opened, tmp_path: Path) -> None:
    driver = opened.driver
    driver.enqueue("a")
    away = tmp_path / "away"
    (tmp_path / "queue.sqlite3").rename(away)
    with pytest.raises(VanishedQueueError):
        driver.enqueue("b")
    away.rename(tmp_path / "queue.sqlite3")
    assert driver.claim() == ["a"]
    assert driver.queue.health().error is None
