"""What listen keeps: each result once, whole, inside its folder."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.full_disk import no_file_grows_beyond
from truss_async.client import Inbox
from truss_async.errors import OutputStoreError


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "made" / "inbox")


def test_a_result_is_kept_as_it_came(inbox: Inbox) -> None:
    assert inbox.keep("ab12", b'{"a": 1}')
    assert (inbox.folder / "ab12.json").read_bytes() == b'{"a": 1}'


def test_the_same_request_again_is_recognised_and_changes_nothing(inbox: Inbox) -> None:
    assert inbox.keep("ab12", b"first")
    assert not inbox.keep("ab12", b"second")
    assert not Inbox(inbox.folder).keep("ab12", b"after a restart")
    assert inbox.path_of("ab12").read_bytes() == b"first"


def test_of_many_threads_one_keeps_the_result(inbox: Inbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda number: inbox.keep("ab12", b"%d" % number), range(40)))
    assert kept.count(True) == 1
    assert [path.name for path in inbox.folder.iterdir()] == ["ab12.json"]


@pytest.mark.parametrize(
    "request_id", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\x00", "ä", "\ud800", "a" * 129]
)
def test_an_odd_request_id_stays_inside_the_folder(inbox: Inbox, request_id: str) -> None:
    assert inbox.keep(request_id, b"body")
    assert inbox.path_of(request_id).parent == inbox.folder
    assert inbox.path_of(request_id).name.startswith("sha256-")
    assert not inbox.keep(request_id, b"body")


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_id_leaves_the_folder(tmp_path: Path, request_id: str) -> None:
    path = Inbox(tmp_path).path_of(request_id)
    assert path.resolve().parent == tmp_path.resolve()
    assert len(path.name) <= 140


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputStoreError, match=r"cannot store a result in .*file"):
        Inbox(tmp_path / "file").keep("ab12", b"body")


def test_a_write_that_fails_leaves_nothing_behind(inbox: Inbox) -> None:
    with (
        no_file_grows_beyond(3),
        pytest.raises(OutputStoreError, match=r"cannot store a result in .*too large"),
    ):
        inbox.keep("ab12", b"body")
    assert list(inbox.folder.iterdir()) == []
