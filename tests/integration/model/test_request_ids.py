"""How the request id is found, used and refused inside the real Truss server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.model.model_server import wait_until

if TYPE_CHECKING:
    from tests.integration.model.conftest import Reload, Serve

SOURCE = """
import asyncio, logging
from truss_async.model import AsyncOutputModel

class Model(AsyncOutputModel):
    def load(self):
        assert self.predict(1) == {"ids": [None, None]}   # a warm-up, outside of any request

    def preprocess(self, model_input):
        return [self.context.get("request_id")]

    def predict(self, ids):
        logging.info("predict runs")
        ids = ids if isinstance(ids, list) else [None]
        return {"ids": [*ids, self.context.get("request_id")]}

    async def postprocess(self, output):
        in_thread = await asyncio.to_thread(lambda: self.context["request_id"])
        return {"ids": [*output["ids"], self.context["request_id"], in_thread]}
"""

UNSAFE_IDS = ["../escape", "a/b", "a\\b", "..", ".hidden", "x" * 300, "a b", "caf\u00e9", "a.json"]


def test_every_hook_sees_its_own_request_id(serve: Serve) -> None:
    server = serve(SOURCE)
    for request_id in ("first", "second"):
        assert server.predict({}, request_id).json == {"ids": [request_id] * 4}
        assert server.result(request_id).data == {"ids": [request_id] * 4}


def test_an_unsafe_request_id_is_refused_before_predict(reload: Reload) -> None:
    server = reload(SOURCE)
    for request_id in UNSAFE_IDS:
        answer = server.predict({}, request_id)
        assert answer.status == 422
        assert "cannot be part of an object key" in answer.json["error"]
    wait_until(lambda: len(server.logged("a request is refused")) == len(UNSAFE_IDS), "each is logged")
    assert not server.logged("predict runs")
    assert server.stored_files() == []
    assert not (server.folder / "escape.json").exists()


def test_a_request_without_an_id_is_saved_under_a_new_one(reload: Reload) -> None:
    server = reload(SOURCE)
    answer = server.predict({})
    (name,) = server.stored_files()
    assert re.fullmatch(r"[0-9a-f]{32}\.json", name)
    request_id = name.removesuffix(".json")
    assert answer.json == {"ids": [request_id] * 4}
    server.wait_for_log(f"its output is saved as {request_id}")


@pytest.mark.parametrize("is_async", [False, True])
def test_the_platform_documentations_snippet_works(reload: Reload, is_async: bool) -> None:
    define = "async def" if is_async else "def"
    server = reload(
        f"""
import pathlib
from truss_async.model import AsyncOutputModel

class Model(AsyncOutputModel):
    {define} predict(self, model_input):
        return {{"text": "output"}}

    {define} postprocess(self, model_output):
        request_id = self.context.get("request_id")
        pathlib.Path(f"{{request_id}}.txt").write_text(model_output["text"])
        return {{"request_id": request_id}}
"""
    )
    assert server.predict({}, "doc").json == {"request_id": "doc"}
    assert (server.folder / "app" / "doc.txt").read_text() == "output"


def test_a_hook_that_calls_another_saves_once(reload: Reload) -> None:
    server = reload(
        """
import logging, pathlib
from truss_async.model import AsyncOutputModel

class Parent(AsyncOutputModel):
    def predict(self, model_input):
        return {"parent": self.postprocess([])}

    def postprocess(self, output):
        return [*output, "parent post"]

class Model(Parent):
    def predict(self, model_input):
        return super().predict(model_input)["parent"]

    def postprocess(self, output):
        if self.context:
            logging.info("files so far: %d", len(list(pathlib.Path("../store").rglob("*.json"))))
        return super().postprocess(output)
"""
    )
    expected = ["parent post", "parent post"]
    assert server.predict({}, "nested").json == expected
    assert server.result("nested").data == expected
    wait_until(lambda: len(server.logged("files so far: 0")) == 2, "both calls of postprocess are logged")
    assert server.stored_files() == ["nested.json"]


def test_a_repeated_request_replaces_its_own_object(reload: Reload) -> None:
    server = reload(
        "from truss_async.model import AsyncOutputModel\n"
        "class Model(AsyncOutputModel):\n    def predict(self, x):\n        return x\n"
    )
    for model_input in (1, 2):
        server.predict(model_input, "again")
        assert server.result("again").data == model_input
    assert server.stored_files() == ["again.json"]
