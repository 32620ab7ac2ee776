"""The threads in which async hooks save: their own, so that a store that hangs takes none from the model."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final

MAX_SAVING_THREADS: Final = 32


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_SAVING_THREADS, thread_name_prefix="truss-async-save")


async def in_saving_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """What the work returns or raises; it sees this task's context variables."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_pool(), copy_context().run, work, *arguments)
