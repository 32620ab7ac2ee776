"""Models that stream, passed through the plugin in the real Truss server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.model.conftest import Serve

HEADER = """
from fastapi.responses import StreamingResponse
from truss_async.model import AsyncOutputModel, save_output

async def stream():
    for text in ("one ", "two"):
        yield text

class Base(AsyncOutputModel):
    def predict(self, model_input):
        return model_input

class Plain:
    pass
"""
SHAPES = {
    "generator": """
class Model(AsyncOutputModel):
    def predict(self, model_input):
        yield "one "
        yield "two"
""",
    "async generator": """
class Model(AsyncOutputModel):
    def preprocess(self, model_input):
        return ["one ", "two"]

    async def predict(self, model_input):
        for each in model_input:
            yield each
""",
    "overrides": """
class Model(Base):
    async def predict(self, model_input):
        async for each in stream():
            yield each
""",
    "decorated": """
class Model(Plain):
    @save_output
    async def predict(self, model_input):
        async for each in stream():
            yield each
""",
    "postprocess": """
class Model(AsyncOutputModel):
    def predict(self, model_input):
        return ["one ", "two"]

    def postprocess(self, output):
        yield from output
""",
    "returned": """
class Model(AsyncOutputModel):
    async def predict(self, model_input):
        return stream()
""",
    "response": """
class Model(AsyncOutputModel):
    def predict(self, model_input):
        return StreamingResponse(stream())
""",
    "returned by postprocess": """
class Model(AsyncOutputModel):
    def predict(self, model_input):
        return model_input

    @save_output
    def postprocess(self, output):
        return StreamingResponse(stream())
""",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_is_passed_through_and_not_saved(serve: Serve, shape: str) -> None:
    server = serve(HEADER + SHAPES[shape], TRUSS_ASYNC_OUTPUT_STREAMING="pass")
    answer = server.predict({}, "s")
    assert (answer.status, answer.body) == (200, b"one two")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert server.stored_files() == []
    server.wait_for_log("streams its output, which is not saved")


def test_whoever_passes_streams_still_saves_what_does_not_stream(serve: Serve) -> None:
    server = serve(
        HEADER
        + "class Model(AsyncOutputModel):\n"
        + "    async def predict(self, model_input):\n"
        + "        return stream() if model_input else {'whole': True}\n",
        config={"model_metadata": {"async_output": {"streaming": "pass"}}},
    )
    assert server.predict(True, "s").body == b"one two"
    assert server.predict(False, "w").json == server.result("w").data == {"whole": True}
    assert server.stored_files() == ["w.json"]
