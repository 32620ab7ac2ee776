"""What a model may return: all that is saved of it, and what is refused, with its place."""

from __future__ import annotations

import array
import collections
import enum
import itertools
import json
import os
import socket
import types
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
from PIL import Image
from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    computed_field,
    field_serializer,
    model_serializer,
)

from truss_async.contract import ArtifactReference
from truss_async.errors import OutputError
from truss_async.model.artifacts import ArtifactWriter
from truss_async.model.output_json import OutputJson
from truss_async.stores.bodies import read_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from truss_async.model.file_parts import FilePart


class Saved:
    """An output as it is saved: its JSON, and its files by name."""

    def __init__(self, output: Any) -> None:
        self.files: dict[str, bytes] = {}
        written = OutputJson(output, ArtifactWriter(self._put).reference)
        self.data = json.loads(written.body)
        self.answer = written.output
        self.is_sendable = written.is_sendable

    def _put(self, name: str, part: FilePart) -> ArtifactReference:
        self.files[name] = read_body(part.body)
        return ArtifactReference(url=name, content_type=part.content_type, size_bytes=len(self.files[name]))


def refusal(output: Any) -> str:
    with pytest.raises(OutputError) as caught:
        Saved(output)
    return str(caught.value)


def object_array(items: Iterable[Any]) -> Any:
    found = list(items)
    made = np.empty(len(found), dtype=object)
    made[:] = found
    return made


CONTAINERS: dict[str, Callable[[Iterable[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
    "generator": lambda items: (each for each in items),
    "map": lambda items: map(Path, items),
    "filter": lambda items: filter(None, items),
    "chain": itertools.chain,
    "values": lambda items: dict(enumerate(items)).values(),
    "keys": lambda items: dict.fromkeys(items).keys(),
    "UserList": collections.UserList,
    "object array": object_array,
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("depth", [0, 3])
def test_files_are_found_in_whatever_is_walked(tmp_path: Path, container: str, depth: int) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    output: Any = CONTAINERS[container](tmp_path.glob("*.txt"))
    for _ in range(depth):
        output = {"inner": [output]}
    saved = Saved(output)
    assert saved.files == {"a.txt": b"a.txt", "b.txt": b"b.txt"}
    assert str(tmp_path) not in json.dumps(saved.data)
    assert not saved.is_sendable
    assert json.loads(json.dumps(saved.answer)) == saved.data


def test_files_are_found_in_mappings_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    files = {"file": tmp_path / "a.txt"}
    outputs = [
        types.MappingProxyType(files),
        collections.ChainMap(files),
        collections.UserDict(files),
        collections.OrderedDict(files),
        collections.defaultdict(Path, files),
    ]
    for output in outputs:
        saved = Saved({"page": output})
        assert saved.data["page"]["file"]["url"] == "a.txt"


def test_an_iterator_is_read_once_and_its_items_one_by_one(tmp_path: Path) -> None:
    """Each file is stored before the next one is asked for, so one file may serve for all."""

    def pages() -> Iterator[Any]:
        for number in range(3):
            (tmp_path / "page.txt").write_text(str(number))
            yield tmp_path / "page.txt"

    saved = Saved({"pages": pages(), "numbers": iter(range(3))})
    assert list(saved.files.values()) == [b"0", b"1", b"2"]
    assert saved.data["numbers"] == saved.answer["numbers"] == [0, 1, 2]


class Colour(str, enum.Enum):
    RED = "red"


class Size(enum.Enum):
    SMALL = ("s", Decimal("1.5"))


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("output", "data"),
    [
        (range(3), [0, 1, 2]),
        (array.array("d", [0.5]), [0.5]),
        (collections.UserString("abc"), "abc"),
        ([Colour.RED, Size.SMALL, Level.HIGH], ["red", ["s", "1.5"], 3]),
        ({Colour.RED: 1, Level.HIGH: 2}, {"red": 1, "3": 2}),
        ({None: 1, True: 2, 2.5: 3, 1e16: 4, 7: 5}, {"null": 1, "true": 2, "2.5": 3, "1e+16": 4, "7": 5}),
        ({(1, 2): 1, np.int64(3): 2}, {"1,2": 1, "3": 2}),
        (timedelta(seconds=90), "PT1M30S"),
        ({"a": np.longdouble(0.5), "b": np.array([0.5], dtype="longdouble")}, {"a": 0.5, "b": [0.5]}),
        (np.array(["2026-01-02", "NaT"], dtype="datetime64[D]"), ["2026-01-02", None]),
        (np.datetime64("2026-01-02T03:04:05.000000006", "ns"), "2026-01-02T03:04:05.000000006"),
        (np.array(["2026-01-02T03:04:05"], dtype="datetime64[ns]"), ["2026-01-02T03:04:05"]),
        (np.datetime64("2026-01-02T03:04", "m"), "2026-01-02T03:04:00"),
        (np.datetime64("10000-01-01", "D"), "10000-01-01"),
        (np.datetime64("NaT", "s"), None),
        (np.array([1500, -1], dtype="timedelta64[ms]"), ["PT1.5S", "-PT0.001S"]),
        (np.timedelta64(1500, "ns"), "PT0.0000015S"),
        (np.timedelta64("NaT", "s"), None),
        (np.array([b"ab"]), ["ab"]),
        (np.array([(1, 0.5)], dtype=[("a", "i4"), ("b", "f8")]), [[1, 0.5]]),
        (np.ma.masked_array([1, 2], mask=[False, True]), [1, None]),
        (object_array([1, "a", None]), [1, "a", None]),
        (["\ud83d", {"\ud83d": "ok"}], ["�", {"�": "ok"}]),
        (["9" * 10_000], ["9" * 10_000]),
    ],
)
def test_what_can_be_json_is(output: Any, data: Any) -> None:
    assert Saved(output).data == data


@pytest.mark.parametrize(
    ("output", "keys"),
    [
        ({1: "a", "1": "b"}, "1 and '1'"),
        ({None: "a", "null": "b"}, "None and 'null'"),
        ({True: "a", "true": "b"}, "True and 'true'"),
        ({2.0: "a", "2.0": "b"}, "2.0 and '2.0'"),
        ({float("nan"): "a", "NaN": "b"}, "nan and 'NaN'"),
        ({"\ud83d": 1, chr(0xFFFD): 2}, "'\\ud83d' and '\ufffd'"),
        ({np.int64(1): 1, "1": 2}, "np.int64(1) and '1'"),
    ],
)
def test_keys_that_become_one_text_are_refused(output: Any, keys: str) -> None:
    assert refusal({"page": [output]}) == (
        f"the output's part page[0] has the keys {keys}, which are the same in JSON; rename one, or return a "
        "list of pairs"
    )


def test_a_number_that_python_will_not_write_is_refused() -> None:
    assert refusal({"n": [10**5000]}).startswith(
        "the output's part n[0] is a number that Python cannot convert to text (Exceeds the limit"
    )
    assert Saved([10**4000, -(10**4000)]).data == [10**4000, -(10**4000)]


class SaysYes:
    def __getattr__(self, name: str) -> Any:
        return SaysYes()


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class RaisesOnIteration(Raises, collections.abc.Iterator):  # type: ignore[type-arg]
    def __next__(self) -> Any:
        raise self.error


class RaisesAsMapping(Raises, dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise self.error

    def __iter__(self) -> Any:
        raise self.error


class RaisesAsArray(Raises):
    def tolist(self) -> Any:
        raise self.error


class SilentError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


class Ended(BaseException):
    pass


@dataclass
class HasNoSuchField:
    value: Any = field(init=False)


class Computes(BaseModel):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def ratio(self) -> float:
        return 1 / 0


class ReadsTexts:
    closed = False

    def read(self, size: int = -1) -> Any:
        return 3

    def close(self) -> None:
        pass


class Asynchronous(ReadsTexts):
    async def read(self, size: int = -1) -> Any:
        return b""


class LiesAboutLength(collections.abc.Sequence):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return -1

    def __getitem__(self, index: Any) -> Any:
        raise KeyError(index)


def closed_image() -> Any:
    image = Image.new("RGB", (2, 2))
    image.close()
    return image


def circular() -> Any:
    inner: dict[str, Any] = {}
    inner["again"] = [inner]
    return inner


class Node(BaseModel):
    inner: Any = None


def circular_model() -> Any:
    node = Node()
    node.inner = [node]
    return node


def endless() -> Any:
    class Nested:
        def tolist(self) -> Any:
            return [Nested()]

    return Nested()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (circular, "again[0] contains itself"),
        (circular_model, "inner[0] contains itself"),
        (endless, "nested deeper than 10,000 levels"),
        (closed_image, "cannot be read: ValueError: Operation on closed image"),
        (lambda: Image.new("RGB", (0, 0)), "cannot be read: "),
        (SaysYes, "is of type SaysYes, which JSON cannot express"),
        (lambda: RaisesOnIteration(OSError("gone")), "cannot be read: OSError: gone"),
        (lambda: RaisesAsMapping(KeyError("x")), "cannot be read: KeyError: 'x'"),
        (lambda: RaisesAsArray(RuntimeError("CUDA")), "cannot be read: RuntimeError: CUDA"),
        (lambda: RaisesAsArray(RecursionError()), "cannot be read: RecursionError"),
        (lambda: RaisesAsArray(SystemExit(1)), "cannot be read: SystemExit: 1"),
        (lambda: RaisesAsArray(Ended()), "Ended"),
        (lambda: RaisesAsArray(SilentError()), "SilentError: <exception str() failed>"),
        (HasNoSuchField, "cannot be read: AttributeError"),
        (Computes, "cannot be read: ZeroDivisionError"),
        (LiesAboutLength, "cannot be read: KeyError: 0"),
        (ReadsTexts, "is a file whose read() gives int, not bytes"),
        (Asynchronous, "is an asynchronous file"),
        (object, "is of type object"),
        (lambda: object, "is of type type"),
        (lambda: {object(): 1}, "has a key of type object"),
        (lambda: {b"\xff": 1}, "has a key of type bytes"),
        (lambda: np.array([b"\xff"]), "cannot be read: UnicodeDecodeError"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*was never awaited")
def test_what_an_object_raises_is_told_with_its_place(make: Callable[[], Any], said: str) -> None:
    value = make()
    text = refusal({"pages": [{"image": "ok"}, {"image": value}]})
    assert text.startswith("the output's part pages[1].image")
    assert said in text
    assert refusal([value]).startswith("the output's part [0]")


def test_the_place_in_an_iterator_and_in_fields_is_told(tmp_path: Path) -> None:
    def pages() -> Iterator[Any]:
        yield 1
        raise LookupError("no page 2")

    assert refusal({"pages": pages()}) == ("the output's part pages cannot be read: LookupError: no page 2")
    missing = tmp_path / "gone.png"
    for output in ({"pages": iter([1, missing])}, {"pages": [1, missing]}):
        assert refusal(output).startswith(
            f"the output's part pages[1] is the path {missing}, which is missing"
        )
    assert refusal(Node(inner=Node(inner={"a": missing}))).startswith("the output's part inner.inner.a is")
    assert refusal(missing).startswith("the output is the path")


def test_what_can_only_be_written_to_is_refused() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as file:
        assert "[0] is a file that is open for writing only" in refusal([file])


def test_what_may_never_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "is no regular file" in refusal([tmp_path / "fifo"])
    assert "is no regular file" in refusal([Path("/dev/zero")])
    with Path("/dev/zero").open("rb") as zeros:
        assert "is a device" in refusal([zeros])
    descriptor = os.open(tmp_path / "fifo", os.O_RDWR)
    with open(tmp_path / "fifo", "rb") as fifo:  # noqa: PTH123
        assert "is a named pipe" in refusal([fifo])
    os.close(descriptor)
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        assert "is a socket" in refusal([stream])


def test_an_iterator_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truss_async.model.output_walk.MAX_ITEMS", 1000)
    assert refusal({"n": itertools.count()}).startswith("the output's part n has more than 1,000 values")


def test_a_path_that_is_mere_information_is_a_pure_path_or_a_text() -> None:
    with pytest.raises(OutputError, match=r"return the path of a file, or str if it is not meant as a file"):
        Saved(Node(inner=Path("/nowhere/model.bin")))
    assert Saved({"a": PurePosixPath("/nowhere/x"), "b": "/nowhere/y"}).data == {
        "a": "/nowhere/x",
        "b": "/nowhere/y",
    }


def test_the_same_object_twice_is_not_nested_in_itself() -> None:
    shared = {"a": [np.float32(1)]}
    assert Saved([shared, shared]).data == [{"a": [1.0]}, {"a": [1.0]}]


class Encoded(BaseModel):
    image: Base64Bytes
    at: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Serialised(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")

    raw: bytes
    took: timedelta = timedelta(seconds=1.5)
    name: str = "x"
    price: Annotated[Decimal, PlainSerializer(lambda value: f"{value} EUR", when_used="json")] = Decimal(2)
    hidden: Any = Field(default=b"secret", exclude=True)
    title: str = Field("t", serialization_alias="pageTitle")

    @field_serializer("name", when_used="json")
    def _name(self, name: str) -> str:
        return name.upper()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def thumbnail(self) -> bytes:
        return b"%PDF-"


class Whole(BaseModel):
    raw: bytes

    @model_serializer
    def _all(self) -> dict[str, Any]:
        return {"content": self.raw}


def test_encoded_bytes_are_stored_as_the_value() -> None:
    saved = Saved({"page": Encoded(image=b"JVBERi0=")})
    assert saved.files == {"page-image.pdf": b"%PDF-"}
    assert saved.data["page"]["at"] == "2026-01-01T00:00:00Z"


def test_the_rules_of_a_model_hold_beside_its_files() -> None:
    saved = Saved(Serialised(raw=b"GIF89a"))
    assert saved.files == {"raw.gif": b"GIF89a", "thumbnail.pdf": b"%PDF-"}
    assert {key: value for key, value in saved.data.items() if not isinstance(value, dict)} == {
        "took": 1.5,
        "name": "X",
        "price": "2 EUR",
        "title": "t",
    }


def test_a_model_that_says_what_it_is_is_believed() -> None:
    assert list(Saved([Whole(raw=b"GIF89a")]).files) == ["0-content.gif"]
    assert list(Saved({"a": RootModel[list[bytes]]([b"GIF89a"])}).files) == ["a-0.gif"]
    assert Saved({"a": RootModel[list[int]]([1])}).data == {"a": [1]}
