"""Writes what is kept of one request, with patience; what the store will not take is spilled, if that is wanted."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..clock import Clock
from ..contract import ArtifactReference
from ..errors import ObjectExistsError, OutputStoreError, UnsafeObjectKeyError
from ..printable import printable_logger
from ..stores.bodies import opened_body
from ..stores.compression import compressed
from ..stores.idempotency import with_attempt_id
from ..stores.result_objects import RESULT_CONTENT_TYPE
from .counters import SaveCounters
from .destination import Destination
from .file_parts import FilePart
from .retries import RetryPolicy, retry_delay
from .settings import OutputSettings
from .spill import SpillFolder

if TYPE_CHECKING:
    from ..stores.protocol import Body

logger = printable_logger(__name__)

REQUEST_ID_METADATA: Final = "request-id"
MODEL_ID_METADATA: Final = "model-id"
_RANDOM: Final = random.SystemRandom()


class OutputWriter:
    """Writes the objects of one save. All of them together have the time that is given.

    Each is marked with the request id, the model id if it is known, and an id of this attempt to save.
    After the first one is spilled all are, so that a result never lies in the store before its artifacts.

    What it writes raises ObjectExistsError when it was to be written only if absent, and is not; OutputStoreError when
    the store would not take it, and there is no folder for it to go to.
    """

    def __init__(
        self,
        destination: Destination,
        settings: OutputSettings,
        *,
        timeout_seconds: float,
        spill: SpillFolder | None,
        counters: SaveCounters,
        clock: Clock,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.destination = destination
        self._metadata = with_attempt_id({REQUEST_ID_METADATA: destination.keys.request_id})
        # It may be any text, but metadata are headers.
        if (model_id := settings.model_id) is not None and model_id.isascii() and model_id.isprintable():
            self._metadata[MODEL_ID_METADATA] = model_id
        self._compression = settings.compression
        self._policy = RetryPolicy(timeout_seconds)
        self._spill = spill
        self._counters = counters
        self._clock = clock
        self._jitter = jitter
        self._began = clock.monotonic()
        self.has_spilled = False
        self.has_artifacts = False

    def put_artifact(self, name: str, part: FilePart) -> ArtifactReference:
        """Write a part of the output; return a reference to where it lies, or is going to lie."""
        self.has_artifacts = True
        return self._put(self.destination.keys.artifact(name), part.body, content_type=part.content_type)

    def put_result(self, body: bytes, *, only_if_absent: bool = False) -> ArtifactReference:
        """The same for the output itself, which is JSON."""
        return self._put_json(self.destination.keys.result, body, only_if_absent=only_if_absent)

    def put_error(self, body: bytes) -> ArtifactReference:
        """The same for why the request failed."""
        return self._put_json(self.destination.keys.error, body)

    def _put_json(self, key: str, body: bytes, *, only_if_absent: bool = False) -> ArtifactReference:
        return self._put(
            key,
            compressed(body, self._compression),
            only_if_absent=only_if_absent,
            content_type=RESULT_CONTENT_TYPE,
            content_encoding=None if self._compression == "none" else self._compression,
        )

    def _put(
        self, key: str, body: "Body", *, only_if_absent: bool = False, content_type: str, **headers: Any
    ) -> ArtifactReference:
        headers |= {"content_type": content_type, "metadata": self._metadata}
        size_bytes = _size(body)
        if not self.has_spilled:
            try:
                self._put_patiently(key, body, only_if_absent=only_if_absent, **headers)
            except OutputStoreError as error:
                if self._spill is None or isinstance(error, UnsafeObjectKeyError | ObjectExistsError):
                    raise
                self.has_spilled = True
                logger.warning("%s; it goes to %s", error, self._spill.url)
        if self._spill is not None and self.has_spilled:
            _rewind(body)
            store_url, request_id = self.destination.objects.url, self.destination.keys.request_id
            self._spill.add(body, store_url=store_url, key=key, request_id=request_id, **headers)
        url = self.destination.url_of(key)
        return ArtifactReference(url=url, content_type=content_type, size_bytes=size_bytes)

    def _put_patiently(self, key: str, body: "Body", **options: Any) -> None:
        attempts_made = 0
        while True:
            try:
                _rewind(body)
                self.destination.objects.put(key, body, **options)
                return
            except OutputStoreError as error:
                attempts_made += 1
                delay = self._delay_after(error, attempts_made)
                if delay is None:
                    raise
                self._counters.add("retried")
                logger.warning("%s; again in %.1f s (%s)", error, delay, self._counters.counts)
            self._clock.block(delay)

    def _delay_after(self, error: OutputStoreError, attempts_made: int) -> float | None:
        if not error.passes:
            return None
        elapsed = self._clock.monotonic() - self._began
        return retry_delay(
            self._policy, attempts_made=attempts_made, elapsed_seconds=elapsed, jitter=self._jitter()
        )


def _rewind(body: "Body") -> None:
    if not isinstance(body, bytes | Path):
        body.seek(0)


def _size(body: "Body") -> int:
    if isinstance(body, bytes):
        return len(body)
    with opened_body(body) as (_, size_bytes):
        return size_bytes
