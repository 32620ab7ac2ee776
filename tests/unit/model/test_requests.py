from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import sys
import types
from typing import TYPE_CHECKING

import pytest
from fastapi import HTTPException

from truss_async.errors import UnsafeObjectKeyError
from truss_async.model.requests import RequestContext, Serving
from truss_async.model.truss_server import find_request, heed_caller, outlive_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message

    from tests.unit.model.conftest import MakeRequest

CONTEXT = RequestContext()
Variable = contextvars.ContextVar["str | None"]


@pytest.fixture(params=["_truss_shared.log_config", "shared.log_config"])
def truss_variable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Variable]:
    """What the Truss server has in its memory, under the two names that its module has had."""
    variable: Variable = contextvars.ContextVar("request_id", default=None)
    module = types.ModuleType(request.param)
    vars(module)["request_id_context"] = variable
    monkeypatch.setitem(sys.modules, request.param, module)
    token = variable.set(None)
    yield variable
    variable.reset(token)


def test_the_context_is_empty_outside_of_a_request() -> None:
    assert dict(CONTEXT) == {}
    assert CONTEXT.get("request_id") is None
    with pytest.raises(KeyError, match="request_id"):
        CONTEXT["request_id"]


def test_the_context_holds_the_request_id_while_it_is_served(make_request: MakeRequest) -> None:
    with Serving(make_request("r1")):
        assert dict(CONTEXT) == {"request_id": "r1"}
        assert repr(CONTEXT) == "RequestContext({'request_id': 'r1'})"
    assert not CONTEXT


def test_the_context_follows_into_to_thread_and_not_into_a_bare_thread(make_request: MakeRequest) -> None:
    async def look() -> tuple[str | None, str | None]:
        with Serving(make_request("r1")), concurrent.futures.ThreadPoolExecutor(1) as pool:
            in_thread = await asyncio.to_thread(CONTEXT.get, "request_id")
            return in_thread, pool.submit(CONTEXT.get, "request_id").result()

    assert asyncio.run(look()) == ("r1", None)


def test_the_context_works_in_methods_that_only_truss_knows_of(truss_variable: Variable) -> None:
    truss_variable.set("r2")
    assert CONTEXT["request_id"] == "r2"


def test_the_header_goes_before_what_truss_remembers(
    truss_variable: Variable, make_request: MakeRequest
) -> None:
    truss_variable.set("remembered")
    with Serving(make_request("header")) as served:
        assert served is not None
        assert served.request_id == "header"
    with Serving(make_request(None)) as served:
        assert served is not None
        assert served.request_id == "remembered"


def test_a_new_id_is_the_same_for_every_hook_of_the_request(
    make_request: MakeRequest, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request(None)
    ids = set()
    for _ in range(2):
        with Serving(request) as served:
            assert served is not None
            ids.add(served.request_id)
    assert len(ids) == 1
    assert caplog.text.count("a request has no X-Baseten-Request-Id") == 1


def test_a_hook_inside_a_hook_serves_nothing_of_its_own(make_request: MakeRequest) -> None:
    request = make_request()
    with Serving(request), Serving(request) as inner:
        assert inner is None
        assert CONTEXT["request_id"] == "request"


def test_without_a_request_nothing_is_served() -> None:
    with Serving(None) as served:
        assert served is None


def test_an_unsafe_id_is_invalid_input(make_request: MakeRequest) -> None:
    with pytest.raises(HTTPException) as caught, Serving(make_request("../x")):
        raise AssertionError("never reached")
    assert caught.value.status_code == 422
    assert isinstance(caught.value.__cause__, UnsafeObjectKeyError)


def test_a_request_is_found_wherever_it_stands(make_request: MakeRequest) -> None:
    request = make_request()
    assert find_request(({}, request), {}) is request
    assert find_request(({},), {"request": request}) is request
    assert find_request(({}, "request"), {"request": None}) is None


def test_a_caller_that_has_gone_is_denied_until_it_is_heeded(make_request: MakeRequest) -> None:
    request = make_request()

    async def hang_up() -> Message:
        return {"type": "http.disconnect"}

    async def ask() -> None:
        vars(request)["_receive"] = hang_up
        with Serving(request) as served:
            assert served is not None
            outlive_caller(request, note=served.note_caller)
            assert not await request.is_disconnected()
            assert served.caller_has_gone
            heed_caller(request)
            assert await request.is_disconnected()

    asyncio.run(ask())
