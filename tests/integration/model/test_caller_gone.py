"""The caller gives up while predict runs: Truss would skip postprocess, and with it the save."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.model.model_server import wait_until
from truss_async.errors import ObjectNotFoundError

if TYPE_CHECKING:
    from tests.integration.model.conftest import Reload
    from tests.integration.model.model_server import ModelServer

SYNC_PREDICT = """
    def predict(self{parameters}):
        (FOLDER / "started").touch()
        (FOLDER / "gate").read_text()
        return {{"predicted": True}}
"""
ASYNC_PREDICT = """
    async def predict(self{parameters}):
        (FOLDER / "started").touch()
        await asyncio.to_thread((FOLDER / "gate").read_text)
        return {{"predicted": True}}
"""
SYNC_POSTPROCESS = """
    def postprocess(self, output):
        return {**output, "postprocessed": self.context["request_id"]}
"""
ASYNC_POSTPROCESS = SYNC_POSTPROCESS.replace("def ", "async def ")

HEADER = """
import asyncio, logging, os, pathlib
from fastapi import Request
from truss_async.model import AsyncOutputModel

FOLDER = pathlib.Path.cwd().parent
"""


def abandon(server: ModelServer, request_id: str) -> None:
    server.abandon({}, request_id)
    wait_until(lambda: f"{request_id}.json" in server.stored_files(), f"the output of {request_id} is saved")
    server.wait_for_log(f"the caller of request {request_id} disconnected")


@pytest.mark.parametrize("predict", [SYNC_PREDICT, ASYNC_PREDICT], ids=["sync", "async"])
def test_the_output_of_an_abandoned_call_is_saved(reload: Reload, predict: str) -> None:
    head = HEADER + "class Model(AsyncOutputModel):" + predict.format(parameters=", model_input")
    for name, postprocess in (("none", ""), ("sync", SYNC_POSTPROCESS), ("async", ASYNC_POSTPROCESS)):
        server = reload(head + postprocess)
        abandon(server, name)
        expected = {"predicted": True, "postprocessed": name} if postprocess else {"predicted": True}
        assert server.result(name).data == expected
        assert not server.logged("Client disconnected")


@pytest.mark.parametrize("parameters", ["", ", request: Request"])
def test_so_it_is_whatever_predict_takes(reload: Reload, parameters: str) -> None:
    source = HEADER + "class Model(AsyncOutputModel):" + SYNC_PREDICT.format(parameters=parameters)
    abandon(reload(source), "other")


def test_without_the_plugin_truss_skips_postprocess(reload: Reload) -> None:
    """What the plugin is there for; when this fails, the server has changed and the plugin may be simpler."""
    source = HEADER + "class Model:" + SYNC_PREDICT.format(parameters=", model_input")
    server = reload(
        source + '\n    def postprocess(self, output):\n        logging.info("postprocess runs")\n'
    )
    server.abandon({}, "lost")
    server.wait_for_log("skipping `postprocess`")
    assert not server.logged("postprocess runs")


def test_postprocess_may_ask_whether_the_caller_has_gone(reload: Reload) -> None:
    source = HEADER + "class Model(AsyncOutputModel):" + ASYNC_PREDICT.format(parameters=", model_input")
    server = reload(
        source
        + """
    async def postprocess(self, output, request: Request):
        return {"gone": await request.is_disconnected()}
"""
    )
    abandon(server, "asked")
    assert server.result("asked").data == {"gone": True}


def test_a_call_that_is_abandoned_before_predict_computes_nothing(reload: Reload) -> None:
    server = reload(
        HEADER
        + "class Model(AsyncOutputModel):"
        + """
    def preprocess(self, model_input):
        (FOLDER / "started").touch()
        (FOLDER / "gate").read_text()

    def predict(self, model_input):
        logging.info("predict runs")
"""
    )
    server.abandon({}, "early")
    server.wait_for_log("skipping `predict`")
    assert not server.logged("predict runs")
    with pytest.raises(ObjectNotFoundError):
        server.result("early")
