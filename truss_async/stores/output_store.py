"""The async predict results and artifacts of one output store, by request id."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from ..clock import SYSTEM_CLOCK
from ..contract import ArtifactReference, AsyncPredictResult
from ..errors import ObjectNotFoundError, OutputStoreError, RequestFailedError, UnsafeObjectKeyError
from .bodies import opened_body
from .compression import compressed
from .credentials import NO_CREDENTIALS
from .keys import (
    artifact_key,
    artifact_prefix,
    error_key,
    is_artifact_name,
    request_id_of_result,
    result_key,
)
from .options import NO_OPTIONS
from .presigning import DEFAULT_EXPIRY
from .result_objects import ResultInfo, parse_result, request_failure
from .urls import object_store
from .waiting import as_utc, is_last_word, pauses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from typing_extensions import Self

    from ..clock import Clock
    from .compression import Compression
    from .credentials import StoreCredentials
    from .options import StoreOptions
    from .protocol import Body, ObjectInfo, ObjectStore

RESULT_CONTENT_TYPE: Final = "application/json"
UNKNOWN_CONTENT_TYPE: Final = "application/octet-stream"
REQUEST_ID_METADATA: Final = "request-id"
PROBE_KEY: Final = "truss-async-probe"

_LOG: Final = logging.getLogger(__name__)


class OutputStore:
    """What a model saved: ``{url}/{request_id}.json``, and its artifacts under ``{url}/{request_id}/``.

    Of a request that failed there is ``{url}/{request_id}.error.json``.

    Synchronous, and safe to share between threads.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    @classmethod
    def from_url(
        cls, url: str, *, credentials: StoreCredentials = NO_CREDENTIALS, options: StoreOptions = NO_OPTIONS
    ) -> Self:
        """The store at ``s3://``, ``gs://``, ``file:///``, ``memory://``, or what else smart_open opens."""
        return cls(object_store(url, credentials=credentials, options=options))

    @property
    def url(self) -> str:
        """Where it is: no trailing slash, no credentials."""
        return self._objects.url

    def put_result(self, result: AsyncPredictResult, *, compression: Compression = "none") -> str:
        """Store the result under its request id, in place of an earlier one; return the object's URL."""
        return self.put_result_json(result.request_id, _as_json(result), compression=compression)

    def put_result_json(self, request_id: str, body: bytes, *, compression: Compression = "none") -> str:
        """Store a result that is JSON already; return the object's URL.

        Compressed or not, its key is the same: what is stored last is the one that is read.
        """
        return self._put_json(result_key(request_id), request_id, body, compression)

    def put_error(self, result: AsyncPredictResult, *, compression: Compression = "none") -> str:
        """Store why the request failed, beside its result if there is one; return the object's URL."""
        return self._put_json(error_key(result.request_id), result.request_id, _as_json(result), compression)

    def get(self, request_id: str) -> AsyncPredictResult:
        """The result of the request.

        Raises:
            ObjectNotFoundError: nothing is known of the request.
            RequestFailedError: the request failed, and no later attempt succeeded.
            InvalidResultError: the object is cut off, or was written by other hands.
        """
        try:
            return self._read(result_key(request_id), request_id)
        except ObjectNotFoundError as absent:
            failure = self._failure(request_id)
            raise (failure or absent) from None

    def wait(
        self,
        request_id: str,
        *,
        timeout_seconds: float | None = None,
        failed_after_seconds: float = 30,
        clock: Clock = SYSTEM_CLOCK,
    ) -> AsyncPredictResult:
        """The result of the request as soon as it is there; polls with growing pauses.

        The platform may try a failed request again. So a failure counts once it has stood for
        ``failed_after_seconds``, or when the time is up.

        Raises:
            TimeoutError: there is neither result nor failure within ``timeout_seconds``.
            RequestFailedError, InvalidResultError: as ``get``.
        """
        start = clock.now()
        pause = pauses()
        failure: RequestFailedError | None = None
        first_seen_at = start
        while True:
            now = clock.now()
            try:
                return self.get(request_id)
            except ObjectNotFoundError:
                failure = None
            except RequestFailedError as error:
                if failure is None or failure.result != error.result:
                    first_seen_at = now
                failure = error
                written_at = as_utc(error.result.time)
                if is_last_word(written_at, first_seen_at, now=now, after_seconds=failed_after_seconds):
                    raise
            seconds = next(pause)
            if timeout_seconds is not None:
                left = timeout_seconds - (now - start).total_seconds()
                if left <= 0:
                    raise failure or TimeoutError(
                        f"request {request_id} has no result in {self.url} after {timeout_seconds:g} s"
                    )
                seconds = min(seconds, left)
            clock.block(seconds)

    def list(self, *, since: datetime | None = None, prefix: str = "") -> Iterator[ResultInfo]:
        """The results written since that moment (without a zone: in UTC), of request ids that start with the prefix.

        In no promised order; errors, artifacts and what else lies in the store are left out.
        """
        earliest = as_utc(since) if since is not None else None
        for info in self._objects.list(prefix):
            request_id = request_id_of_result(info.key)
            if request_id is None:
                continue
            if earliest is None or info.modified_at is None or info.modified_at >= earliest:
                yield ResultInfo(request_id, size_bytes=info.size_bytes, modified_at=info.modified_at)

    def delete(self, request_id: str) -> None:
        """Remove all that is kept of the request: its result, its error, its artifacts. That there is nothing is fine."""
        for key in (result_key(request_id), error_key(request_id)):
            self._objects.delete(key)
        # The list is complete before anything changes.
        for info in [*self._objects.list(artifact_prefix(request_id))]:
            # What is no key of ours, such as the empty object that a console makes for a folder, cannot be named.
            with suppress(UnsafeObjectKeyError):
                self._objects.delete(info.key)

    def artifacts(self, request_id: str) -> tuple[ArtifactReference, ...]:
        """The artifacts of the request, in the order of their names; none when nothing is known of it."""
        prefix = artifact_prefix(request_id)
        found = [info for info in self._objects.list(prefix) if is_artifact_name(info.key[len(prefix) :])]
        return tuple(self._reference(info) for info in sorted(found, key=lambda info: info.key))

    def put_artifact(self, request_id: str, name: str, body: Body, *, content_type: str) -> ArtifactReference:
        """Store a file-like part of an output, in place of an earlier one of that name."""
        key = artifact_key(request_id, name)
        with opened_body(body) as (file, size_bytes):
            sized = body if isinstance(body, (bytes, Path)) else file
            url = self._put(key, request_id, sized, content_type)
        return ArtifactReference(url=url, content_type=content_type, size_bytes=size_bytes)

    def presign(self, request_id: str, *, expires_in: timedelta = DEFAULT_EXPIRY) -> str:
        """A URL from which anybody can GET the stored result until then, without credentials.

        ObjectNotFoundError when there is no result, OutputStoreError when the store makes no such URLs. Credentials
        that end earlier end the URL with them.
        """
        return self._presign(result_key(request_id), expires_in)

    def presign_artifact(
        self, reference: ArtifactReference, *, expires_in: timedelta = DEFAULT_EXPIRY
    ) -> str:
        """The same for an artifact."""
        return self._presign(self._key_of(reference), expires_in)

    def open_artifact(self, reference: ArtifactReference) -> BinaryIO:
        """The artifact's bytes, to read and close. A reference that leads out of this store is refused."""
        return self._objects.open(self._key_of(reference))

    def check_writable(self) -> None:
        """Write a small object and remove it; OutputStoreError, with the remedy, when it cannot be written."""
        self._objects.put(PROBE_KEY, b"", content_type="text/plain")
        try:
            self._objects.delete(PROBE_KEY)
        except OutputStoreError as error:
            # The right to write is enough for saving outputs; the one probe object stays.
            _LOG.warning("the probe object stays: %s", error)

    def _key_of(self, reference: ArtifactReference) -> str:
        beginning = f"{self.url}/"
        if not reference.url.startswith(beginning):
            raise OutputStoreError(f"the artifact {reference.url!a} is not in the store {self.url}")
        return reference.url[len(beginning) :]

    def _presign(self, key: str, expires_in: timedelta) -> str:
        url = self._objects.presign(key, expires_in=expires_in)
        self._objects.head(key)  # a URL of nothing helps nobody
        return url

    def _failure(self, request_id: str) -> RequestFailedError | None:
        key = error_key(request_id)
        try:
            return request_failure(self._read(key, request_id), url=f"{self.url}/{key}")
        except ObjectNotFoundError:
            return None

    def _read(self, key: str, request_id: str) -> AsyncPredictResult:
        with self._objects.open(key) as file:
            body = file.read()
        return parse_result(body, request_id=request_id, url=f"{self.url}/{key}")

    def _reference(self, info: ObjectInfo) -> ArtifactReference:
        known = info if info.content_type else self._objects.head(info.key)
        return ArtifactReference(
            url=f"{self.url}/{info.key}",
            content_type=known.content_type or UNKNOWN_CONTENT_TYPE,
            size_bytes=info.size_bytes,
        )

    def _put_json(self, key: str, request_id: str, body: bytes, compression: Compression) -> str:
        self._objects.put(
            key,
            compressed(body, compression),
            content_type=RESULT_CONTENT_TYPE,
            content_encoding=None if compression == "none" else compression,
            metadata={REQUEST_ID_METADATA: request_id},
        )
        return f"{self.url}/{key}"

    def _put(self, key: str, request_id: str, body: Body, content_type: str) -> str:
        self._objects.put(key, body, content_type=content_type, metadata={REQUEST_ID_METADATA: request_id})
        return f"{self.url}/{key}"


def _as_json(result: AsyncPredictResult) -> bytes:
    try:
        return result.model_dump_json().encode()
    except ValueError as error:
        raise OutputStoreError(
            f"the output of {result.request_id} cannot be written as JSON: {error}"
        ) from error
