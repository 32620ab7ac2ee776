from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from tests.nesting import DEEP, compact, innermost, json_texts, json_values, nest, nested
from truss_async.contract import AsyncPredictRequest, AsyncPredictResult
from truss_async.contract.deep_json import MAX_DEPTH
from truss_async.contract.json_text import parse, parse_leniently, write

odd_texts = st.sampled_from(
    ["NaN", "-Infinity", "1e400", "01", "1.", "[1,]", '{"a":1,}', "{1:2}", '"\\ud83d"', '"\\ude42\\ud83d"', '"\\\\ud83d"', '"\n"',
     '"\\x"', "tru", "", "1 2", "]", '{"a" 1}', '{"a":1 "b":2}', '{"a":1,"a":2}', "[[]", "9" * 5000, '"\\ud83d\\ude42"', "\ufeff1"]
)  # fmt: skip


@given(json_texts | odd_texts, st.integers(101, 150))
def test_what_is_deep_is_read_as_what_is_shallow_is(text: str, pairs: int) -> None:
    try:
        expected = from_json(nested(2, text))
    except ValueError:
        with pytest.raises(ValueError, match=r"^[A-Za-z]"):
            parse(nested(2 * pairs, text))
    else:
        found = innermost(parse(nested(2 * pairs, text)), 2 * pairs - 2)
        assert to_json(found) == to_json(expected)  # the order of names, too, and 1.0 is not 1


@given(json_values, st.integers(250, 300))
def test_what_is_deep_is_written_as_what_is_shallow_is(value: Any, depth: int) -> None:
    assert write(nest(value, depth)) == compact(depth, to_json(value).decode())


@pytest.mark.parametrize("depth", [1, 199, 200, 201, 254, 255, 993, 1500, MAX_DEPTH])
def test_every_depth_up_to_the_limit_is_read_and_written(depth: int) -> None:
    assert write(parse(nested(depth))) == compact(depth)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, MAX_DEPTH + 200, 100_000])
def test_what_is_nested_over_the_limit_is_refused_and_the_limit_named(depth: int) -> None:
    with pytest.raises(ValueError, match="nested deeper than 10,000 levels"):
        parse(nested(depth))
    with pytest.raises(ValueError, match="nested deeper than 10,000 levels"):
        write(nest(1, depth))


def test_what_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(nest(endless, DEEP))
    with pytest.raises(ValueError, match="nested in itself"):
        write(endless)


def test_wide_texts_are_read_at_depth_as_well() -> None:
    rows = json.dumps([{"id": n, "name": f"n{n}", "deep": nest(n, 5)} for n in range(2000)])
    assert innermost(parse(nested(DEEP, rows)), DEEP) == json.loads(rows)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'"a\\ud83d"', "a�"),
        (b'"\\ud83d\\ude42 \\\\ud83d \\ude42"', "🙂 \\ud83d �"),
        (b'"\\ud83d\\ud83d\\ude42"', "�🙂"),
        ('"\ud83d"'.encode("utf-8", "surrogatepass"), "�"),
        (b"\xef\xbb\xbf1", 1),
        ('"ü"'.encode("utf-16"), "ü"),
    ],
)
def test_what_only_pythons_own_parser_takes_is_taken_leniently(text: bytes, says: object) -> None:
    assert parse_leniently(text) == says


@pytest.mark.parametrize("depth", [3, DEEP, MAX_DEPTH])
def test_a_result_is_read_and_written_at_any_depth(depth: int) -> None:
    output = compact(depth).decode()
    body = f'{{"request_id":"r","time":"2026-01-01T01:02:03.000456Z","data":{output},"errors":[]}}'
    dumped = AsyncPredictResult.model_validate_json(body).model_dump_json(exclude_unset=True)
    assert dumped == body
    whole = AsyncPredictResult.model_validate_json(body.encode()).model_dump_json()
    assert AsyncPredictResult.model_validate_json(whole).model_dump_json() == whole


def test_a_request_is_written_at_any_depth() -> None:
    request = AsyncPredictRequest(model_input=nest(1, DEEP), priority=1)
    shallow = AsyncPredictRequest(model_input=None, priority=1).model_dump_json()
    output = compact(DEEP).decode()
    assert request.model_dump_json() == shallow.replace('"model_input":null', f'"model_input":{output}')
    assert AsyncPredictRequest.model_validate_json(request.model_dump_json()).priority == 1


@pytest.mark.parametrize("broken", ['{"a":', "[1,]", '"\\ud83d"'])
def test_a_deep_text_that_is_no_json_is_a_validation_error(broken: str) -> None:
    with pytest.raises(ValidationError, match="Invalid JSON") as caught:
        AsyncPredictResult.model_validate_json(b'{"request_id": "r", "data": ' + nested(DEEP, broken) + b"}")
    assert caught.value.errors()[0]["type"] == "json_invalid"


def test_a_deep_result_without_its_time_is_told_so() -> None:
    with pytest.raises(ValidationError, match="time\n  Field required"):
        AsyncPredictResult.model_validate_json(b'{"request_id": "r", "data": ' + nested(DEEP) + b"}")


def test_infinities_of_a_deep_result_are_null_as_those_of_a_shallow_one() -> None:
    shallow, deep = (
        AsyncPredictResult(request_id="r", time=0, data=nest(math.inf, depth)).model_dump_json()
        for depth in (2, DEEP)
    )
    assert shallow.replace('{"a":[null]}', compact(DEEP, "null").decode()) == deep
