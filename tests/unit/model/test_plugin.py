"""Models used directly, as their authors' own unit tests would."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.errors import OutputError, RequestFailedError, SettingsError, UnsupportedModelError
from truss_async.model import AsyncOutputModel, save_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from tests.unit.model.conftest import MakeRequest
    from truss_async.stores import OutputStore


def serve(model: Any, model_input: Any, request: Request) -> Any:
    """What the Truss server does with a synchronous model."""
    output = model.predict(model_input, request)
    return model.postprocess(output, request)


class Doubling(AsyncOutputModel):
    def predict(self, model_input: int) -> int:
        return model_input * 2


def test_a_direct_call_is_the_users_own_and_saves_nothing(store: OutputStore) -> None:
    model = Doubling()
    assert model.predict(2) == 4
    assert model.predict(model_input=2) == 4
    assert vars(model)["_truss_async_state"].saver is None


def test_a_direct_call_with_a_request_saves(store: OutputStore, make_request: MakeRequest) -> None:
    assert serve(Doubling(), 2, make_request("r")) == 4
    assert store.get("r").data == 4


def test_a_mistake_in_a_call_is_told_as_python_tells_it() -> None:
    class NoInput(AsyncOutputModel):
        def predict(self) -> int:
            return 1

    model: Any = NoInput()
    assert model.predict() == 1
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        model.predict(1)


def test_a_subclass_that_overrides_predict_saves_its_own(
    store: OutputStore, make_request: MakeRequest
) -> None:
    class Bold(Doubling):
        def predict(self, model_input: int) -> bool:
            return super().predict(model_input) > 3

    assert serve(Bold(), 2, make_request("r")) is True
    assert store.get("r").data is True
    returned = [inspect.signature(vars(each)["postprocess"]).return_annotation for each in (Doubling, Bold)]
    assert returned == [int, bool]


def test_hooks_of_a_mixin_save(store: OutputStore, make_request: MakeRequest) -> None:
    class Mixin:
        def predict(self, model_input: int) -> int:
            return model_input

        @staticmethod
        def postprocess(output: int) -> int:
            return -output

    class Mixed(Mixin, AsyncOutputModel):
        pass

    assert serve(Mixed(), 2, make_request("r")) == -2
    assert store.get("r").data == -2
    assert Mixin().predict(5) == 5


def test_subclasses_of_a_decorated_class_save(store: OutputStore, make_request: MakeRequest) -> None:
    made: list[str] = []

    class Decorated:
        def __init_subclass__(cls, *, label: str, **keywords: Any) -> None:
            super().__init_subclass__(**keywords)
            made.append(label)

        @save_output(model_id="m")
        def predict(self, model_input: int) -> int:
            return model_input

    class Derived(Decorated, label="x"):
        def predict(self, model_input: int) -> int:
            return super().predict(model_input) + 1

        def postprocess(self, output: int) -> int:
            return output * 10

    assert serve(Derived(), 2, make_request("r")) == 30
    assert (store.get("r").data, store.get("r").model_id) == (30, "m")
    assert made == ["x"]


def test_the_decorators_arguments_go_before_the_class_attribute(make_request: MakeRequest) -> None:
    class Both(AsyncOutputModel):
        output_url = "memory://attribute"

        @save_output(url="memory://argument")
        def predict(self, model_input: int) -> dict[str, Any]:
            return {"bytes": b"GIF89a"}

        @save_output(deployment_id="d")
        def postprocess(self, output: dict[str, Any]) -> dict[str, Any]:
            return output

    answer = serve(Both(), 2, make_request("r"))
    assert answer["bytes"]["url"] == "memory://argument/r/bytes.gif"


def test_the_users_own_context_wins(make_request: MakeRequest, store: OutputStore) -> None:
    class Own(AsyncOutputModel):
        def __init__(self) -> None:
            self.context = {"mine": "yes"}

        def predict(self, model_input: int) -> dict[str, str]:
            return dict(self.context)

    assert serve(Own(), 1, make_request("r")) == {"mine": "yes"}


def test_constructors_may_be_called_in_any_way() -> None:
    class Positional(AsyncOutputModel):
        def __init__(self, path: str, config: dict[str, Any], *, secrets: Any = None) -> None:
            self.given = (path, config, secrets)
            super().__init__(config=config)

    make: Any = Positional
    assert list(inspect.signature(make).parameters) == ["path", "config", "secrets", "environment"]
    assert make("p", {}).given == ("p", {}, None)
    assert make("p", config={}, secrets=1, environment=2).given == ("p", {}, 1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'config'"):
        make("p")
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        make("p", {}, colour=1)
    with pytest.raises(TypeError):
        Doubling(colour=1)


def test_other_bases_are_constructed_too() -> None:
    class Base:
        def __init__(self, config: dict[str, Any], **keywords: Any) -> None:
            self.base = (config, keywords)

    class Derived(AsyncOutputModel, Base):
        output_url = "memory://x"

    assert Derived(config={"a": 1}, secrets={}).base == ({"a": 1}, {"secrets": {}})


def test_a_config_resolves_the_settings_at_once_and_none_later(
    monkeypatch: pytest.MonkeyPatch, make_request: MakeRequest
) -> None:
    monkeypatch.delenv("TRUSS_ASYNC_OUTPUT_URL", raising=False)
    with pytest.raises(SettingsError, match="no output store is set"):
        Doubling(config={"model_name": "m"})
    with pytest.raises(SettingsError, match="no output store is set"):
        serve(Doubling(), 2, make_request())


def test_what_streams_is_refused_when_the_model_is_made() -> None:
    class Streaming(AsyncOutputModel):
        async def predict(self, model_input: int) -> Any:
            yield model_input

    class SetLater(AsyncOutputModel):
        def __init__(self) -> None:
            self.predict = Streaming.predict

    for made, name in ((Streaming, "Streaming"), (SetLater, "SetLater")):
        with pytest.raises(
            UnsupportedModelError, match=rf"{name}\.predict streams its output: .* return the whole"
        ):
            made()


def test_a_class_that_streams_may_be_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Streaming(Doubling):
        output_streaming = "pass"

        def predict(self, model_input: int) -> Any:
            yield model_input

    monkeypatch.delenv("TRUSS_ASYNC_OUTPUT_URL", raising=False)
    model = Streaming(config={"model_name": "m"})
    assert list(model.predict(2)) == [2]
    assert not hasattr(model, "postprocess")
    assert hasattr(Doubling(), "postprocess")
    monkeypatch.setattr(Streaming, "output_streaming", "perhaps")
    with pytest.raises(SettingsError, match="output_streaming: Input should be 'refuse' or 'pass'"):
        Streaming()


def test_a_stream_from_postprocess_is_refused(store: OutputStore, make_request: MakeRequest) -> None:
    class Lazy(Doubling):
        def postprocess(self, output: int) -> Iterator[int]:
            return (n for n in range(output))

    with pytest.raises(OutputError, match="a stream cannot be saved"):
        serve(Lazy(), 2, make_request("r"))
    with pytest.raises(RequestFailedError, match="a stream cannot be saved"):
        store.get("r")


def test_a_decorated_class_of_the_wrong_shape_cannot_be_constructed() -> None:
    class Misplaced:
        @save_output
        def load(self) -> None: ...

        def predict(self) -> None: ...

    class Streaming:
        @save_output(url="memory://x")
        def predict(self, model_input: int) -> Iterator[int]:
            yield model_input

    with pytest.raises(
        UnsupportedModelError, match="goes on predict, postprocess or run_remote, not on load"
    ):
        Misplaced()
    with pytest.raises(UnsupportedModelError, match=r"Streaming\.predict streams its output"):
        Streaming()


def test_the_decorator_works_on_nothing_but_methods() -> None:
    @save_output
    def outside(output: int) -> int:
        return output

    with pytest.raises(UnsupportedModelError, match="works on a method in a class body"):
        outside(1)


def test_concurrent_requests_keep_their_own_ids(store: OutputStore, make_request: MakeRequest) -> None:
    class Slow(AsyncOutputModel):
        async def predict(self, model_input: None) -> str:
            await SYSTEM_CLOCK.sleep(0)
            return self.context["request_id"]

        async def postprocess(self, output: str) -> list[str]:
            await SYSTEM_CLOCK.sleep(0)
            return [output, self.context["request_id"]]

    async def one(model: Any, request_id: str) -> None:
        request = make_request(request_id)
        await model.postprocess(await model.predict(None, request), request)

    async def all_at_once() -> None:
        model = Slow()
        await asyncio.gather(*(one(model, f"r{number}") for number in range(50)))

    asyncio.run(all_at_once())
    for number in range(50):
        assert store.get(f"r{number}").data == [f"r{number}"] * 2


LAPTOP = """
import sys
sys.modules.update({"starlette": None, "starlette.requests": None, "starlette.responses": None, "fastapi": None})
from truss_async.model import AsyncOutputModel
heavy = {"boto3", "google.cloud.storage", "smart_open", "numpy", "PIL"} & set(sys.modules)
assert not heavy, heavy

class Model(AsyncOutputModel):
    def predict(self, model_input):
        return [model_input, dict(self.context)]

model = Model()
assert model.postprocess(model.predict(1)) == [1, {}]
"""


def test_a_model_can_be_used_where_starlette_is_not_installed() -> None:
    done = subprocess.run([sys.executable, "-c", LAPTOP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
