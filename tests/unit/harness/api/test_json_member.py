"""What a model input is, byte for byte, whatever stands around it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from tests.nesting import DEEP, json_texts, nested
from truss_async.harness.api.json_member import Member

MODEL_INPUT = Member("model_input", beside=["priority", "webhook_endpoint"])


def cut(body: bytes) -> tuple[bytes, dict[str, Any]] | None:
    """Both ways, which agree wherever the short one leads anywhere."""
    walked = MODEL_INPUT.cut_by_walk(body)
    assert MODEL_INPUT.cut(body) in (None, walked)
    return walked


@given(
    json_texts,
    json_texts,
    st.lists(st.sampled_from(["priority", "other", "model_input", "mod\\u0065l_input"]), max_size=3),
)
def test_a_member_is_cut_out_as_it_is_written(value: str, other: str, names: list[str]) -> None:
    members = [f'"{name}" :{other}' for name in names]
    members.insert(len(members) // 2, f'"model_input": {value}')
    body = f" {{{' , '.join(members)}\n}} ".encode()
    found = cut(body)
    assert found is not None
    value_found, others = found
    expected = json.loads(body)
    assert from_json(value_found) == expected["model_input"]
    assert value_found in {value.encode(), other.encode()}
    assert others == expected | {"model_input": None}


@pytest.mark.parametrize(
    "body",
    [
        '{"a": {"model_input": 1}, "model_input": %s}',
        '{"model_input": %s, "a": {"priority": {"model_input": 2}}}',
        '{"a": "\\"model_input\\": 1", "model_input": %s, "priority": 0}',
        '{"model_input": 5, "model_input": %s}',
        '{"mod\\u0065l_input": %s}',
        '{"model_input"\t:\r\n%s , "priority": 0, "webhook_endpoint": ", \\"priority\\": 1"}',
    ],
)
@pytest.mark.parametrize(
    "value",
    ["1", '{"priority": 1, "model_input": [2]}', '"}, \\"priority\\": 3"', '"é🙂"', nested(DEEP).decode()],
)
def test_what_looks_like_the_member_is_not_taken_for_it(body: str, value: str) -> None:
    found = cut((body % value).encode())
    assert found is not None
    assert found[0] == value.encode()
    assert found[1]["model_input"] is None


@pytest.mark.parametrize("body", [b"[1]", b'"model_input"', b"{}", b'{"a": {"model_input": 1}}', b"null"])
def test_what_has_no_such_member_is_told_from_one_that_is_null(body: bytes) -> None:
    assert cut(body) is None
    assert cut(b'{"model_input": null}') == (b"null", {"model_input": None})


@pytest.mark.parametrize("depth", [0, 1, 150, DEEP, 3000])
@pytest.mark.parametrize("number", ["1e400", "-1E+0400", "9" * 400 + ".0"])
def test_a_number_too_large_for_a_float_is_refused_where_it_stands(depth: int, number: str) -> None:
    with pytest.raises(ValueError, match=r"^model_input.* is too large for a number"):
        cut(b'{"model_input": ' + nested(depth, number) + b"}")


def test_the_place_of_such_a_number_is_named() -> None:
    with pytest.raises(ValueError, match=r"model_input\.items\[1\]\.score is too large"):
        cut(b'{"model_input": {"items": [1.5, {"score": 1e999}]}}')


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text())
def test_every_other_number_and_text_passes(value: Any) -> None:
    assert cut(b'{"model_input": ' + to_json(value) + b"}") == (
        to_json(value),
        {"model_input": None},
    )


@pytest.mark.parametrize(
    "text", ['"\\ud83d"', '"\\ude42"', '"\\ud83d\\u0041"', nested(DEEP, '"\\ud83d"').decode()]
)
def test_half_a_character_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="a lone surrogate such as"):
        cut(f'{{"model_input": {text}}}'.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("depth", [0, DEEP])
def test_what_no_json_has_is_no_model_input(number: str, depth: int) -> None:
    with pytest.raises(ValueError, match="is no JSON"):
        cut(b'{"model_input": ' + nested(depth, number) + b"}")


@pytest.mark.parametrize("value", ["1", "[1.10, 2]", '"a \\" }, b"', nested(150).decode()])
@pytest.mark.parametrize("following", ["", ', "priority": 1', ', "webhook_endpoint": "https://a/?x=}"'])
def test_an_ordinary_body_is_not_walked(value: str, following: str) -> None:
    body = f'{{"model_input": {value}{following}}}'.encode()
    assert MODEL_INPUT.cut(body) == (value.encode(), json.loads(body) | {"model_input": None})
