from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from truss_async.model.user_methods import UserMethod, read_method

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
from typing import TYPE_CHECKING, Optional
import fastapi
from fastapi import Request
from pydantic import BaseModel
if TYPE_CHECKING:
    from decimal import Decimal
    from starlette.requests import Request as StarletteRequest
    import starlette.requests

class Input(BaseModel):
    n: int = 0

class Special(Request):
    pass

class Model:
"""

REQUEST = "request: starlette.requests.Request"
SPECIAL = "request: model.Special"

# What the user wrote, what Truss is told, and whether the user's own takes an input and a request.
SHAPES = {
    "def predict(self): ...": (f"(self, model_input, {REQUEST})", False, False),
    "def predict(self, x): ...": (f"(self, x, {REQUEST})", True, False),
    "async def predict(self, x): ...": (f"(self, x, {REQUEST})", True, False),
    "def predict(self, x: Input) -> Input: ...": (
        f"(self, x: model.Input, {REQUEST}) -> model.Input",
        True,
        False,
    ),
    "def predict(self, x: Input = Input()): ...": (f"(self, x: model.Input, {REQUEST})", True, False),
    "def predict(self, x: dict[str, Input]): ...": (f"(self, x: dict[str, model.Input], {REQUEST})", True, False),
    "def predict(self, *x): ...": (f"(self, x, {REQUEST})", True, False),
    "def predict(self, request): ...": (f"(self, request, {REQUEST.replace('request:', 'request_:')})", True, False),
    "def predict(self, x, request: Request): ...": (f"(self, x, {REQUEST})", True, True),
    "def predict(self, x, request: fastapi.Request): ...": (f"(self, x, {REQUEST})", True, True),
    "def predict(self, x, request: Special): ...": (f"(self, x, {SPECIAL})", True, True),
    "def predict(self, request: Request): ...": (f"(self, {REQUEST})", False, True),
    "@staticmethod\n    def predict(x): ...": (f"(self, x, {REQUEST})", True, False),
    "@classmethod\n    def predict(cls, x, request: Request): ...": (f"(self, x, {REQUEST})", True, True),
}  # fmt: skip


Read = Callable[..., UserMethod]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_from_file(code: str, *, postponed: bool = False) -> UserMethod:
        head = "from __future__ import annotations\n" if postponed else ""
        file = tmp_path / "model.py"
        file.write_text(f"{head}{SOURCE}    {code}\n")
        spec = importlib.util.spec_from_file_location("model", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return read_method(inspect.getattr_static(module.Model, "predict"))

    return read_from_file


@pytest.mark.parametrize("postponed", [False, True])
@pytest.mark.parametrize("code", SHAPES)
def test_truss_is_told_real_types_and_that_the_request_is_wanted(
    read: Read, code: str, postponed: bool
) -> None:
    shown, takes_input, takes_request = SHAPES[code]
    method = read(code, postponed=postponed)
    assert str(method.hook_signature()) == shown
    assert (method.takes_input, method.takes_request) == (takes_input, takes_request)
    assert method.is_async == code.startswith("async")


@pytest.mark.parametrize(
    "code",
    [
        "def predict(self, x, y): ...",
        "def predict(self, x, request: Optional[Request] = None): ...",
        "def predict(self, request: Request, x): ...",
        "def predict(self, x, request: Request, more): ...",
        "def predict(self, *args, **kwargs): ...",
    ],
)
def test_a_shape_that_truss_refuses_stays_for_truss_to_refuse(read: Read, code: str) -> None:
    method = read(code)
    own = list(method.signature.parameters.values())
    assert list(method.hook_signature().parameters.values())[1:] == own


def test_a_type_that_only_type_checkers_know_stays_text(read: Read) -> None:
    method = read("def predict(self, x: Decimal) -> Decimal: ...", postponed=True)
    signature = method.hook_signature()
    assert signature.parameters["x"].annotation == signature.return_annotation == "Decimal"


def test_a_request_that_only_type_checkers_know_is_recognised_by_its_name(read: Read) -> None:
    code = "def predict(self, x, request: starlette.requests.Request): ..."
    method = read(code, postponed=True)
    assert method.takes_request
    assert method.hook_signature().parameters["request"].annotation is Request


@pytest.mark.parametrize(
    ("code", "is_generator"),
    [
        ("def predict(self, x): yield x", True),
        ("async def predict(self, x): yield x", True),
        ("@staticmethod\n    def predict(x): yield x", True),
        ("def predict(self, x): return (n for n in x)", False),
    ],
)
def test_generators_are_known(read: Read, code: str, is_generator: bool) -> None:
    assert read(code).is_generator == is_generator
