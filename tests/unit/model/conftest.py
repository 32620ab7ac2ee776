from __future__ import annotations

import itertools
from typing import Protocol

import pytest
from starlette.requests import Request

from truss_async.stores import OutputStore

_NUMBERS = itertools.count()


class MakeRequest(Protocol):
    def __call__(self, request_id: str | None = "request") -> Request: ...


@pytest.fixture
def make_request() -> MakeRequest:
    """A request as the model server hands it to the hooks."""

    def make(request_id: str | None = "request") -> Request:
        headers = [] if request_id is None else [(b"x-baseten-request-id", request_id.encode())]
        return Request({"type": "http", "method": "POST", "path": "/", "headers": headers})

    return make


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> OutputStore:
    """A store of the test's own, named by the environment."""
    url = f"memory://model-{next(_NUMBERS)}"
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", url)
    return OutputStore.from_url(url)
