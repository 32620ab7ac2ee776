from __future__ import annotations

import dataclasses
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from truss_async.errors import OutputError
from truss_async.model.output_json import OutputJson


class Inner(BaseModel):
    value: Any


@dataclasses.dataclass
class Plain:
    value: Any


def body_of(output: Any) -> bytes:
    return OutputJson(output, no_file).body


def no_file(*_: object) -> Any:
    pytest.fail("there is no file in it")


def data_of(output: Any) -> Any:
    return json.loads(body_of(output), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("output", "data"),
    [
        (float("nan"), None),
        ([float("inf"), -float("inf"), 1.5], [None, None, 1.5]),
        (Inner(value=[float("nan")]), {"value": [None]}),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (np.arange(10)[::3], [0, 3, 6, 9]),
        (np.array(7), 7),
        ({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)}, {"a": 0.5, "b": 3, "c": True}),
        (np.array([Plain(1)], dtype=object), [{"value": 1}]),
        (Inner(value=np.zeros(2)), {"value": [0.0, 0.0]}),
        ({1: "int key", 2.5: "float key"}, {"1": "int key", "2.5": "float key"}),
        ((1, {2}), [1, [2]]),
        (Decimal("1.20"), "1.20"),
        (date(2026, 1, 2), "2026-01-02"),
        (2**80, 2**80),
        (Plain({"x": date(2026, 1, 2)}), {"value": {"x": "2026-01-02"}}),
    ],
)
def test_odd_values_become_plain_json(output: Any, data: Any) -> None:
    assert data_of(output) == data


class Titled(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float", ser_json_inf_nan="constants")

    page_title: str = Field("x", alias="pageTitle")
    took: timedelta = timedelta(seconds=90)
    score: float = 0.5


def test_a_pydantic_output_writes_itself_as_long_as_that_is_json() -> None:
    assert data_of(Titled()) == json.loads(Titled().model_dump_json())
    assert data_of(Titled()) == {"page_title": "x", "took": 90.0, "score": 0.5}
    assert data_of(Titled(score=float("nan")))["score"] is None


def test_half_a_character_does_not_lose_the_output() -> None:
    half, pair = "\ud83d", "\ud83d\ude42"
    output = {half: [f"a{half}", {"b": (pair,)}], "inner": Inner(value=half)}
    assert data_of(output) == {"\ufffd": ["a\ufffd", {"b": ["\U0001f642"]}], "inner": {"value": "\ufffd"}}


def test_what_is_no_json_is_named_by_its_type() -> None:
    with pytest.raises(
        OutputError, match=r"^the output's part x is of type object, which JSON cannot express"
    ):
        body_of({"x": object()})
