"""Looking through a file in a thread: what is found, and that it ends when nobody waits for it."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from truss_async.harness.request_queue import background_check
from truss_async.harness.request_queue.background_check import damage_in


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    file = tmp_path / "queue.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 100)
        connection.commit()
    content = bytearray(file.read_bytes())
    content[3 * 4096 : 4 * 4096] = bytes(4096)
    file.write_bytes(content)
    return file


def test_damage_is_found_and_a_whole_file_and_none_have_none(damaged: Path, tmp_path: Path) -> None:
    assert "malformed" in (asyncio.run(damage_in(damaged)) or "")
    whole = tmp_path / "whole.sqlite3"
    with closing(sqlite3.connect(whole)) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert asyncio.run(damage_in(whole)) is None
    assert asyncio.run(damage_in(tmp_path / "none.sqlite3")) is None
    assert not (tmp_path / "none.sqlite3").exists()


def test_what_is_no_database_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "queue.sqlite3"
    file.write_bytes(b"no database " * 1000)
    assert "not a database" in (asyncio.run(damage_in(file)) or "")


def test_who_is_stopped_before_or_in_the_middle_finds_nothing(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = background_check._Check(damaged)
    check.stop()
    assert check.run() is None
    check.stop()

    check = background_check._Check(damaged)

    class StoppedAtWork(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            self.set_progress_handler(check.stop, 1)
            return super().execute(*arguments)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=StoppedAtWork))
    assert check.run() is None


def test_the_thread_ends_when_who_waits_is_cancelled_or_the_loop_is_closed(damaged: Path) -> None:
    async def leave(*, after_turns: int) -> None:
        looking = asyncio.create_task(damage_in(damaged))
        for _ in range(after_turns):
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    for turns in range(4):
        asyncio.run(leave(after_turns=turns))
    for thread in threading.enumerate():
        if thread.name == "truss-async-check":
            thread.join(30)
            assert not thread.is_alive()
