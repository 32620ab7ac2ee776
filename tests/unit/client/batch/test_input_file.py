"""Inputs become one local file, in which lines are found again."""

import gzip
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from truss_async.client.batch.input_file import (
    LineFile,
    LocationError,
    digest_of,
    is_plain,
    local_copy,
    opened,
    publish,
    read_lines,
)
from truss_async.errors import SettingsError


def test_lines_are_found_again_whatever_their_ends_are(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n"\xc3\xa9"\n[3]')
    seen: list[bytes] = []
    found = list(read_lines(str(file), note=seen.append))
    assert [(place.number, raw) for place, raw in found] == [
        (1, b'{"a": 1}'),
        (4, b'"\xc3\xa9"'),
        (5, b"[3]"),
    ]
    assert b"".join(seen) == file.read_bytes()
    lines = LineFile(file)
    assert [lines.read(place) for place, _ in reversed(found)] == [raw for _, raw in reversed(found)]
    lines.close()


def test_an_input_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("1\n2\n")
    (_, (second, _)) = read_lines(str(file), note=lambda _: None)
    file.write_text("1\n3\n")
    lines = LineFile(file)
    with pytest.raises(LocationError, match="line 2 is another one"):
        lines.read(second)
    lines.close()


@pytest.mark.parametrize(
    ("location", "plain"),
    [("a.jsonl", True), ("a.jsonl.gz", False), ("a.zst", False), ("s3://b/a.jsonl", False), ("-", False)],
)
def test_only_a_local_file_as_it_is_counts_as_plain(location: str, plain: bool) -> None:
    assert is_plain(location) is plain


def test_packed_inputs_urls_and_standard_input_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, copy = b"1\n2\n", tmp_path / "copy"
    (tmp_path / "in.gz").write_bytes(gzip.compress(content))
    (tmp_path / "in").write_bytes(content)
    standard: Any = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", standard)
    for source in (str(tmp_path / "in.gz"), (tmp_path / "in").as_uri(), "-"):
        assert local_copy(source, copy) == copy
        assert copy.read_bytes() == content
        copy.unlink()
    assert local_copy(str(tmp_path / "in"), copy) == tmp_path / "in"
    assert not copy.exists()


def test_an_input_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*nothing\.jsonl: No such file"):
        digest_of(tmp_path / "nothing.jsonl")
    with pytest.raises(LocationError, match=r"cannot read .*nothing\.gz"):
        local_copy(str(tmp_path / "nothing.gz"), tmp_path / "copy")


PACKED = (".gz", ".bz2", ".xz", ".zst")


@pytest.mark.parametrize("name", ["out.jsonl", *(f"out.jsonl{suffix}" for suffix in PACKED)])
@pytest.mark.parametrize("is_url", [False, True])
def test_an_output_is_published_as_its_name_says(tmp_path: Path, name: str, is_url: bool) -> None:
    source, target = tmp_path / "source", tmp_path / name
    source.write_bytes(b"1\n")
    publish(source, target.as_uri() if is_url else str(target))
    assert (target.read_bytes() == b"1\n") is (name == "out.jsonl")
    with opened(str(target), "rb") as file:
        assert file.read() == b"1\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["source", name])


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: b"no such thing" + whole])
def test_a_damaged_input_is_one_line(tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3000))
    target = tmp_path / f"in{suffix}"
    publish(source, str(target))
    target.write_bytes(damage(target.read_bytes()))
    with pytest.raises(LocationError, match=rf"cannot read .*in{suffix}: "):
        local_copy(str(target), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
