"""What a line of the input may look like, and what it becomes."""

import json
from typing import Any

import pytest

from truss_async.client.batch.lines import BadLineError, check_size, parse_line, request_body


def parsed(line: str, *, bare: bool = False) -> tuple[str, dict[str, Any]]:
    found = parse_line(line.encode(), number=7, bare=bare)
    return found.custom_id, found.fields


@pytest.mark.parametrize(
    ("line", "custom_id", "fields"),
    [
        ('{"text": "é"}', "line-7", {"model_input": {"text": "é"}}),
        ("[1, 2]", "line-7", {"model_input": [1, 2]}),
        ('"only a text"', "line-7", {"model_input": "only a text"}),
        ('{"body": "a letter"}', "line-7", {"model_input": {"body": "a letter"}}),
        (
            '{"custom_id": "a", "model_input": 1, "priority": 2}',
            "a",
            {"model_input": 1, "priority": 2},
        ),
        ('{"model_input": null}', "line-7", {"model_input": None}),
        (
            '{"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}',
            "b",
            {"model_input": {"messages": []}},
        ),
    ],
)
def test_a_line_is_read_as_it_was_meant(line: str, custom_id: str, fields: dict[str, Any]) -> None:
    assert parsed(line) == (custom_id, fields)


def test_bare_lines_are_model_inputs_whatever_they_look_like() -> None:
    line = {"custom_id": "a", "model_input": 1}
    assert parsed(json.dumps(line), bare=True) == ("line-7", {"model_input": line})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"cut": ', "it is not JSON"),
        ('{"a": NaN}', "it is not JSON"),
        ('{"a": 1e999}', "too large for a number"),
        ('{"custom_id": 7, "model_input": 1}', "its custom_id is no text"),
        ('{"custom_id": "", "body": 1}', "its custom_id is no text"),
        (json.dumps({"custom_id": "x" * 513, "model_input": 1}), "more than 512 characters"),
    ],
)
def test_a_line_that_is_none_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(BadLineError, match=reason):
        parsed(line)


def body_of(line: str, *, endpoint: str | None = None) -> dict[str, Any]:
    found = parse_line(line.encode(), number=1, bare=False)
    body = request_body(found, defaults={"priority": 1}, webhook_endpoint=endpoint)
    content: dict[str, Any] = json.loads(body)
    return content


def test_what_a_line_says_is_stronger_than_the_defaults() -> None:
    assert body_of("1")["priority"] == 1
    assert body_of('{"model_input": 1, "priority": 2}')["priority"] == 2


def test_a_line_with_an_endpoint_of_its_own_is_refused_where_its_result_would_be_missed() -> None:
    own = '{"model_input": 1, "webhook_endpoint": "https://example.com/a"}'
    assert body_of(own)["webhook_endpoint"] == "https://example.com/a"
    with pytest.raises(BadLineError, match="would not come here"):
        body_of(own, endpoint="http://localhost:1/x")


def test_a_line_that_the_platform_would_refuse_says_which_field() -> None:
    with pytest.raises(BadLineError, match="priority: Input should be less than or equal to 2"):
        body_of('{"model_input": 1, "priority": 3}')
    with pytest.raises(BadLineError, match="payload size of 11 bytes exceeds maximum size of 10 bytes"):
        check_size(b"x" * 11, limit=10)
