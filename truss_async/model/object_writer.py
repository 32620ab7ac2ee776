"""Writes the objects of one save, with patience; what the store will not take is spilled, if that is wanted."""

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clock import Clock
from ..contract import ArtifactReference
from ..errors import ObjectExistsError, OutputStoreError, UnsafeObjectKeyError
from ..stores.bodies import opened_body
from ..stores.idempotency import with_attempt_id
from ..stores.output_store import REQUEST_ID_METADATA
from .counters import SaveCounters
from .destination import Destination
from .retries import RetryPolicy, retry_delay, worth_retrying
from .spill import SpillFolder

if TYPE_CHECKING:
    from ..stores.protocol import Body

logger = logging.getLogger(__name__)

MODEL_ID_METADATA: Final = "model-id"
_RANDOM: Final = random.SystemRandom()


class ObjectWriter:
    """Writes the objects of one save. All of them together have the time that the policy gives.

    Each is marked with the request id, the model id if it is known, and an id of this attempt to save.
    After the first one is spilled all are, so that a result never lies in the store before its artifacts.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        policy: RetryPolicy,
        spill: SpillFolder | None,
        counters: SaveCounters,
        clock: Clock,
        model_id: str | None = None,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.destination = destination
        self._metadata = with_attempt_id({REQUEST_ID_METADATA: destination.request_id})
        # It may be any text, but metadata are headers.
        if model_id is not None and model_id.isascii() and model_id.isprintable():
            self._metadata[MODEL_ID_METADATA] = model_id
        self._policy = policy
        self._spill = spill
        self._counters = counters
        self._clock = clock
        self._jitter = jitter
        self._started_at = clock.now()
        self.has_spilled = False
        self.keys: set[str] = set()

    def put(
        self,
        key: str,
        body: "Body",
        *,
        content_type: str,
        content_encoding: str | None = None,
        only_if_absent: bool = False,
    ) -> ArtifactReference:
        """Write the object; return a reference to where it lies, or is going to lie.

        ObjectExistsError when it was to be written only if absent, and is not; OutputStoreError when the store would
        not take it, and there is no folder for it to go to.
        """
        self.keys.add(key)
        size_bytes = _size(body)
        if not self.has_spilled:
            try:
                self._put_patiently(key, body, content_type, content_encoding, only_if_absent)
            except OutputStoreError as error:
                if self._spill is None or isinstance(error, UnsafeObjectKeyError | ObjectExistsError):
                    raise
                self.has_spilled = True
                logger.warning("%s; it goes to %s", error, self._spill.url)
        if self._spill is not None and self.has_spilled:
            _rewind(body)
            self._spill.add(
                body,
                store_url=self.destination.objects.url,
                key=key,
                request_id=self.destination.request_id,
                content_type=content_type,
                content_encoding=content_encoding,
                metadata=self._metadata,
            )
        url = self.destination.url_of(key)
        return ArtifactReference(url=url, content_type=content_type, size_bytes=size_bytes)

    def _put_patiently(
        self,
        key: str,
        body: "Body",
        content_type: str,
        content_encoding: str | None,
        only_if_absent: bool,
    ) -> None:
        attempts_made = 0
        while True:
            try:
                _rewind(body)
                self.destination.objects.put(
                    key,
                    body,
                    content_type=content_type,
                    content_encoding=content_encoding,
                    metadata=self._metadata,
                    only_if_absent=only_if_absent,
                )
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
        if not worth_retrying(error):
            return None
        elapsed = (self._clock.now() - self._started_at).total_seconds()
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
