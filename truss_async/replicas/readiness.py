"""Whether models are loaded, for those who cannot go on before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK, within
from ..errors import HarnessError
from .protocol import ReplicaLoadError

if TYPE_CHECKING:
    from .pool import ReplicaPool

FIRST_LOOK_SECONDS: Final = 0.001
LAST_LOOK_SECONDS: Final = 0.05


async def all_ready(pools: Iterable[ReplicaPool], *, timeout_seconds: float = 600) -> None:
    """Return once each has a replica that is loaded, or needs none.

    Raises:
        HarnessError: one does not load, or not in time.
    """
    try:
        await within(timeout_seconds, _all_ready(pools), clock=SYSTEM_CLOCK)
    except TimeoutError:
        raise HarnessError(f"the model is not loaded after {timeout_seconds:g} s") from None


async def _all_ready(pools: Iterable[ReplicaPool]) -> None:
    for pool in pools:
        wait = FIRST_LOOK_SECONDS
        while pool.state not in ("ready", "scaled_to_zero"):
            if pool.state == "failed":
                raise ReplicaLoadError(pool.last_error or "the model did not load")
            await SYSTEM_CLOCK.sleep(wait)
            wait = min(wait * 1.5, LAST_LOOK_SECONDS)
