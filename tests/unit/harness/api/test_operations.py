"""The table of calls: whoever adds a row to it learns here what the row lacks."""

import pytest

from truss_async.harness.api.calls import ANY, ANY_METHOD, Operation
from truss_async.harness.api.operations import ON_REQUEST, ON_TARGET, OWN, every_path
from truss_async.harness.api.routing import find_call

OPERATIONS = [*ON_TARGET, *ON_REQUEST, *OWN]


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.mark.parametrize(
    ("path", "operation"),
    [pytest.param(path, each, id=f"{each.method} {path}") for path, each in every_path()],
)
def test_an_operation_is_found_at_each_of_its_paths_and_no_other_stands_before_it(
    path: str, operation: Operation
) -> None:
    method = "PURGE" if operation.method == ANY_METHOD else operation.method
    assert find_call(method, "localhost", path).operation is operation
    assert [each for at, each in every_path() if (at, each.method) == (path, operation.method)] == [operation]


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
def test_a_handler_returns_what_its_operation_answers_and_says_what_it_is_for(operation: Operation) -> None:
    returned = operation.handler.__annotations__["return"]
    if isinstance(operation.answer, type):
        assert returned in (operation.answer.__name__, "Response")
    elif operation.answer is None:
        assert returned in ("None", "Response | None")  # the latter may be that of another harness
    else:
        assert returned.endswith("Response")
    assert operation.summary.endswith(".")


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
def test_whatever_reaches_a_model_or_a_request_needs_a_key(operation: Operation) -> None:
    assert operation.is_open == (operation.path in ("/healthz", "/metrics"))
    assert operation.answer is not ANY or operation in ON_TARGET
