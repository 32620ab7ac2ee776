"""Where the objects of one request are: guessed first, and listed only when the guesses were wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .layout import KeyLayout, Kind
    from .protocol import ObjectInfo, ObjectStore

LOOKED_BACK: Final = timedelta(days=31)
"""How far back a result of unknown date is looked for day by day, before all that is left is listed."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=timezone.utc)


class RequestKeys:
    """The keys of one request's objects. Without ``may_list`` only those that were written recently are found.

    ``since``: what was written before is not looked for.
    """

    def __init__(
        self,
        objects: ObjectStore,
        layout: KeyLayout,
        request_id: str,
        *,
        now: datetime,
        since: datetime | None = None,
        may_list: bool = True,
    ) -> None:
        self._objects = objects
        self._layout = layout
        self._request_id = request_id
        self._now = now
        self._since = since
        self._likely = layout.likely_keys(request_id, now=now, since=since)
        self._may_list = not self._likely or (may_list and not layout.is_fixed)

    def result_keys(self) -> Iterator[str]:
        """Where its result may be, the latest first."""
        return self._keys("result", [keys.result for keys in self._likely])

    def error_keys(self) -> Iterator[str]:
        """Where its error may be, the latest first."""
        return self._keys("error", [keys.error for keys in self._likely])

    def all_keys(self) -> list[str]:
        """Every key that holds something of it, or may, whichever attempt wrote it, and whenever."""
        if not self._layout.is_fixed:
            by_kind = self._listed(self._layout.prefix(self._request_id))
            return [info.key for kind in ("result", "error", "artifact") for info in by_kind[kind]]
        folder = [info.key for info in self._objects.list(self._likely[0].folder)]
        return [*self.result_keys(), *self.error_keys(), *folder]

    def _keys(self, kind: Kind, likely: list[str]) -> Iterator[str]:
        yield from likely
        if self._may_list:
            for prefix in self._prefixes:
                yield from (info.key for info in self._listed_once(prefix)[kind] if info.key not in likely)

    @cached_property
    def _prefixes(self) -> list[str]:
        since = self._now - LOOKED_BACK if self._since is None else self._since
        days = self._layout.prefixes_by_day(self._request_id, now=self._now, since=since, tried=self._likely)
        older = [] if self._since is not None else [self._layout.prefix(self._request_id)]
        return list(dict.fromkeys(days + older))

    @cached_property
    def _known(self) -> dict[str, dict[Kind, list[ObjectInfo]]]:
        return {}

    def _listed_once(self, prefix: str) -> dict[Kind, list[ObjectInfo]]:
        if prefix not in self._known:
            self._known[prefix] = self._listed(prefix)
        return self._known[prefix]

    def _listed(self, prefix: str) -> dict[Kind, list[ObjectInfo]]:
        """What lies there of the request, each kind with the latest first."""
        listed: dict[Kind, list[ObjectInfo]] = {"result": [], "error": [], "artifact": []}
        for info in self._objects.list(prefix):
            kind = self._layout.kind_of(info.key, self._request_id)
            if kind is not None:
                listed[kind].append(info)
        for found in listed.values():
            found.sort(key=lambda info: info.modified_at or _LONG_AGO, reverse=True)
        return listed
