"""The end of the process, and the moment before it."""

import asyncio
import atexit
import functools
import inspect
import signal
from collections.abc import Callable
from typing import Any


def before_the_end(act: Callable[[], None]) -> None:
    """Call it when the process ends, or once the server it belongs to has answered its last request.

    uvicorn, which Truss runs on, drains after SIGTERM and then lets the signal end the process: no atexit function is
    called. So it is asked to do this as the last part of its own shutdown.
    """
    atexit.register(act)
    server: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    shutdown = getattr(server, "shutdown", None)
    if not inspect.iscoroutinefunction(shutdown):
        return

    @functools.wraps(shutdown)
    async def shutdown_and_act(*arguments: Any, **keywords: Any) -> Any:
        try:
            return await shutdown(*arguments, **keywords)
        finally:
            await asyncio.to_thread(act)

    server.shutdown = shutdown_and_act
