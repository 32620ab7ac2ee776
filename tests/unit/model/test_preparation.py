"""What saves the outputs is made while the model loads."""

from __future__ import annotations

import sys
import threading
import types
from typing import Any

import pytest

from truss_async.errors import OutputStoreError, SettingsError
from truss_async.model import AsyncOutputModel, saver_factory

CONFIG = {"model_name": "m", "model_metadata": {"async_output": {"url": "memory://preparation"}}}


@pytest.fixture(autouse=True)
def _in_truss_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model_wrapper", types.ModuleType("model_wrapper"))


class NoLoad(AsyncOutputModel):
    def predict(self, model_input: int) -> int:
        return model_input


class Loading(NoLoad):
    def load(self) -> str:
        """Load the weights."""
        return "loaded"


def saver_is_made(model: object) -> bool:
    return vars(model)["_truss_async_state"].saver is not None


@pytest.mark.parametrize("model_class", [NoLoad, Loading])
def test_the_end_of_the_load_waits_for_it(model_class: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, make = threading.Event(), saver_factory.make_saver

    def make_slowly(*arguments: Any, **keywords: Any) -> Any:
        assert go_on.wait(20)
        return make(*arguments, **keywords)

    monkeypatch.setattr(saver_factory, "make_saver", make_slowly)
    model: Any = model_class(config=CONFIG)
    assert not saver_is_made(model)
    loading = threading.Thread(target=model.load)
    loading.start()
    assert loading.is_alive()
    go_on.set()
    loading.join(20)
    assert saver_is_made(model)


def test_the_users_own_load_is_called_as_it_is() -> None:
    model: Any = Loading(config=CONFIG)
    assert (model.load(), model.load.__doc__) == ("loaded", "Load the weights.")

    class OnTheObject(NoLoad):
        def __init__(self) -> None:
            self.load = lambda: "object's own"

    model_class: Any = OnTheObject
    assert model_class(config=CONFIG).load() == "object's own"


def test_a_store_that_cannot_be_written_fails_the_load_after_the_users_own(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", f"{tmp_path.as_uri()}/file")
    with pytest.raises(OutputStoreError, match="truss-async-probe"):
        Loading(config={"model_name": "m"}).load()

    class Broken(NoLoad):
        def load(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Broken(config={"model_name": "m"}).load()


def test_a_wrong_setting_is_told_before_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_FORMAT", "xml")
    with pytest.raises(SettingsError, match="TRUSS_ASYNC_OUTPUT_FORMAT: Input should be 'result' or 'raw'"):
        NoLoad(config=CONFIG)
