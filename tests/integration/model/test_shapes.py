"""Every shape of model.py in the real Truss server: what is answered is saved, once, under the request id."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.model.conftest import Reload, Serve
    from tests.integration.model.model_server import ModelServer

HEADER = """\
from fastapi import Request
from truss_async.model import AsyncOutputModel, save_output
"""


def model_source(
    *, is_async: bool, postprocess: bool, request: bool, postponed: bool, decorated: bool
) -> str:
    define = "async def" if is_async else "def"
    second = ", request: Request" if request else ""
    lines = [
        "from __future__ import annotations" if postponed else "",
        HEADER,
        "class Model:" if decorated else "class Model(AsyncOutputModel):",
    ]
    if decorated and not postprocess:
        lines.append("    @save_output")
    lines += [
        f"    {define} predict(self, model_input: dict{second}) -> dict:",
        "        output = {'sum': model_input['a'] + 1, 'seen': self.context['request_id']}",
        "        output['header'] = request.headers['x-baseten-request-id']" if request else "",
        "        return output",
    ]
    if postprocess:
        if decorated:
            lines.append("    @save_output()")
        lines += [
            f"    {define} postprocess(self, output{second}) -> dict:",
            "        return {**output, 'post': self.context.get('request_id')}",
        ]
    return "\n".join(lines) + "\n"


SHAPES = [
    dict(zip(("is_async", "postprocess", "request", "postponed", "decorated"), flags, strict=True))
    for flags in itertools.product((False, True), repeat=5)
]


def check_shape(server: ModelServer, shape: dict[str, bool], request_id: str) -> None:
    expected = {"sum": 42, "seen": request_id}
    if shape["request"]:
        expected["header"] = request_id
    if shape["postprocess"]:
        expected["post"] = request_id
    answer = server.predict({"a": 41}, request_id)
    assert (answer.status, answer.json) == (200, expected), shape
    assert server.result(request_id).data == expected, shape
    assert server.stored_files() == [f"{request_id}.json"], shape


def test_every_shape_saves_what_it_answers(reload: Reload) -> None:
    for number, shape in enumerate(SHAPES):
        server = reload(model_source(**shape))
        check_shape(server, shape, f"shape-{number}")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("decorated", [False, True])
def test_a_freshly_loaded_model_saves_what_it_answers(serve: Serve, is_async: bool, decorated: bool) -> None:
    shape = {
        "is_async": is_async,
        "postprocess": decorated,
        "request": not decorated,
        "postponed": True,
        "decorated": decorated,
    }
    server = serve(model_source(**shape))
    check_shape(server, shape, "fresh")
    server.wait_for_log("outputs are saved under file://")
