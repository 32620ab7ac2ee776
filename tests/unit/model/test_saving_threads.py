from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from truss_async.clock import SYSTEM_CLOCK
from truss_async.model import AsyncOutputModel
from truss_async.model.saving_threads import MAX_SAVING_THREADS
from truss_async.stores.memory_store import MemoryStore

if TYPE_CHECKING:
    import pytest

    from tests.unit.model.conftest import MakeRequest
    from truss_async.stores import OutputStore


class Model(AsyncOutputModel):
    async def predict(self, model_input: int) -> int:
        return model_input


def test_a_store_that_hangs_takes_no_thread_from_the_model(
    store: OutputStore, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    names: set[str] = set()
    put = MemoryStore.put

    def put_slowly(*arguments: Any, **keywords: Any) -> None:
        names.add(threading.current_thread().name.rpartition("_")[0])
        assert go_on.wait(20)
        put(*arguments, **keywords)

    monkeypatch.setattr(MemoryStore, "put", put_slowly)

    async def one(model: Any, number: int) -> Any:
        request = make_request(f"r{number}")
        return await model.postprocess(await model.predict(number, request), request)

    async def serve() -> list[Any]:
        model: Any = Model()
        saves = [asyncio.ensure_future(one(model, number)) for number in range(MAX_SAVING_THREADS + 8)]
        await SYSTEM_CLOCK.sleep(0)
        assert await asyncio.wait_for(asyncio.to_thread(int), 20) == 0
        go_on.set()
        return await asyncio.gather(*saves)

    assert asyncio.run(serve()) == list(range(MAX_SAVING_THREADS + 8))
    assert names == {"truss-async-save"}
