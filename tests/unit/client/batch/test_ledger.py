"""What the ledger remembers, with real files."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from truss_async.client.batch.group_commits import GroupCommits, LedgerError
from truss_async.client.batch.input_file import Place, line_digest
from truss_async.client.batch.journal import NEVER_ANSWERED
from truss_async.client.batch.ledger import MOST_UNANSWERED, Begun, Entry, Ledger
from truss_async.client.batch.row_file import RowFile
from truss_async.errors import SettingsError


def entry(number: int, custom_id: str | None = None, refused: str | None = None) -> Entry:
    return Entry(Place(number, number * 10, 9, line_digest(b"")), custom_id or f"c{number}", refused)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "l", may_create=True)
    made.enter([entry(1), entry(3), entry(4)], values=lambda: {"digest": "d"})
    made.count()
    yield made
    made.close()


def begun(ledger: Ledger) -> Begun:
    found = ledger.begin(at=1.0)
    assert found is not None
    return found


def test_lines_are_begun_in_their_order_and_again_only_after_all_others(ledger: Ledger) -> None:
    first = begun(ledger)
    ledger.accepted(first.place.number, first.submission, "r1")
    ledger.put_back(first.place.number, first.submission, ended="failed")
    order = [begun(ledger) for _ in range(3)]
    assert [each.custom_id for each in order] == ["c3", "c4", "c1"]
    assert [each.attempts for each in order] == [0, 0, 1]
    assert ledger.begin(at=1.0) is None
    assert ledger.submissions == 4


def test_taking_a_line_does_not_go_through_all_the_others(tmp_path: Path) -> None:
    def steps(lines: int) -> int:
        """Of SQLite's machine, to begin a submission among so many lines that wait."""
        made = Ledger(tmp_path / f"{lines}", may_create=True)
        made.enter((entry(number) for number in range(1, lines + 1)), values=dict)
        made.count()
        taken: list[int] = []
        made.connection.set_progress_handler(lambda: taken.append(1), 1)
        begun(made)
        made.close()
        return len(taken)

    assert steps(3000) < 2 * steps(3)


def test_what_is_stored_is_there_for_the_next_process(ledger: Ledger) -> None:
    first = begun(ledger)
    assert ledger.accepted(first.place.number, first.submission, "r1")
    ledger.done(first.place.number, request_id="r1", start=0, length=5)
    second = begun(ledger)
    ledger.close()
    again = Ledger(ledger.path)
    again.count()
    assert dict(again.counts) == {"done": 1, "open": 1, "waiting": 1}
    assert again.value("digest") == "d"
    (left,) = again.open_lines()
    assert (left.number, left.submission, left.request_id) == (3, second.submission, None)
    again.close()
    ledger.connection = sqlite3.connect(":memory:")  # for the fixture to close


def test_an_unanswered_submission_is_counted_and_the_line_waits_again(ledger: Ledger) -> None:
    begun(ledger)
    (left,) = ledger.open_lines()
    ledger.give_back_unanswered(left, never=NEVER_ANSWERED)
    ledger.count()
    assert (ledger.waiting_now, ledger.submissions, ledger.unanswered) == (3, 1, 1)


def test_a_line_that_is_never_answered_is_given_up_in_the_end(ledger: Ledger) -> None:
    for _ in range(MOST_UNANSWERED * 3):
        begun(ledger)
        (left,) = ledger.open_lines()
        ledger.give_back_unanswered(left, never=NEVER_ANSWERED)
    assert ledger.begin(at=1.0) is None
    assert {each.code for each in ledger.failed_lines()} == {"LOST"}


def test_what_certainly_made_no_request_is_no_submission(ledger: Ledger) -> None:
    first = begun(ledger)
    ledger.put_back(first.place.number, first.submission, ended="put back")
    ledger.count()
    assert (ledger.submissions, ledger.waiting_now) == (0, 3)


def test_an_answer_that_comes_after_the_result_changes_nothing(ledger: Ledger) -> None:
    first = begun(ledger)
    assert ledger.line_of("unheard of", submission=first.submission) == 1
    ledger.done(1, request_id="r1", start=0, length=5)
    assert ledger.accepted(1, first.submission, "r1") is False
    assert ledger.failed(1, first.submission, code="LOST", message="") is False
    assert ledger.state(1) == "done"
    assert ledger.line_of("r1", submission=None) == 1


def test_the_failure_of_an_earlier_submission_is_not_that_of_the_line(ledger: Ledger) -> None:
    first = begun(ledger)
    ledger.put_back(1, first.submission, ended="unanswered")
    for _ in range(3):
        begun(ledger)
    assert ledger.failed(1, first.submission, code="LOST", message="") is False
    assert ledger.state(1) == "open"


def test_only_the_first_lines_are_begun_under_a_limit(ledger: Ledger) -> None:
    ledger.count(limit=2)
    assert ledger.waiting_now == 2
    assert [begun(ledger).custom_id for _ in range(2)] == ["c1", "c3"]
    assert ledger.begin(at=1.0) is None


def test_failed_lines_wait_again_by_kind(ledger: Ledger) -> None:
    for code in ("EXPIRED", "LOST", "MODEL_PREDICT_ERROR"):
        each = begun(ledger)
        ledger.failed(each.place.number, each.submission, code=code, message="m")
    assert ledger.reset_failed(["LOST"], others=False) == 1
    assert [each.code for each in ledger.failed_lines()] == ["EXPIRED", "MODEL_PREDICT_ERROR"]
    assert ledger.reset_failed(["EXPIRED", "LOST"], others=True) == 1
    assert [each.code for each in ledger.failed_lines()] == ["EXPIRED"]
    assert ledger.reset_failed([], others=True) == 1


def test_two_lines_with_one_custom_id_leave_nothing_behind(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", may_create=True)
    with pytest.raises(SettingsError, match="the custom_id 'a' is on line 2 and on line 5"):
        ledger.enter([entry(2, "a"), entry(4, "b"), entry(5, "a")], values=dict)
    assert not ledger.is_entered
    ledger.enter([entry(2, "a")], values=dict)
    ledger.close()


def test_a_line_that_was_refused_at_once_stands_as_failed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", may_create=True)
    ledger.enter([entry(1, refused="it is not JSON")], values=dict)
    ((failed),) = ledger.failed_lines()
    assert (failed.custom_id, failed.request_id, failed.code, failed.message) == (
        "c1",
        None,
        "REFUSED",
        "it is not JSON",
    )
    ledger.close()


def test_rows_beyond_the_end_of_the_file_are_open_again(ledger: Ledger) -> None:
    for start in (0, 6, 12):
        each = begun(ledger)
        ledger.accepted(each.place.number, each.submission, f"r{start}")
        ledger.done(each.place.number, request_id=f"r{start}", start=start, length=5)
    assert ledger.end_of_rows(size=100) == 18
    assert ledger.end_of_rows(size=17) == 12
    assert [line.request_id for line in ledger.open_lines()] == ["r12"]
    assert ledger.end_of_rows(size=0) == 0


@pytest.mark.parametrize("kind", ["absent", "text", "another database"])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "text":
        path.write_text("results of last year" * 100)
    if kind == "another database":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(LedgerError):
        Ledger(path, may_create=kind != "absent")
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.asyncio
async def test_what_cannot_be_written_is_neither_in_the_ledger_nor_in_the_file(
    ledger: Ledger, tmp_path: Path
) -> None:
    rows = RowFile(tmp_path / "out", is_durable=False)
    commits = GroupCommits(ledger.connection, files=[rows])
    await commits.run(lambda: rows.append(b"whole"))

    def fails() -> None:
        begun(ledger)
        rows.append(b"half")
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(LedgerError, match=r"out and the ledger: disk I/O error; nothing is lost"):
        await commits.run(fails)
    await commits.close()
    rows.close()
    assert (tmp_path / "out").read_bytes() == b"whole\n"
    assert ledger.open_lines() == []
