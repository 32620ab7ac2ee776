"""Any output is saved as the Truss server would send it, or refused with its place: never in between."""

from __future__ import annotations

import collections
import dataclasses
import io
import itertools
import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel
from truss.templates.shared.serialization import DeepNumpyEncoder

from tests.outputs import saver_of
from truss_async.errors import OutputError
from truss_async.stores import OutputStore, object_store

_NUMBERS = itertools.count()
_ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=12)
_NUMBER = st.integers() | st.floats() | st.integers(4280, 4320).map(lambda digits: 10**digits)
_NUMPY = st.sampled_from(
    [
        np.float32(0.5),
        np.int8(-3),
        np.bool_(True),
        np.longdouble(0.25),
        np.array(["a", None], dtype=object),
        np.str_("t"),
        np.arange(6).reshape(2, 3),
    ]
)
_MOMENTS = st.sampled_from([np.datetime64("NaT", "s"), np.array(["2026-01-02T03"], dtype="datetime64[ns]")])
_KEYS = _ANY_TEXT | st.integers(-2, 2) | st.booleans() | st.none() | st.sampled_from([0.5, 1.0, math.nan])
_DATA = st.none() | st.booleans() | _NUMBER | _ANY_TEXT | _NUMPY
_NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/\0"), min_size=1, max_size=8
)


class Page(BaseModel):
    value: Any


@dataclasses.dataclass
class Box:
    value: Any


class Raises:
    def tolist(self) -> Any:
        raise RuntimeError("it was on another device")


class NamedBytes(io.BytesIO):
    name = ""


def named_bytes(name: str, content: bytes) -> io.BytesIO:
    file = NamedBytes(content)
    file.name = f"/nowhere/{name}"
    return file


_FILES = (
    st.binary(max_size=20)
    | st.builds(io.BytesIO, st.binary(max_size=20))
    | st.builds(named_bytes, _NAMES, st.binary(max_size=20))
    | st.sampled_from(
        ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]
    ).map(lambda mode: Image.new(mode, (3, 2)))
)
_ODD = st.sampled_from([Path("/nowhere/x"), PurePosixPath("/a"), Page, object(), 1j, ...]) | st.builds(Raises)
_WRAPS = [
    list,
    tuple,
    iter,
    collections.deque,
    collections.UserList,
    lambda items: (each for each in items),
    lambda items: dict(enumerate(items)).values(),
    lambda items: [Page(value=items)],
    lambda items: Box(items),
    lambda items: {"value": Page(value=Box(items))},
]


def nested(leaves: Any, wraps: Any = tuple(_WRAPS)) -> Any:
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(lambda items, wrap: wrap(items), st.lists(inner, max_size=4), st.sampled_from(wraps))
            | st.dictionaries(_KEYS, inner, max_size=4)
        ),
        max_leaves=12,
    )


def sent(output: Any) -> Any:
    """What reaches the caller, as a JSON parser in the harness reads it; the server's own encoder has written it."""
    body = (
        output.model_dump_json()
        if isinstance(output, BaseModel)
        else json.dumps(output, cls=DeepNumpyEncoder)
    )
    return without_infinities(json.loads(body))


def without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_infinities(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_infinities(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def count_of_artifacts(value: Any) -> int:
    if isinstance(value, dict):
        if value.get("type") == "artifact":
            return 1
        return sum(map(count_of_artifacts, value.values()))
    return sum(map(count_of_artifacts, value)) if isinstance(value, list) else 0


def saved_or_refused(output: Any) -> tuple[Any, OutputStore | None, str]:
    """What is answered, where it is saved, and why it is not."""
    objects = object_store(f"memory://any-{next(_NUMBERS)}")
    try:
        answer = saver_of(objects).save("r", output)
    except OutputError as error:
        return None, None, str(error)
    return answer, OutputStore(objects), ""


@given(st.fixed_dictionaries({"output": nested(_DATA | _MOMENTS | _FILES | _ODD)}))
def test_an_output_is_saved_and_answered_alike_or_refused_with_its_place(output: Any) -> None:
    answer, store, refusal = saved_or_refused(output)
    if store is None:
        assert refusal.startswith("the output's part output")
        return
    saved = store.get("r").data
    assert sent(answer) == saved
    assert "/nowhere/x" not in json.dumps(saved)
    assert count_of_artifacts(saved) == len(store.artifacts("r"))


@given(nested(_DATA, wraps=[list, tuple]))
def test_what_the_server_could_send_is_saved_as_it_would_be_sent(output: Any) -> None:
    try:
        expected = sent(output)
    except (TypeError, ValueError):  # it could not
        return
    _, store, refusal = saved_or_refused(output)
    if store is None:
        assert "which are the same in JSON" in refusal
    elif not has_halves(output):
        assert store.get("r").data == expected


def has_halves(output: Any) -> bool:
    return any("\ud800" <= each <= "\udfff" for each in texts_in(output))


def texts_in(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(texts_in(each) for pair in value.items() for each in pair)
    return "".join(map(texts_in, value)) if isinstance(value, list | tuple) else ""
