"""What the latest requests were accepted with, in memory alone, so that one can be submitted again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..request_queue import NewRequest

MAX_KEPT_BYTES: Final = 32_000_000
MAX_KEPT_REQUESTS: Final = 10_000


class KeptInputs:
    """The latest requests with their inputs, up to a bound on both; the oldest go first. Of one event loop."""

    def __init__(self, *, max_bytes: int = MAX_KEPT_BYTES, max_requests: int = MAX_KEPT_REQUESTS) -> None:
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self._kept: OrderedDict[str, NewRequest] = OrderedDict()
        self._bytes = 0

    def keep(self, request: NewRequest) -> None:
        """A request was accepted."""
        self._kept[request.request_id] = request
        self._bytes += len(request.model_input)
        while self._kept and (len(self._kept) > self._max_requests or self._bytes > self._max_bytes):
            self._bytes -= len(self._kept.popitem(last=False)[1].model_input)

    def of(self, request_id: str) -> NewRequest | None:
        """What that one was accepted with; None when it is not kept any more."""
        return self._kept.get(request_id)

    def all_by_id(self) -> dict[str, NewRequest]:
        """All that are kept at this moment; they stay there, whatever is accepted meanwhile."""
        return dict(self._kept)
