"""Errors of every shape that models answer with, as people read them."""

from typing import Any

import pytest

from tests.nesting import nest
from truss_async.contract.told_errors import error_message, in_words

OPENAI = {
    "message": "no such model",
    "type": "invalid_request_error",
    "param": None,
    "code": "model_not_found",
}
CHAINLET = {
    "exception_cls_name": "ValueError",
    "exception_module_name": None,
    "exception_message": "no page 7",
    "user_stack_trace": [{"filename": "chain.py", "lineno": 3, "name": "run_remote", "line": "raise"}],
}
MISSING = {"type": "missing", "loc": ["body", "page"], "msg": "Field required", "input": {}}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("out of memory", "out of memory"),
        # chainlets
        (CHAINLET, "ValueError: no page 7"),
        ({**CHAINLET, "exception_message": ""}, "ValueError"),
        ({**CHAINLET, "exception_message": "ValueError: no page 7"}, "ValueError: no page 7"),
        # as SecretNotFound says it
        ({**CHAINLET, "exception_message": "\nno page 7.\nTurn over"}, "ValueError: no page 7.\nTurn over"),
        ("\nno page 7", "no page 7"),
        ({**CHAINLET, "exception_message": " \n"}, "ValueError"),
        # an HTTPException's detail
        ({"message": "page 7 is not readable", "page": 7}, "page 7 is not readable"),
        ({"page": 7}, '{"page":7}'),
        ({"exception_message": "", "message": None, "page": 7}, '{"exception_message":"","message":null,"page":7}'),
        ({"message": {"nested": 1}}, '{"message":{"nested":1}}'),
        (["first", "second"], '["first","second"]'),
        ([], "[]"),
        ([{"message": "one"}, 7], '[{"message":"one"},7]'),
        (7, "7"),
        # OpenAI's, alone and in a detail; those of vLLM, of TGI
        (OPENAI, "invalid_request_error: no such model (model_not_found)"),
        ({"error": OPENAI}, "invalid_request_error: no such model (model_not_found)"),
        ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, "BadRequestError: too long"),
        ({"error": "too long", "error_type": "validation"}, "validation: too long"),
        # FastAPI's own
        ([MISSING], "body.page: Field required"),
        ([MISSING, {**MISSING, "loc": ["body", "pages", 0]}], "body.page: Field required; body.pages.0: Field required"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
        # RFC 9457
        ({"type": "about:blank", "title": "Out of memory", "detail": "80 GB"}, "Out of memory: 80 GB"),
        ({"type": "https://x.test/e", "title": "a\nb", "detail": "80 GB"}, "80 GB"),
    ],
)  # fmt: skip
def test_an_error_is_told_with_its_class_and_its_message(said: Any, told: str) -> None:
    assert in_words(said) == told
    assert error_message({"error": said}) == error_message({"detail": said}) == (told if said else None)


@pytest.mark.parametrize(
    "answer", [None, 7, "text", [OPENAI], {}, {"page": 7}, {"error": None, "detail": ""}]
)
def test_what_is_not_known_to_be_an_error_is_none(answer: Any) -> None:
    assert error_message(answer) is None


def test_the_platforms_own_errors_stay_as_they_are() -> None:
    assert error_message({"error": "too many requests", "error_code": "rate_limited"}) == "too many requests"


@pytest.mark.parametrize("name", ["error", "errors"])
def test_an_error_of_any_depth_is_told(name: str) -> None:
    error: Any = {"message": "at the bottom"}
    for _ in range(2000):
        error = {name: [error] if name == "errors" else error}
    assert "at the bottom" in in_words(error)
    assert in_words(nest("x", 2000))


def test_what_is_no_json_is_told_as_text() -> None:
    assert in_words({"page": set}) == '{"page":"<class \'set\'>"}'
