"""A request that fails in the model leaves its error in the store, and is answered as without the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from truss_async.contract import AsyncPredictResult
from truss_async.harness.decisions import Failed, ModelAnswer, judge_answer

if TYPE_CHECKING:
    from tests.integration.model.conftest import Reload
    from tests.integration.model.model_server import ModelServer

MODEL = """
from fastapi import HTTPException
from truss_async.model import AsyncOutputModel

class Model({base}):
    {settings}
    {define} preprocess(self, model_input):
        return self.step("preprocess", model_input)

    {define} predict(self, model_input):
        return self.step("predict", model_input)

    {define} postprocess(self, output):
        return self.step("postprocess", output)

    def step(self, name, value):
        if value == name:
            raise ValueError("secret detail")
        if value == name + " 422":
            raise HTTPException(422, "no page in it")
        if value == name + " 429":
            raise HTTPException(429, "later")
        return value
"""


def model(define: str, *, base: str = "AsyncOutputModel", settings: str = "") -> str:
    return MODEL.format(define=define, base=base, settings=settings)


def error_of(server: ModelServer, request_id: str) -> AsyncPredictResult:
    stored = (server.folder / "store" / f"{request_id}.error.json").read_bytes()
    return AsyncPredictResult.model_validate_json(stored)


@pytest.mark.parametrize("define", ["def", "async def"])
def test_what_a_hook_raises_is_saved_and_answered_unchanged(reload: Reload, define: str) -> None:
    names = ["preprocess", "predict", "postprocess"]
    inputs = [*names, *(f"{name} 422" for name in names)]
    bare = reload(model(define, base="object"))
    expected = [bare.predict(each, "x") for each in inputs]
    server = reload(model(define))
    for each, without in zip(inputs, expected, strict=True):
        request_id = each.replace(" ", "-")
        answer = server.predict(each, request_id)
        assert (answer.status, answer.body) == (without.status, without.body)
        saved = error_of(server, request_id)
        [error] = saved.errors
        assert (saved.request_id, saved.data) == (request_id, None)
        assert error.message == answer.json["error"]
        assert error.code == ("MODEL_INVALID_INPUT" if "422" in each else "MODEL_PREDICT_ERROR")


def test_neither_a_later_success_nor_an_earlier_one_is_hidden(reload: Reload) -> None:
    server = reload(model("def"))
    for model_input in ("predict", "fine", "predict"):
        server.predict(model_input, "r")
    assert server.stored_files() == ["r.error.json", "r.json"]
    assert server.result("r").data == "fine"


def test_no_error_is_saved_of_a_model_that_is_busy_or_does_not_want_it(reload: Reload) -> None:
    server = reload(model("def"))
    assert server.predict("predict 429", "busy").status == 429
    assert server.stored_files() == []
    server = reload(model("def", settings="output_save_errors = False"))
    assert server.predict("predict", "unsaved").status == 500
    assert server.stored_files() == []


def test_a_store_that_fails_does_not_mask_the_models_own_exception(reload: Reload) -> None:
    server = reload(model("async def"))
    (server.folder / "store").write_text("a file stands where the folder should be")
    answer = server.predict("predict 422", "masked")
    assert (answer.status, answer.json) == (422, {"error": "no page in it"})
    server.wait_for_log("the error of request masked is not saved: cannot write")


OBJECTS = """
from fastapi import HTTPException
from truss_async.model import AsyncOutputModel

OPENAI = {"message": "no such page", "type": "invalid_request_error", "code": "page_not_found"}
CHAINLET = {"exception_cls_name": "LookupError", "exception_message": "no page 7"}

class Model(AsyncOutputModel):
    def predict(self, model_input):
        if model_input == "detail":
            raise HTTPException(422, detail={"message": "page 7 is not readable", "page": 7})
        if model_input == "openai":
            raise HTTPException(404, detail={"error": OPENAI})
        raise HTTPException(500, detail=CHAINLET)
"""


def test_an_error_that_is_an_object_reaches_webhook_store_and_log(reload: Reload) -> None:
    server = reload(OBJECTS)
    expected = {
        "detail": "page 7 is not readable",
        "openai": "invalid_request_error: no such page (page_not_found)",
        "chainlet": "LookupError: no page 7",
    }
    for model_input, message in expected.items():
        answer = server.predict(model_input, model_input)
        outcome = judge_answer(ModelAnswer(answer.status, {}, answer.body))
        assert isinstance(outcome, Failed)
        assert outcome.error.message == message  # what the webhook carries
        assert error_of(server, model_input).errors[0].message == message
        server.wait_for_log(message.partition(": ")[2].partition(" (")[0] or message)
