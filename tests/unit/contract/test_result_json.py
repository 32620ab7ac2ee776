from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from truss_async.contract import AsyncPredictResult, ErrorDetail
from truss_async.contract.result_json import result_json, without_lone_surrogates

RESULT = AsyncPredictResult(
    request_id="r", model_id="m", time=datetime(2026, 1, 1, 1, 2, 3, 456, timezone.utc)
)


@pytest.mark.parametrize(
    "output", [None, [], 'a "quoted" héß 😀', {"text": "x", "lines": [1, 2.5, None, True]}]
)
def test_the_bytes_are_those_of_the_result_with_the_output_in_it(output: object) -> None:
    body = result_json(RESULT, to_json(output))
    assert body == RESULT.model_copy(update={"data": output}).model_dump_json().encode()
    # Both documented ways of verifying a signature hold: over these bytes, and over the parsed model dumped again.
    assert AsyncPredictResult.model_validate_json(body).model_dump_json().encode() == body


def test_a_failed_request_has_no_output() -> None:
    failed = RESULT.model_copy(update={"errors": [ErrorDetail(code="C", message='"data":null')]})
    assert result_json(failed, b"null") == failed.model_dump_json().encode()


def test_a_text_that_looks_like_the_field_stays_where_it_is() -> None:
    result = RESULT.model_copy(update={"request_id": '"data":null', "model_id": '"data":null'})
    parsed = json.loads(result_json(result, b"[1]"))
    assert (parsed["request_id"], parsed["model_id"], parsed["data"]) == ('"data":null', '"data":null', [1])


class Inner(BaseModel):
    value: Any


def test_half_a_character_becomes_the_replacement_character_wherever_it_is() -> None:
    half, pair = "\ud83d", "\ud83d\ude42"
    value = {half: [f"a{half}", {"b": (pair,)}], "inner": Inner(value=half), "number": 1}
    assert without_lone_surrogates(value) == {
        "\ufffd": ["a\ufffd", {"b": ["\U0001f642"]}],
        "inner": {"value": "\ufffd"},
        "number": 1,
    }
