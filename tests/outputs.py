"""What a model has saved, written by what writes it in production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truss_async.clock import SYSTEM_CLOCK, Clock, ManualClock
from truss_async.model.counters import SaveCounters
from truss_async.model.destination import Destinations
from truss_async.model.file_parts import FilePart
from truss_async.model.output_writer import OutputWriter
from truss_async.model.saver import OutputSaver
from truss_async.model.settings import OutputSettings
from truss_async.stores import OutputStore
from truss_async.stores.layout import default_keys

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from truss_async.contract import ArtifactReference, AsyncPredictResult
    from truss_async.stores import ObjectStore

    Store = OutputStore | ObjectStore


def saver_of(store: Store, *, clock: Clock = SYSTEM_CLOCK, **settings: Any) -> OutputSaver:
    """The plugin's, with these settings."""
    given, destinations = _opened(store, settings)
    return OutputSaver(given, destinations=destinations, clock=clock)


def put_result(store: Store, result: AsyncPredictResult, **settings: Any) -> str:
    """Save this very result, whose model was told the ids in it; return the URL of the object."""
    saver = _saver_for(store, result, settings)
    saver.save(result.request_id, result.data)
    return saver.url_of(result.request_id)


def put_error(store: Store, result: AsyncPredictResult, **settings: Any) -> None:
    """Save why this request failed."""
    (error,) = result.errors
    _saver_for(store, result, settings).save_error(result.request_id, error)


def put_artifact(
    store: Store, request_id: str, name: str, body: bytes | Path | BinaryIO, *, content_type: str
) -> ArtifactReference:
    """Save a part of an output."""
    given, destinations = _opened(store, {})
    writer = OutputWriter(
        destinations.of(request_id, now=SYSTEM_CLOCK.now()),
        given,
        timeout_seconds=0,
        spill=None,
        counters=SaveCounters(),
        clock=SYSTEM_CLOCK,
    )
    return writer.put_artifact(name, FilePart(body, content_type))


def put_foreign(store: Store, request_id: str, body: bytes) -> None:
    """Write what other hands would where a result is looked for."""
    _objects(store).put(default_keys(request_id).result, body, content_type="application/json")


def _saver_for(store: Store, result: AsyncPredictResult, settings: dict[str, Any]) -> OutputSaver:
    told = {"model_id": result.model_id, "deployment_id": result.deployment_id, **settings}
    return saver_of(store, clock=ManualClock(result.time), **told)


def _opened(store: Store, settings: dict[str, Any]) -> tuple[OutputSettings, Destinations]:
    objects = _objects(store)
    given = OutputSettings.model_validate({"url": objects.url, **settings})
    return given, Destinations(given, environment=None, open_store=lambda _url: objects)


def _objects(store: Store) -> ObjectStore:
    return store._objects if isinstance(store, OutputStore) else store
