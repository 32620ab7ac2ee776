"""Which failures of a store may be over a little later: by the service's own code, or else by the HTTP status."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_PASSING_STATUSES: Final = frozenset({307, 408, 409, 425, 429})
_LASTING_STATUSES: Final = frozenset({501, 505})


def passes(
    status: int | None, code: str = "", *, passing: Collection[str] = (), lasting: Collection[str] = ()
) -> bool:
    """Whether trying again may help; what has no status did not arrive, or its answer did not."""
    if code in passing or status is None or status in _PASSING_STATUSES:
        return code not in lasting
    return status >= 500 and status not in _LASTING_STATUSES
