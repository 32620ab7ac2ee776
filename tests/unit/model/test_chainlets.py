"""Chainlets, without the framework that makes trusses of them."""

from __future__ import annotations

import asyncio
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from truss_async.errors import RequestFailedError, SettingsError, UnsupportedModelError
from truss_async.model import save_output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from truss_async.stores import OutputStore


@pytest.fixture
def _in_truss_server(monkeypatch: pytest.MonkeyPatch) -> None:
    utils: Any = types.ModuleType("truss_chains.remote_chainlet.utils")
    utils.get_request_id = lambda: "r"
    monkeypatch.setitem(sys.modules, utils.__name__, utils)
    monkeypatch.setitem(sys.modules, "model_wrapper", types.ModuleType("model_wrapper"))


def chainlet_class(**settings: Any) -> Any:
    class Halving:
        """As its author wrote it."""

        def __init__(self, most: int = 100) -> None:
            self.most = most

        @save_output(**settings)
        def run_remote(self, n: int) -> dict[str, Any]:
            return {"half": n / min(n, 2), "raw": b"GIF89a"}

    return Halving


@pytest.mark.usefixtures("_in_truss_server")
def test_a_synchronous_chainlet_saves_what_it_answers(store: OutputStore) -> None:
    assert chainlet_class()(most=1).run_remote(4) == {"half": 2.0, "raw": b"GIF89a"}
    assert store.get("r").data["half"] == 2.0
    assert store.get("r").data["raw"]["url"] == f"{store.url}/r/raw.gif"


@pytest.mark.usefixtures("_in_truss_server")
def test_what_it_raises_is_saved_and_goes_on(store: OutputStore) -> None:
    with pytest.raises(ZeroDivisionError):
        chainlet_class()().run_remote(0)
    with pytest.raises(RequestFailedError, match="MODEL_PREDICT_ERROR"):
        store.get("r")


@pytest.mark.usefixtures("_in_truss_server")
def test_an_asynchronous_chainlet_saves_too(store: OutputStore) -> None:
    class Slow:
        @save_output
        async def run_remote(self, n: int) -> int:
            return n

    assert asyncio.run(Slow().run_remote(3)) == 3
    assert store.get("r").data == 3


@pytest.mark.usefixtures("_in_truss_server")
def test_wrong_settings_fail_when_it_is_made(store: OutputStore) -> None:
    with pytest.raises(SettingsError, match="Input should be 'result' or 'raw'"):
        chainlet_class(format="xml")()
    with pytest.raises(
        UnsupportedModelError, match="respond_with: a chainlet can answer nothing but its output"
    ):
        chainlet_class(respond_with="reference")()


def test_outside_of_the_server_it_is_what_its_author_wrote(store: OutputStore) -> None:
    halving = chainlet_class(format="xml")
    assert halving().run_remote(4)["half"] == 2.0
    assert halving.__new__ is object.__new__
    assert not list(store.list())


def test_one_that_streams_is_refused_when_it_is_written() -> None:
    async def run_remote(self: object) -> AsyncIterator[str]:
        yield "one"

    with pytest.raises(
        UnsupportedModelError, match=r"run_remote streams its output: .* return the whole output"
    ):
        save_output(run_remote)
    save_output(streaming="pass")(run_remote)


class GeneratedModel:
    """As truss generates it round a chainlet, as far as it matters here."""

    def __init__(self, chainlet: Any) -> None:
        self._chainlet = chainlet


class ModelDescriptor:
    """As the server has it: looks at a model's hooks before it loads it."""

    @classmethod
    def from_model(cls, model: Any) -> bool:
        return hasattr(model, "postprocess")


@pytest.fixture
def _in_server_that_looks(_in_truss_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = sys.modules["model_wrapper"]
    server.ModelDescriptor = type("ModelDescriptor", (ModelDescriptor,), {})


class SyncModel(GeneratedModel):
    def predict(self, n: int, request: Request) -> dict[str, Any]:
        answer: dict[str, Any] = self._chainlet.run_remote(n)
        return answer


class AsyncModel(GeneratedModel):
    async def predict(self, n: int, request: Request) -> int:
        answer: int = await self._chainlet.run_remote(n)
        return answer


def generated(kind: type[GeneratedModel], chainlet: Any) -> Any:
    """A model of this kind, of a class of its own, as each chainlet has one."""
    return type(
        "TrussChainletModel", (kind,), {**vars(kind), "__annotations__": {"_chainlet": type(chainlet)}}
    )(chainlet)


@pytest.mark.usefixtures("_in_server_that_looks")
def test_the_generated_model_saves_after_predict(store: OutputStore) -> None:
    model = generated(SyncModel, chainlet_class()())
    assert sys.modules["model_wrapper"].ModelDescriptor.from_model(model)
    request = Request({"type": "http", "headers": []})
    carried = model.predict(4, request)
    assert not list(store.list())
    assert model.postprocess(carried, request) == {"half": 2.0, "raw": b"GIF89a"}
    assert store.get("r").data["half"] == 2.0
    assert (
        inspect.signature(model.postprocess).return_annotation
        == inspect.signature(model.predict).return_annotation
    )
    assert "is_disconnected" not in vars(request)


@pytest.mark.usefixtures("_in_server_that_looks")
def test_an_asynchronous_generated_model_saves_after_predict(store: OutputStore) -> None:
    class Slow:
        @save_output
        async def run_remote(self, n: int) -> int:
            return n

    async def served(model: Any) -> Any:
        request = Request({"type": "http", "headers": []})
        carried = await model.predict(3, request)
        assert not list(store.list())
        return await model.postprocess(carried, request)

    model = generated(AsyncModel, Slow())
    assert sys.modules["model_wrapper"].ModelDescriptor.from_model(model)
    assert asyncio.run(served(model)) == 3
    assert store.get("r").data == 3


@pytest.mark.usefixtures("_in_server_that_looks")
def test_models_of_other_chainlets_are_left_alone() -> None:
    class Plain:
        def run_remote(self, n: int) -> int:
            return n

    chainlet_class()
    assert not sys.modules["model_wrapper"].ModelDescriptor.from_model(generated(SyncModel, Plain()))
    assert not sys.modules["model_wrapper"].ModelDescriptor.from_model(GeneratedModel(Plain()))
