"""Writes what is kept of one request, with patience; what the store will not take is spilled, if that is wanted."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..clock import Clock
from ..contract import ArtifactReference
from ..errors import ObjectExistsError, OutputStoreError, UnsafeObjectKeyError
from ..printable import printable_logger
from ..stores.bodies import opened_body
from ..stores.compression import compressed, compression_for
from ..stores.idempotency import ATTEMPT_ID_METADATA, with_attempt_id
from ..stores.result_objects import RESULT_CONTENT_TYPE
from .counters import SaveCounters
from .destination import Destination
from .file_parts import FilePart
from .retries import RetryPolicy, retry_delay
from .settings import OutputSettings
from .spill import SpillFolder

if TYPE_CHECKING:
    from ..stores.protocol import Body

T = TypeVar("T")

logger = printable_logger(__name__)

REQUEST_ID_METADATA: Final = "request-id"
MODEL_ID_METADATA: Final = "model-id"
_RANDOM: Final = random.SystemRandom()


class OutputWriter:
    """Writes the objects of one save, as one logical write. All of them together have the time that is given.

    Each is marked with the request id, the model id if it is known, and an id of this attempt to save. What is once
    written under the key of an artifact stays: the first attempt at a request has the plain keys, any other one those
    with its own id. After the first object is spilled all are, so that a result never lies in the store before its
    artifacts.

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
        self._has_own_keys = not destination.objects.has_conditional_puts
        self.has_spilled = False
        self.has_artifacts = False

    def put_artifact(self, name: str, part: FilePart) -> ArtifactReference:
        """Write a part of the output; return a reference to where it lies, or is going to lie."""
        self.has_artifacts = True
        keys = self.destination.keys
        described = self._described(part.content_type)
        if not self._has_own_keys and not self.has_spilled:
            key = keys.artifact(name)
            reference = self._reference(key, part.body, part.content_type)
            try:
                self._put_in_store(key, part.body, only_if_absent=True, **described)
                return reference
            except OutputStoreError as error:
                # Another attempt's is there, or the store refuses the condition; else it is down.
                self._has_own_keys = True
                if error.passes:
                    self._spill_after(error)
        own_key = keys.artifact(name, attempt_id=self._metadata[ATTEMPT_ID_METADATA])
        return self._put(own_key, part.body, **described)

    def put_result(self, body: bytes, *, only_if_absent: bool = False) -> ArtifactReference:
        """The same for the output itself, which is JSON."""
        return self._put_json(self.destination.keys.result, body, only_if_absent=only_if_absent)

    def put_error(self, body: bytes) -> ArtifactReference:
        """The same for why the request failed."""
        return self._put_json(self.destination.keys.error, body)

    def read_result(self) -> bytes:
        """The output that is there; ObjectNotFoundError when there is none."""

        def read() -> bytes:
            with self.destination.objects.open(self.destination.keys.result) as file:
                return file.read()

        return self._patiently(read)

    def _put_json(self, key: str, body: bytes, *, only_if_absent: bool = False) -> ArtifactReference:
        compression = compression_for(body, self._compression)
        encoding = {} if compression == "none" else {"content_encoding": compression}
        described = self._described(RESULT_CONTENT_TYPE, **encoding)
        return self._put(key, compressed(body, compression), only_if_absent=only_if_absent, **described)

    def _put(self, key: str, body: "Body", **described: Any) -> ArtifactReference:
        reference = self._reference(key, body, described["content_type"])
        if not self.has_spilled:
            try:
                self._put_in_store(key, body, **described)
            except OutputStoreError as error:
                self._spill_after(error)
        if self._spill is not None and self.has_spilled:
            _rewind(body)
            store_url, request_id = self.destination.objects.url, self.destination.keys.request_id
            self._spill.add(body, store_url=store_url, key=key, request_id=request_id, **described)
        return reference

    def _put_in_store(self, key: str, body: "Body", **described: Any) -> None:
        def put() -> None:
            _rewind(body)
            self.destination.objects.put(key, body, **described)

        self._patiently(put)

    def _spill_after(self, error: OutputStoreError) -> None:
        """From here on, write to the spill folder; or raise the error."""
        if self._spill is None or isinstance(error, UnsafeObjectKeyError | ObjectExistsError):
            raise error
        self.has_spilled = True
        logger.warning("%s; it goes to %s", error, self._spill.url)

    def _described(self, content_type: str, **more: Any) -> dict[str, Any]:
        return {"content_type": content_type, "metadata": self._metadata, **more}

    def _reference(self, key: str, body: "Body", content_type: str) -> ArtifactReference:
        url = self.destination.url_of(key)
        return ArtifactReference(url=url, content_type=content_type, size_bytes=_size(body))

    def _patiently(self, act: Callable[[], T]) -> T:
        attempts_made = 0
        while True:
            try:
                return act()
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
    _rewind(body)
    with opened_body(body) as (_, size_bytes):
        return size_bytes
