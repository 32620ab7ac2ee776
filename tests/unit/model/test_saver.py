"""What is written for an output, by the settings."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from tests.nesting import compact, innermost, nest, nested
from tests.outputs import saver_of as saver
from truss_async.contract.deep_json import MAX_DEPTH
from truss_async.errors import InvalidResultError, OutputError
from truss_async.stores import ObjectStore, OutputStore, object_store
from truss_async.stores.memory_store import MemoryStore

if TYPE_CHECKING:
    from truss_async.stores.protocol import Body

_NUMBERS = itertools.count()
CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


@pytest.fixture
def objects() -> ObjectStore:
    return object_store(f"memory://saver-{next(_NUMBERS)}")


def body(objects: ObjectStore, key: str) -> bytes:
    with objects.open(key) as file:
        return file.read()


@pytest.mark.parametrize("output", [object(), {"x": [object()]}, CIRCULAR])
def test_an_output_that_is_no_json_is_refused_and_leaves_nothing(objects: ObjectStore, output: Any) -> None:
    with pytest.raises(OutputError, match=r"^the output('s part .*)? (is of type object|contains itself)"):
        saver(objects).save("r", output)
    assert list(objects.list()) == []


class Page(BaseModel):
    value: Any


@pytest.mark.parametrize("depth", [199, 200, 254, 255, 900])
@pytest.mark.parametrize(
    ("inside", "saved"),
    [
        (1, 1),
        (float("nan"), None),
        ("half \ud83d", "half \ufffd"),
        (date(2026, 1, 2), "2026-01-02"),
        (Page(value=nest({1, 2}, 3)), {"value": nest([1, 2], 3)}),
    ],
)
@pytest.mark.parametrize("form", ["result", "raw"])
def test_what_is_nested_deeply_is_saved_and_read_back(
    objects: ObjectStore, depth: int, inside: Any, saved: Any, form: Literal["result", "raw"]
) -> None:
    saver(objects, format=form).save("r", nest(inside, depth))
    assert innermost(OutputStore(objects, format=form).get("r").data, depth) == saved
    assert innermost(saver(objects, format=form, overwrite=False).save("r", 0), depth) == saved


@pytest.mark.parametrize("depth", [200, 255, 1_500, MAX_DEPTH])
def test_a_response_of_any_depth_is_saved_as_what_it_says(objects: ObjectStore, depth: int) -> None:
    saver(objects).save("r", Response(nested(depth), media_type="application/json"))
    assert OutputStore(objects).get("r").model_dump_json().encode() == body(objects, "r.json")
    assert compact(depth) in body(objects, "r.json")


def test_raw_is_the_output_alone(objects: ObjectStore) -> None:
    saver(objects, format="raw").save("r", {"n": float("nan"), "text": "\ud800"})
    assert json.loads(body(objects, "r.json")) == {"n": None, "text": "\ufffd"}


def test_every_object_is_marked_with_its_request_model_and_attempt(objects: ObjectStore) -> None:
    output = {"image": b"GIF89a"}
    saver(objects, model_id="m").save("r", output)
    first = objects.head("r.json").metadata
    assert {**first, "attempt-id": ""} == {"request-id": "r", "model-id": "m", "attempt-id": ""}
    assert objects.head("r/image.gif").metadata == first
    saver(objects).save("r", output)
    second = objects.head("r.json").metadata
    assert second["attempt-id"] != first["attempt-id"]
    assert "model-id" not in second
    saver(objects, model_id="größer").save("r", output)
    assert "model-id" not in objects.head("r.json").metadata


@pytest.mark.parametrize("output", [{"n": 1}, JSONResponse({"n": 1})])
def test_a_reference_tells_where_the_result_lies(objects: ObjectStore, output: Any) -> None:
    answer = saver(objects, respond_with="reference").save("r", output)
    assert answer == {
        "type": "artifact",
        "url": f"{objects.url}/r.json",
        "content_type": "application/json",
        "size_bytes": len(body(objects, "r.json")),
    }
    assert OutputStore(objects).get("r").data == {"n": 1}


def test_gzip_compresses_results_and_leaves_artifacts_as_they_are(objects: ObjectStore) -> None:
    answer = saver(objects, compression="gzip").save("r", {"image": b"GIF89a"})
    assert json.loads(gzip.decompress(body(objects, "r.json")))["data"] == answer
    assert OutputStore(objects).get("r").data == answer
    info = objects.head("r.json")
    assert (info.content_type, info.content_encoding) == ("application/json", "gzip")
    assert body(objects, "r/image.gif") == b"GIF89a"


def test_an_output_takes_the_place_of_an_earlier_one(objects: ObjectStore) -> None:
    for number in range(2):
        assert saver(objects).save("r", number) == number
    assert OutputStore(objects).get("r").data == 1


@pytest.mark.parametrize("format_", ["result", "raw"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_first_output_stays_and_is_answered_again(
    objects: ObjectStore, format_: str, compression: str
) -> None:
    first = saver(objects, overwrite=False, format=format_, compression=compression)
    assert first.save("r", {"n": 1}) == {"n": 1}
    before = body(objects, "r.json")
    assert first.save("r", {"n": 2}) == {"n": 1}
    response = JSONResponse({"n": 3})
    assert first.save("r", response) is response
    assert body(objects, "r.json") == before
    settings: dict[str, Any] = {"overwrite": False, "format": format_, "compression": compression}
    assert saver(objects, respond_with="reference", **settings).save("r", 4)["size_bytes"] == len(before)


def test_of_two_attempts_at_once_the_first_one_stays_and_both_answer_it(objects: ObjectStore) -> None:
    other = saver(objects, overwrite=False)

    class Racing(MemoryStore):
        """Another attempt is through just before this one writes."""

        def put(self, key: str, body: Body, **described: Any) -> None:
            other.save("r", "theirs")
            super().put(key, body, **described)

    racing = Racing(objects.url.removeprefix("memory://"))
    assert saver(racing, overwrite=False).save("r", "ours") == "theirs"
    assert OutputStore(objects).get("r").data == "theirs"


@pytest.mark.parametrize("foreign", [b"{", b"[]", b"\x1f\x8bcut off", b'{"result": 1}'])
def test_a_foreign_object_is_neither_overwritten_nor_answered(objects: ObjectStore, foreign: bytes) -> None:
    objects.put("r.json", foreign, content_type="application/json")
    with pytest.raises(InvalidResultError, match=r"r\.json is not a result"):
        saver(objects, overwrite=False).save("r", 1)
    assert body(objects, "r.json") == foreign
