"""With which headers the latest webhooks were sent, in memory alone, so that they can be looked at."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_KEPT_ATTEMPTS: Final = 5_000
LOGIN: Final = "Authorization"
MASKED_LOGIN: Final = "Basic …"


class SentHeaders:
    """The headers of the latest delivery attempts, up to a bound; the oldest go first. Of one event loop.

    A login that the URL of an endpoint holds is masked.
    """

    def __init__(self, *, max_attempts: int = MAX_KEPT_ATTEMPTS) -> None:
        self._max_attempts = max_attempts
        self._kept: OrderedDict[tuple[str, int], dict[str, str]] = OrderedDict()

    def keep(self, request_id: str, attempt: int, headers: Mapping[str, str]) -> None:
        """An attempt is made with them."""
        self._kept[request_id, attempt] = {**headers, **({LOGIN: MASKED_LOGIN} if LOGIN in headers else {})}
        if len(self._kept) > self._max_attempts:
            self._kept.popitem(last=False)

    def of(self, request_id: str, attempt: int) -> dict[str, str] | None:
        """Those of an attempt; None when they are not kept, or it was never sent."""
        return self._kept.get((request_id, attempt))
