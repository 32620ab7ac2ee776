from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from starlette.exceptions import HTTPException

from tests.nesting import nest
from truss_async.errors import OutputError, OutputStoreError, RequestFailedError
from truss_async.model import AsyncOutputModel, failures
from truss_async.model.failures import error_detail
from truss_async.model.tracebacks import MAX_CHARACTERS, told_traceback

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.model.conftest import MakeRequest
    from truss_async.stores import OutputStore


STRUCTURED: Any = {"page": 1}  # FastAPI's own HTTPException takes it
OF_A_CHAINLET: Any = {
    "exception_cls_name": "ValueError",
    "exception_message": "no page 7",
    "user_stack_trace": [],
}
HALF: Any = {"page": "\ud83d"}


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("detail"), "MODEL_PREDICT_ERROR", "Internal Server Error (in model/chainlet)."),
        (HTTPException(422, "no page"), "MODEL_INVALID_INPUT", "no page"),
        (HTTPException(422, STRUCTURED), "MODEL_INVALID_INPUT", '{"page":1}'),
        (HTTPException(500, OF_A_CHAINLET), "MODEL_PREDICT_ERROR", "ValueError: no page 7"),
        (HTTPException(503, "soon"), "MODEL_PREDICT_ERROR", "soon"),
        (OutputError("part 1 is missing"), "MODEL_PREDICT_ERROR", "part 1 is missing"),
        # Half a character is no UTF-8.
        (HTTPException(422, "no \ud83d"), "MODEL_INVALID_INPUT", "no \ufffd"),
        (HTTPException(422, HALF), "MODEL_INVALID_INPUT", '{"page":"\ufffd"}'),
        (OutputError("the path \udcff is missing"), "MODEL_PREDICT_ERROR", "the path \ufffd is missing"),
    ],
)
def test_an_exception_is_told_as_the_platform_would(error: Exception, code: str, message: str) -> None:
    detail = error_detail(error)
    assert detail is not None
    assert (detail.code, detail.message) == (code, message)


def test_a_busy_model_has_not_failed() -> None:
    assert error_detail(HTTPException(429)) is None


class Failing(AsyncOutputModel):
    def predict(self, model_input: Exception) -> None:
        raise model_input


failing: Any = Failing()


def test_the_exception_is_the_models_own_object(store: OutputStore, make_request: MakeRequest) -> None:
    error = LookupError()
    with pytest.raises(LookupError) as caught:
        failing.predict(error, make_request("r"))
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)


def test_a_direct_call_records_nothing(store: OutputStore) -> None:
    with pytest.raises(LookupError):
        failing.predict(LookupError())


def test_a_store_that_hangs_does_not_hold_up_the_exception(
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    make_request: MakeRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(failures, "RECORDING_SECONDS", 0.01)

    def hang(_model: object) -> None:
        let_go.wait(60)
        raise OutputStoreError("at last")

    monkeypatch.setattr(failures, "saver_of", hang)
    before = threading.enumerate()
    with pytest.raises(KeyError):
        failing.predict(KeyError(), make_request("r"))
    assert "the error of request r is not saved yet" in caplog.text
    [thread] = set(threading.enumerate()) - set(before)
    let_go.set()
    thread.join()


@pytest.mark.parametrize("depth", [2, 500, 20_000])
def test_an_error_of_any_depth_or_in_itself_is_told(depth: int) -> None:
    endless: list[Any] = []
    endless.append(nest(endless, 7))
    details: list[Any] = [nest("half \ud83d", depth), endless]
    for detail in details:
        told = error_detail(HTTPException(422, detail=detail))
        assert told is not None
        assert (
            told.message.startswith('{"a":[') or "cannot be converted to JSON: nested deeper" in told.message
        )


class Raises:
    def tolist(self) -> Any:
        raise RuntimeError("it was on another device")


class Hides:
    @property
    def __class__(self) -> Any:
        raise LookupError("no class")

    @__class__.setter
    def __class__(self, value: Any) -> None:
        pass


class Returning(AsyncOutputModel):
    def predict(self, model_input: Any) -> Any:
        return model_input


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: {"boxes": [Raises()]},
            "the output's part boxes[0] cannot be read: RuntimeError: it was on another device",
        ),
        (lambda: {"boxes": Hides()}, "the output's part boxes cannot be read: LookupError: no class"),
    ],
)
def test_what_an_output_raises_is_recorded(
    store: OutputStore, make_request: MakeRequest, make: Callable[[], Any], told: str
) -> None:
    model: Any = Returning()
    request = make_request("r")
    with pytest.raises((OutputError, LookupError)):
        model.postprocess(model.predict(make(), request), request)
    with pytest.raises(RequestFailedError) as caught:
        store.get("r")
    assert told in str(caught.value)


SECRET = "hf_0123456789"


class Raising(AsyncOutputModel):
    def __init__(self, config: Any, secrets: Any) -> None:
        self._token = secrets["hf_token"]

    def predict(self, model_input: Any) -> None:
        try:
            raise KeyError(model_input)
        except KeyError as error:
            raise LookupError(f"no access with {self._token} to https://me:pw@example.com/") from error


def test_a_saved_error_has_the_type_and_the_traceback_and_no_secret(
    make_request: MakeRequest, store: OutputStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "from-the-environment")
    model: Any = Raising(config={"secrets": {"hf_token": None}}, secrets={"hf_token": SECRET})
    with pytest.raises(LookupError):
        model.predict("from-the-environment", make_request("r"))
    with pytest.raises(RequestFailedError) as caught:
        store.get("r")
    (error,) = caught.value.result.errors
    told = error.model_dump()
    assert told["type"] == "LookupError"
    lines = told["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "LookupError: no access with *** to https://***@example.com/"
    assert "KeyError: '***'" in lines
    assert SECRET not in told["traceback"]
    assert "hooks.py" not in told["traceback"]


def test_a_traceback_without_end_is_cut() -> None:
    def deeper(levels: int) -> None:
        if levels:
            deeper(levels - 1)
        raise ValueError("x" * 50_000)

    with pytest.raises(ValueError, match="x") as caught:
        deeper(300)
    told = told_traceback(caught.value, secrets=())
    assert len(told) <= MAX_CHARACTERS + 1
    assert told.startswith("…")


def test_an_exception_that_cannot_be_printed_has_a_traceback() -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "Unprintable" in told_traceback(UnprintableError("\ud83d"), secrets=())
