"""Whether the output store can be written, read and emptied with the credentials that are here."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from ..errors import OutputStoreError, TrussAsyncError
from ..stores import StoreCredentials, object_store
from ..stores.probe import PROBE_KEY
from ..stores.templates import render
from .findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..clock import Clock
    from ..stores import ObjectStore

_CONTENT: Final = b"truss-async doctor"
_ROWS_NAME: Final = "store"


def output_store(url: str, *, secrets: Mapping[str, str], environment: str | None, clock: Clock) -> Finding:
    """Write a small object there, read it back and delete it; ``secrets`` are the truss's that have a value here."""
    values = {"model_id": None, "deployment_id": None, "environment": environment}
    try:
        place = render(url, values=values, now=clock.now())
        objects = object_store(place, credentials=StoreCredentials.from_secrets(secrets))
        return _probe(objects)
    except TrussAsyncError as error:
        return Finding(_ROWS_NAME, "failed", f"{url} cannot be written", str(error))


def _probe(objects: ObjectStore) -> Finding:
    key = f"{PROBE_KEY}-{uuid.uuid4().hex}"
    objects.put(key, _CONTENT, content_type="text/plain")
    refused = []
    try:
        with objects.open(key) as file:
            is_same = file.read() == _CONTENT
    except OutputStoreError as error:
        is_same = True
        refused.append(f"not read ({error})")
    try:
        objects.delete(key)
    except OutputStoreError as error:
        refused.append(f"not deleted, so {key} stays ({error})")
    if not is_same:
        return Finding(
            _ROWS_NAME,
            "failed",
            f"{objects.url} returns different bytes than were written",
            "check the server",
        )
    if refused:
        told = f"{objects.url}: written, which is all the model needs; {'; '.join(refused)}"
        return Finding(_ROWS_NAME, "note", told)
    return Finding(_ROWS_NAME, "ok", f"{objects.url}: written, read and deleted")
