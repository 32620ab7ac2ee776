"""Every shape of model.py in the real Truss server: whether its output is saved, refused or left untouched."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Literal

import aiohttp
import pytest

from truss_async.replicas.protocol import ReplicaLoadError

if TYPE_CHECKING:
    from tests.integration.model.conftest import Reload, Serve, ServeAll
    from tests.integration.model.model_server import ModelServer

HEADER = """\
import asyncio
from fastapi import Request
from fastapi.responses import JSONResponse, StreamingResponse
from truss_async.model import AsyncOutputModel, save_output

async def stream():
    for text in ("one ", "two"):
        yield text
"""
HOOKS = ("preprocess", "predict", "postprocess")


@dataclasses.dataclass(frozen=True)
class Written:
    """A model.py whose hooks each add what they have seen, and how it asks for its output to be saved."""

    hooks: tuple[str, ...]
    are_async: frozenset[str]
    take_request: frozenset[str]
    how: Literal["base class", "decorator", "inheritance"]
    postponed: bool

    @property
    def source(self) -> str:
        future = "from __future__ import annotations\n" if self.postponed else ""
        if self.how == "base class":
            return f"{future}{HEADER}\nclass Model(AsyncOutputModel):\n{self._hooks(*self.hooks)}"
        if self.how == "decorator":
            return f"{future}{HEADER}\nclass Model:\n{self._hooks(*self.hooks, decorated=self.hooks[-1])}"
        others = [name for name in self.hooks if name != "predict"]
        return (
            f"{future}{HEADER}\nclass Base(AsyncOutputModel):\n"
            f"    def predict(self, value):\n        return 'overridden'\n{self._hooks(*others)}\n"
            f"class Model(Base):\n{self._hooks('predict')}"
        )

    def expected(self, request_id: str) -> dict[str, object]:
        seen: dict[str, object] = {"a": 1}
        for name in self.hooks:
            seen[name] = request_id
            if name in self.take_request:
                seen[f"{name} header"] = request_id
        return seen

    def _hooks(self, *names: str, decorated: str = "") -> str:
        return "".join(self._hook(name, is_decorated=name == decorated) for name in names)

    def _hook(self, name: str, *, is_decorated: bool) -> str:
        define = "async def" if name in self.are_async else "def"
        second = ", request: Request" if name in self.take_request else ""
        header = f"'{name} header': request.headers['x-baseten-request-id']" if second else ""
        return (
            ("    @save_output\n" if is_decorated else "")
            + f"    {define} {name}(self, value: dict{second}) -> dict:\n"
            + f"        return {{**value, '{name}': self.context['request_id'], {header}}}\n"
        )


def written() -> list[Written]:
    every = itertools.product((False, True), (False, True), ("sync", "async", "mixed"))
    shapes: list[Written] = []
    for has_preprocess, has_postprocess, colour in every:
        present = {"preprocess": has_preprocess, "predict": True, "postprocess": has_postprocess}
        hooks = tuple(name for name in HOOKS if present[name])
        are_async = {"sync": hooks[:0], "async": hooks, "mixed": hooks[::2]}[colour]
        for taken in itertools.product((False, True), repeat=len(hooks)):
            take_request = frozenset(itertools.compress(hooks, taken))
            for how in ("base class", "decorator", "inheritance"):
                if how != "base class" and len(take_request) not in (0, len(hooks)):
                    continue  # it has no say in who takes the request
                # Either way with everything, and not with every combination of everything.
                postponed = (len(take_request) + len(shapes)) % 2 == 0
                shapes.append(Written(hooks, frozenset(are_async), take_request, how, postponed))
    return shapes


def test_models_of_every_combination_of_hooks_are_saved(reload: Reload) -> None:
    for number, shape in enumerate(written()):
        request_id = f"shape-{number}"
        server = reload(shape.source)
        answer = server.predict({"a": 1}, request_id)
        expected = shape.expected(request_id)
        assert (answer.status, answer.json) == (200, expected), shape
        assert server.stored_files() == [f"{request_id}.json"], shape
        assert server.result(request_id).data == expected, shape


MODEL = "class Model(AsyncOutputModel):\n"
SAVED = {
    "no argument": f"{MODEL}    def predict(self):\n        return 'out'\n",
    "request alone": f"{MODEL}    async def predict(self, request: Request):\n        return (await request.json())['text']\n",
    "request alone, sync": f"{MODEL}    def predict(self, request: Request):\n        return 'out'\n",
    "static method": f"{MODEL}    @staticmethod\n    def predict(value):\n        return value['text']\n",
    "class method": f"{MODEL}    @classmethod\n    async def predict(cls, value, request: Request):\n        return value['text']\n",
    "no annotation for a type checker's eyes": f"{MODEL}    def predict(self, value: 'Unknown') -> 'Unknown':\n        return 'out'\n",
    "class attribute": f"{MODEL}    output_model_id = 'm'\n    def predict(self, value):\n        return 'out'\n",
    "response": f"{MODEL}    def predict(self, value):\n        return JSONResponse('out')\n",
    "response, async": f"{MODEL}    async def predict(self, value):\n        return JSONResponse('out')\n",
    "response of postprocess": (
        "class Model:\n    def predict(self, value):\n        return value['text']\n"
        "    @save_output\n    async def postprocess(self, value):\n        return JSONResponse(value)\n"
    ),
    "mixin": (
        "class Mixin:\n    def predict(self, value):\n        return value['text']\n"
        "class Model(Mixin, AsyncOutputModel):\n    pass\n"
    ),
    "subclass of a decorated class": (
        "class Base:\n    @save_output\n    def predict(self, value):\n        return 'overridden'\n"
        "class Model(Base):\n    async def predict(self, value):\n        return value['text']\n"
    ),
    "base class and decorator": f"{MODEL}    @save_output(format='result')\n    def predict(self, value):\n        return 'out'\n",
    "other decorators": (
        "import functools\n"
        "def shout(method):\n    @functools.wraps(method)\n"
        "    def louder(self, value):\n        return method(self, value).lower()\n    return louder\n"
        "class Model:\n    @save_output\n    @shout\n    def predict(self, value):\n        return 'OUT'\n"
    ),
}


@pytest.mark.parametrize("name", SAVED)
def test_other_shapes_that_are_saved(reload: Reload, name: str) -> None:
    server = reload(f"{HEADER}\n{SAVED[name]}")
    answer = server.predict({"text": "out"}, "r")
    assert (answer.status, answer.json) == (200, "out")
    assert server.stored_files() == ["r.json"]
    assert server.result("r").data == "out"


STREAMS = {
    "generator": f"{MODEL}    def predict(self, value):\n        yield 'one '\n        yield 'two'\n",
    "async generator": (
        f"{MODEL}    def preprocess(self, value):\n        return ['one ', 'two']\n"
        "    async def predict(self, value):\n        for each in value:\n            yield each\n"
    ),
    "generator that overrides": (
        "class Base(AsyncOutputModel):\n    def predict(self, value):\n        return value\n"
        "class Model(Base):\n    async def predict(self, value):\n"
        "        async for each in stream():\n            yield each\n"
    ),
    "decorated generator": (
        "class Model:\n    @save_output\n    async def predict(self, value):\n"
        "        async for each in stream():\n            yield each\n"
    ),
    "postprocess that is a generator": (
        f"{MODEL}    def predict(self, value):\n        return ['one ', 'two']\n"
        "    def postprocess(self, value):\n        yield from value\n"
    ),
    "stream at run time": f"{MODEL}    async def predict(self, value):\n        return stream()\n",
    "stream at run time, sync": f"{MODEL}    def predict(self, value):\n        return (each for each in ('one ', 'two'))\n",
    "streaming response": f"{MODEL}    def predict(self, value):\n        return StreamingResponse(stream())\n",
    "streaming response of postprocess": (
        f"{MODEL}    def predict(self, value):\n        return value\n"
        "    async def postprocess(self, value):\n        return StreamingResponse(stream())\n"
    ),
}
KNOWN_AT_LOAD = [name for name in STREAMS if "generator" in name]


def test_streams_are_refused_with_the_remedy(serve_all: ServeAll) -> None:
    servers = serve_all({name: f"{HEADER}\n{source}" for name, source in STREAMS.items()})
    for name, server in servers.items():
        if name in KNOWN_AT_LOAD:
            assert isinstance(server, ReplicaLoadError), name
            assert "streams its output: a stream cannot be saved: return the whole output" in str(server)
        else:
            assert not isinstance(server, ReplicaLoadError), name
            assert server.predict({}, "r").status == 500
            server.wait_for_log("a stream cannot be saved: return the whole output")
            assert server.stored_files() == ["r.error.json"], name


def test_streams_are_untouched_where_they_are_passed(serve_all: ServeAll) -> None:
    sources = {name: f"{HEADER}\n{source}" for name, source in STREAMS.items()}
    for name, server in serve_all(sources, TRUSS_ASYNC_OUTPUT_STREAMING="pass").items():
        assert not isinstance(server, ReplicaLoadError), name
        answer = server.predict({}, "s")
        assert (answer.status, answer.body) == (200, b"one two"), name
        assert answer.headers["Transfer-Encoding"] == "chunked", name
        assert server.stored_files() == [], name
        server.wait_for_log("streams its output, which is not saved")


def test_whoever_passes_streams_still_saves_what_does_not_stream(serve: Serve) -> None:
    predict = "    async def predict(self, value):\n        return stream() if value else {'whole': True}\n"
    config = {"model_metadata": {"async_output": {"streaming": "pass"}}}
    server = serve(f"{HEADER}\n{MODEL}{predict}", config=config)
    assert server.predict(True, "s").body == b"one two"
    assert server.predict(False, "w").json == server.result("w").data == {"whole": True}
    assert server.stored_files() == ["w.json"]


async def websocket_echo(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/v1/websocket") as websocket:
        await websocket.send_str("hello")
        return str(await websocket.receive_str(timeout=20))


def test_the_rest_in_servers_of_their_own(serve_all: ServeAll) -> None:
    """A websocket model is untouched, what Truss refuses it still refuses, and what is saved by a hot-reloaded model
    is saved by a fresh one.
    """
    saved = [shape for shape in written() if shape.postponed and len(shape.hooks) != 2][::7]
    websocket = "    async def websocket(self, websocket):\n        await websocket.send_text(await websocket.receive_text())\n"
    sources = {
        "websocket": f"{HEADER}\n{MODEL}{websocket}",
        "two arguments": f"{HEADER}\n{MODEL}    def predict(self, one, two):\n        return one\n",
        **{str(number): shape.source for number, shape in enumerate(saved)},
    }
    servers = serve_all(sources)
    untouched = running(servers.pop("websocket"))
    assert untouched.loop.run(websocket_echo(untouched.url)) == "hello"
    assert untouched.stored_files() == []
    refused = servers.pop("two arguments")
    assert isinstance(refused, ReplicaLoadError)
    assert "`predict` method with two arguments must have request as second argument" in str(refused)
    for shape, found in zip(saved, servers.values(), strict=True):
        server = running(found)
        assert server.predict({"a": 1}, "fresh").json == shape.expected("fresh"), shape
        assert server.result("fresh").data == shape.expected("fresh"), shape
        server.wait_for_log("outputs are saved under file://")


def running(server: ModelServer | ReplicaLoadError) -> ModelServer:
    assert not isinstance(server, ReplicaLoadError), server
    return server
