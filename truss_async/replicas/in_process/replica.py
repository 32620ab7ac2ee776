"""A replica that is an object in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio.to_thread

from ..exception_texts import exception_text
from ..protocol import ReplicaLoadError, ReplicaUnreachableError
from ..sockets import SocketRefusedError
from .loading import load_model
from .serving import ModelServing
from .tracebacks import model_traceback

if TYPE_CHECKING:
    from ..logs import ReplicaLogLine, ServerRecord
    from ..protocol import ReplicaAnswer, ReplicaCall
    from ..sockets import SocketCall
    from .hooks import ModelHooks
    from .loading import Surroundings

GRACE_SECONDS: Final = 1.0
_NOT_IMPLEMENTED: Final = 501


class InProcessReplica:
    """A class is made an object of at each start; an object is loaded again; any other callable is its own predict.

    Async hooks run on the event loop of the harness, sync ones in threads.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        surroundings: Surroundings,
        *,
        log: Callable[[ReplicaLogLine], None],
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.name = name
        self._model = model
        self._surroundings = surroundings
        self._log = log
        self._grace_seconds = grace_seconds
        self._serving: ModelServing | None = None

    async def call(self, call: ReplicaCall) -> ReplicaAnswer:
        if self._serving is None:
            raise ReplicaUnreachableError(f"{self.name} is not running")
        return await self._serving.call(call)

    async def connect(self, call: SocketCall) -> NoReturn:
        raise SocketRefusedError(
            "a stub, or any model in the harness process, does not support websockets; serve the truss, or give a --model-url",
            status=_NOT_IMPLEMENTED,
        )

    async def start(self) -> None:
        await self.stop()
        self._serving = ModelServing(
            await self._load(),
            predict_concurrency=self._surroundings.predict_concurrency,
            log=self._log_record,
        )

    async def stop(self) -> None:
        if self._serving is not None:
            serving, self._serving = self._serving, None
            await serving.close(grace_seconds=self._grace_seconds)

    async def wait_exit(self, *, on_traffic: Callable[[bool], None]) -> str:
        """Never: what has no process cannot lose it."""
        await asyncio.Event().wait()
        return "is gone"

    async def _load(self) -> ModelHooks:
        try:
            return await anyio.to_thread.run_sync(
                load_model, self._model, self._surroundings, abandon_on_cancel=True
            )
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # sys.exit, too, which would end the harness
            traceback = model_traceback(error)
            raise ReplicaLoadError(
                f"the model does not load: {exception_text(traceback)}", traceback=traceback
            ) from error

    def _log_record(self, record: ServerRecord) -> None:
        for line in record.lines(self.name):
            self._log(line)
