"""Where the output of one request goes: which store, and under which object keys."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..stores import ObjectStore, OutputStore, check_artifact_name, check_request_id
from ..stores.keys import check_object_key
from ..stores.layout import artifact_prefix_beside, error_key_beside
from ..stores.templates import REQUEST_ID, render
from .settings import OutputSettings


@dataclass(frozen=True)
class Destination:
    """The store and the keys of one request's result, error and artifacts."""

    objects: ObjectStore
    request_id: str
    result_key: str

    @property
    def error_key(self) -> str:
        """Beside the result, so that neither replaces the other."""
        return error_key_beside(self.result_key)

    def artifact_key(self, name: str) -> str:
        """In the request's own folder, beside the result."""
        return artifact_prefix_beside(self.result_key, self.request_id) + check_artifact_name(name)

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
        return Destination(self._store(now), request_id, check_object_key(key))

    def check(self, *, now: datetime, write: bool) -> str:
        """The store's URL, when the templates hold nothing unset and, if asked for, the store can be written."""
        destination = self.of("check", now=now)
        if write:
            OutputStore(destination.objects).check_writable()
        return destination.objects.url

    def _store(self, now: datetime) -> ObjectStore:
        url = render(self._settings.url, values=self._values, now=now)
        last = self._last
        if last is None or last[0] != url:
            self._last = last = (url, self.open_store(url))
        return last[1]
