"""Files that cannot be what they are to be are refused before anything is sent."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from truss_async.client.batch import BatchSettings
from truss_async.client.batch.input_file import LocationError, local_copy, publish, read_lines
from truss_async.client.batch.locations import check_locations
from truss_async.client.batch.opening import OpenBatch
from truss_async.client.batch.run_lock import RunLock
from truss_async.client.batch.settings import BatchFiles
from truss_async.client.batch.survey import survey
from truss_async.errors import SettingsError


def settings(folder: Path, **given: Any) -> BatchSettings:
    paths = {
        name: value if "://" in value or value.startswith("/") or value == "-" else str(folder / value)
        for name, value in {"input": "in.jsonl", "out": "out.jsonl", **given}.items()
    }
    return BatchSettings(url="http://127.0.0.1:1", receive=True, **paths)


def check(folder: Path, **given: Any) -> None:
    asked = settings(folder, **given)
    check_locations(asked, BatchFiles(asked))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"out": "in.jsonl"}, r"the input and --out are one file, .*in\.jsonl; give each a name of its own"),
        ({"out": "x/../in.jsonl"}, "the input and --out are one file"),
        ({"out": "link.jsonl"}, "the input and --out are one file"),
        ({"input": "a.jsonl.gz", "out": "a.jsonl.gz"}, "the input and --out are one file"),
        ({"errors": "in.jsonl"}, "the input and --errors are one file"),
        ({"ledger": "in.jsonl"}, "the input and --ledger are one file"),
        ({"errors": "out.jsonl"}, "--out and --errors are one file"),
        ({"ledger": "out.jsonl"}, "--out and --ledger are one file"),
        ({"errors": "out.jsonl.ledger"}, "--errors and --ledger are one file"),
        ({"input": "s3://b/x", "out": "s3://b/x"}, "the input and --out are one file"),
        ({"out": "folder"}, "--out .*folder is a folder"),
        ({"errors": "folder"}, "--errors .*folder is a folder"),
        ({"ledger": "folder"}, "--ledger .*folder is a folder"),
        ({"out": "-", "ledger": "l"}, "--out cannot be a stream"),
        ({"out": "s3x://b/out"}, "--out s3x://b/out cannot be written: s3x:// is not a supported output store; supported are .*s3://"),
        ({"errors": "http://h/e"}, "--errors http://h/e cannot be written: http:// is for reading"),
        ({"out": "locked/new/out.jsonl", "ledger": "l"}, r"--out .*out\.jsonl cannot be written: .*locked is read-only"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_in_the_end_is_refused_at_once(
    given: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.jsonl").write_text("1\n")
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked").mkdir()
    allowed = os.access
    # Who is root may write anywhere but on what is mounted to be read.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and allowed(path, mode))
    with pytest.raises(SettingsError, match=said):
        check(tmp_path, **given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"out": "new/folder/out.jsonl.gz"},
        {"input": "-"},
        {"out": "s3://bucket/out.jsonl"},
        {"input": "s3://b/x", "out": "s3://b/y"},
    ],
)
def test_what_can_be_written_is_not_made_yet(given: dict[str, str], tmp_path: Path) -> None:
    check(tmp_path, **given)
    assert list(tmp_path.iterdir()) == []


def test_a_store_whose_library_is_missing_is_known_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smart_open import transport

    def missing(scheme: str) -> None:
        raise ImportError(f"no library for {scheme}")

    monkeypatch.setattr(transport, "get_transport", missing)
    with pytest.raises(
        SettingsError, match=r"--out s3://b/out cannot be written: s3:// needs pip install 'smart_open\[s3\]'"
    ):
        check(tmp_path, out="s3://b/out")


@pytest.mark.parametrize(
    ("beginning", "said"),
    [
        (b"\x1f\x8b\x08", "compressed by gzip; let its name end with .gz"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"PAR1", "Parquet"),
        (b"PK\x03\x04", "ZIP"),
        ('{"a": 1}\n'.encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_of_another_kind_is_told_as_a_whole(beginning: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(beginning)
    with pytest.raises(SettingsError, match=rf"in\.jsonl holds no lines of JSON in UTF-8: it is .*{said}"):
        OpenBatch(settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"], "nothing is left of it"


def test_a_look_tells_ids_that_occur_twice(tmp_path: Path) -> None:
    lines = ['{"custom_id": "a", "model_input": 1}', "2", '{"custom_id": "a", "model_input": 3}']
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, '{"custom_id": "line-2", "model_input": 4}']))
    asked = settings(tmp_path)
    found = survey(asked.input, asked)
    assert (found.lines, found.bad) == (4, 2)
    assert found.problems == (
        (3, "its custom_id 'a' is that of line 1, too; each line needs its own"),
        (4, "its custom_id 'line-2' is that of line 2, too; each line needs its own"),
    )


def test_a_line_that_is_no_json_is_told_by_its_column_alone(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('1\n{"a": nope}\n')
    asked = settings(tmp_path)
    ((number, why),) = survey(asked.input, asked).problems
    assert (number, why) == (2, "it is not JSON: expected ident at column 8")


def test_a_pipe_is_read_once_and_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=["1\n2\n"])
    writer.start()
    copy = local_copy(str(tmp_path / "pipe"), tmp_path / "copy")
    writer.join()
    assert [raw for _, raw in read_lines(str(copy), note=lambda _: None)] == [b"1", b"2"]


def test_a_lock_that_cannot_be_made_says_what_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot write in .*file: .*; the ledger of a batch lies there"):
        RunLock(tmp_path / "file" / "out.ledger.lock", ledger=tmp_path / "file" / "out.ledger")


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_an_output_is_put_into_folders_that_are_made_and_is_kept_where_it_cannot_be(
    name: str, tmp_path: Path
) -> None:
    source = tmp_path / "rows"
    source.write_text("{}\n")
    publish(source, str(tmp_path / "new" / "folder" / name))
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [name]
    with pytest.raises(LocationError, match=r"cannot write .*; what is to be in it is kept in .*rows"):
        publish(source, str(source / name))
