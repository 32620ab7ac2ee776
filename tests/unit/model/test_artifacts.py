from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from truss_async.contract import ArtifactReference
from truss_async.errors import OutputError
from truss_async.model.artifacts import ArtifactWriter
from truss_async.model.file_parts import FilePart
from truss_async.model.output_json import OutputJson
from truss_async.stores import check_artifact_name
from truss_async.stores.bodies import read_body

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"


class Page(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    number: int
    read_at: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)
    image: Any = None


@dataclasses.dataclass
class Box:
    label: str
    crop: Any = None


class Pair(NamedTuple):
    left: Any
    right: Any


class Shelf:
    """Where the parts of one output are put."""

    def __init__(self) -> None:
        self.parts: dict[str, FilePart] = {}
        self.contents: dict[str, bytes] = {}

    def replace(self, output: Any) -> Any:
        return self.written(output).output

    def written(self, output: Any) -> OutputJson:
        return OutputJson(output, ArtifactWriter(self._put).reference)

    def _put(self, name: str, part: FilePart) -> ArtifactReference:
        self.parts[name] = part
        self.contents[name] = read_body(part.body)
        return ArtifactReference(url=f"memory://s/{name}", content_type=part.content_type, size_bytes=1)


def reference(name: str, content_type: str, original_name: str | None = None) -> dict[str, Any]:
    told = {"type": "artifact", "url": f"memory://s/{name}", "content_type": content_type, "size_bytes": 1}
    return told if original_name is None else {**told, "name": original_name}


@pytest.mark.parametrize(
    "output",
    [
        None,
        "text",
        {"a": [1, 2.5, (True, None)], "b": {"c": []}},
        Page(number=1),
        np.zeros((2, 2)),
        {"a": [np.float32(2), np.zeros(2)], 1.5: "x", None: 0, "b": (1,)},
        Pair(1, 2),
    ],
)
def test_an_output_without_artifacts_stays_the_very_same_object(output: Any) -> None:
    shelf = Shelf()
    assert shelf.replace(output) is output
    assert shelf.parts == {}


def test_each_artifact_is_named_by_its_place() -> None:
    shelf = Shelf()
    first = {"image": PNG}
    output = {"pages": [first, {"image": bytearray(PNG)}], "pair": Pair(memoryview(PNG), 3)}
    assert shelf.replace(output) == {
        "pages": [
            {"image": reference("pages-0-image.png", "image/png")},
            {"image": reference("pages-1-image.png", "image/png")},
        ],
        "pair": [reference("pair-0.png", "image/png"), 3],
    }
    assert first == {"image": PNG}


def test_names_never_collide_and_never_leave_the_folder() -> None:
    shelf = Shelf()
    shelf.replace({"a": {"b": PNG}, "a-b": PNG, "A-B": PNG, "../../x": PNG, "p.png": PNG, "": PNG, "🙂": PNG})
    assert len({name.lower() for name in shelf.parts}) == 7
    assert not [name for name in shelf.parts if "/" in name or name.startswith(".")]
    assert "p.png" in shelf.parts


TREES = st.recursive(
    st.just(PNG) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=200), inner, max_size=4),
    max_leaves=20,
)


def count_artifacts(output: Any) -> int:
    if isinstance(output, dict):
        return sum(count_artifacts(each) for each in output.values())
    if isinstance(output, list):
        return sum(count_artifacts(each) for each in output)
    return int(output == PNG)


@given(TREES)
def test_so_it_is_with_any_names_at_any_depth(output: Any) -> None:
    shelf = Shelf()
    shelf.replace(output)
    for name in shelf.parts:
        assert check_artifact_name(name) == name
    assert len({name.lower() for name in shelf.parts}) == count_artifacts(output)


@given(st.lists(st.text(max_size=200)))
def test_so_it_is_with_the_names_of_open_files(names: list[str]) -> None:
    shelf = Shelf()
    shelf.replace([FilePart(PNG, "image/png", name) for name in names])
    for name in shelf.parts:
        assert check_artifact_name(name) == name
    assert len({name.lower() for name in shelf.parts}) == len(names)


def test_an_open_file_is_stored_as_a_whole_and_left_open(tmp_path: Path) -> None:
    shelf, file = Shelf(), tmp_path / "scan.png"
    with file.open("wb+") as written, (tmp_path / "notes.txt").open("w") as text:
        written.write(PNG)
        text.write("h\u00e9")
        memory = io.BytesIO()
        memory.write(b"GIF89a")
        output = {"scan": written, "notes": text, "memory": memory, "text": io.StringIO("x")}
        assert shelf.replace(output) == {
            "scan": reference("scan.png", "image/png"),
            "notes": reference("notes.txt", "text/plain"),
            "memory": reference("memory.gif", "image/gif"),
            "text": reference("text.txt", "text/plain"),
        }
        assert not written.closed
    assert shelf.contents == {
        "scan.png": PNG,
        "notes.txt": "h\u00e9".encode(),
        "memory.gif": b"GIF89a",
        "text.txt": b"x",
    }


def test_a_closed_file_is_its_path_if_it_has_one(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as closed:
        closed.write(PNG)
    shelf = Shelf()
    assert shelf.replace({"scan": closed}) == {"scan": reference("a.png", "image/png")}
    assert shelf.contents == {"a.png": PNG}
    (tmp_path / "a.png").unlink()
    with pytest.raises(OutputError, match=r"the output's part scan is the path .*a\.png, which is missing"):
        shelf.replace({"scan": closed})
    memory = io.BytesIO()
    memory.close()
    with pytest.raises(OutputError, match="closed file without a name; return it open"):
        shelf.replace([memory])


def test_temporary_files_and_pipes_are_open_files(tmp_path: Path) -> None:
    shelf = Shelf()
    reading, writing = os.pipe()
    os.write(writing, b"%PDF-1")
    os.close(writing)
    with (
        tempfile.TemporaryFile() as unnamed,
        tempfile.NamedTemporaryFile(dir=tmp_path, suffix=".gif") as named,
        os.fdopen(reading, "rb") as pipe,
    ):
        unnamed.write(PNG)
        shelf.replace([unnamed, named, pipe])
        (first, second, third) = shelf.parts
        assert (first, second.endswith(".gif"), third) == ("0.png", True, "2.pdf")
    assert list(shelf.contents.values()) == [PNG, b"", b"%PDF-1"]


@pytest.mark.parametrize(
    ("output", "is_sendable"),
    [
        ({"at": {2.5: True, 1: np.int8(4)}}, True),
        (["\ud83d"], False),
        ({"a": [1, np.float32(2), np.zeros(2), None], 1.5: "x", None: 0}, True),
        (Page(number=1), True),
        ([Page(number=1)], False),
        (Page(number=1, image=np.zeros(2)), False),
        (Page(number=1, image=PNG), False),
        (Box("x"), False),
        ({"box": Box("x", PNG)}, False),
        ({"box": Box("x", PNG), "at": datetime(2026, 1, 1, tzinfo=timezone.utc)}, False),
        ({np.int64(1): 2}, False),
        (np.bool_(True), False),
        (np.array(["2026"], dtype="datetime64[Y]"), False),
        ({1, 2}, False),
    ],
)
def test_what_the_server_cannot_send_is_known(output: Any, is_sendable: bool) -> None:
    assert Shelf().written(output).is_sendable is is_sendable


def test_an_output_that_is_an_artifact_is_called_output() -> None:
    assert Shelf().replace(b"%PDF-1.7") == reference("output.pdf", "application/pdf")


def test_a_path_keeps_its_file_name(tmp_path: Path) -> None:
    file = tmp_path / "report.tar.gz"
    file.write_bytes(b"x")
    shelf = Shelf()
    assert shelf.replace([file, file]) == [
        reference("report.tar.gz", "application/gzip"),
        reference("report.tar-2.gz", "application/gzip", "report.tar.gz"),
    ]
    assert shelf.parts["report.tar.gz"].body == file


@pytest.mark.parametrize(("path", "what"), [("missing.png", "missing"), (".", "a folder")])
def test_a_path_that_is_no_file_is_refused_by_its_place(tmp_path: Path, path: str, what: str) -> None:
    with pytest.raises(OutputError, match=rf"the output's part pages\[0\] is the path .*, which is {what}"):
        Shelf().replace({"pages": [tmp_path / path]})
    with pytest.raises(OutputError, match=r"^the output is the path"):
        Shelf().replace(tmp_path / path)


def test_a_pydantic_model_with_an_artifact_becomes_json_all_through() -> None:
    output = [Page(number=1, image={"array": np.arange(2), "nan": float("nan"), "raw": PNG})]
    assert json.loads(Shelf().written(output).body) == [
        {
            "number": 1,
            "read_at": "2026-01-01T00:00:00Z",
            "image": {
                "array": [0, 1],
                "nan": None,
                "raw": reference("0-image-raw.png", "image/png"),
            },
        }
    ]


def test_a_dataclass_with_an_artifact_becomes_a_dict() -> None:
    assert Shelf().replace({"box": Box("x", PNG)}) == {
        "box": {"label": "x", "crop": reference("box-crop.png", "image/png")}
    }
