"""Where the output of one request goes: which store, and under which object keys."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..errors import SettingsError
from ..stores import ObjectStore, check_request_id
from ..stores.keys import check_object_key
from ..stores.layout import OutputKeys, layout_of
from ..stores.probe import check_writable
from ..stores.templates import REQUEST_ID, render
from .settings import OutputSettings


@dataclass(frozen=True)
class Destination:
    """The store, and the keys in it, of one request."""

    objects: ObjectStore
    keys: OutputKeys

    def url_of(self, key: str) -> str:
        """The URL of an object in the store."""
        return f"{self.objects.url}/{key}"


class Destinations:
    """Fills in the templates of the settings; keeps the store that was used last."""

    def __init__(
        self, settings: OutputSettings, *, environment: str | None, open_store: Callable[[str], ObjectStore]
    ) -> None:
        self._settings = settings
        self.open_store = open_store
        self._values = {
            "model_id": settings.model_id,
            "deployment_id": settings.deployment_id,
            "environment": environment,
        }
        self._last: tuple[str, ObjectStore] | None = None

    def of(self, request_id: str, *, now: datetime) -> Destination:
        """Where the request's output goes, if it is saved now."""
        values = {**self._values, REQUEST_ID: check_request_id(request_id)}
        key = render(self._settings.key, values=values, now=now)
        return Destination(self._store(now), OutputKeys(request_id, check_object_key(key)))

    def check(self, *, now: datetime, write: bool) -> str:
        """The store's URL, when the templates hold nothing unset and, if asked for, the store can be written."""
        destination = self.of("check", now=now)
        if write:
            check_writable(destination.objects)
        return destination.objects.url

    def holds(self, store_url: str, *, now: datetime) -> bool:
        """Whether outputs go to that store, on one day or another, from this deployment or another."""
        try:
            root = layout_of(self._settings.url, self._settings.key, values={})[0]
        except SettingsError:  # not even the bucket is the same for all
            root = render(self._settings.url, values=self._values, now=now)
        return f"{store_url}/".startswith(f"{self.open_store(root).url}/")

    def _store(self, now: datetime) -> ObjectStore:
        url = render(self._settings.url, values=self._values, now=now)
        last = self._last
        if last is None or last[0] != url:
            self._last = last = (url, self.open_store(url))
        return last[1]
