"""Where the objects of one request are: guessed first, and listed only when the guesses were wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .layout import KeyLayout, Kind
    from .protocol import ObjectInfo, ObjectStore

_LONG_AGO: Final = datetime.min.replace(tzinfo=timezone.utc)


class RequestKeys:
    """The keys of one request's objects. Without ``may_list`` only those that were written recently are found."""

    def __init__(
        self,
        objects: ObjectStore,
        layout: KeyLayout,
        request_id: str,
        *,
        now: datetime,
        may_list: bool = True,
    ) -> None:
        self._objects = objects
        self._layout = layout
        self._request_id = request_id
        self._likely = layout.likely_keys(request_id, now=now)
        self._may_list = not self._likely or (may_list and not layout.is_fixed)

    def result_keys(self) -> Iterator[str]:
        """Where its result may be, the latest first."""
        return self._keys("result", [keys.result for keys in self._likely])

    def error_keys(self) -> Iterator[str]:
        """Where its error may be, the latest first."""
        return self._keys("error", [keys.error for keys in self._likely])

    def all_keys(self) -> list[str]:
        """Every key that holds something of it, or may, whichever attempt wrote it."""
        if not self._layout.is_fixed:
            return [info.key for kind in ("result", "error", "artifact") for info in self._listed(kind)]
        folder = [info.key for info in self._objects.list(self._likely[0].folder)]
        return [*self.result_keys(), *self.error_keys(), *folder]

    def _keys(self, kind: Kind, likely: list[str]) -> Iterator[str]:
        yield from likely
        if self._may_list:
            yield from (info.key for info in self._listed(kind) if info.key not in likely)

    def _listed(self, kind: Kind) -> list[ObjectInfo]:
        return self._all_listed[kind]

    @cached_property
    def _all_listed(self) -> dict[Kind, list[ObjectInfo]]:
        listed: dict[Kind, list[ObjectInfo]] = {"result": [], "error": [], "artifact": []}
        for info in self._objects.list(self._layout.prefix(self._request_id)):
            kind = self._layout.kind_of(info.key, self._request_id)
            if kind is not None:
                listed[kind].append(info)
        for found in listed.values():
            found.sort(key=lambda info: info.modified_at or _LONG_AGO, reverse=True)
        return listed
