"""The async predict results and artifacts of one output store, by request id."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from pydantic import ValidationError

from ..contract import ArtifactReference, AsyncPredictResult
from ..errors import InvalidResultError, OutputStoreError
from .bodies import opened_body
from .credentials import NO_CREDENTIALS
from .keys import artifact_key, result_key
from .urls import object_store

if TYPE_CHECKING:
    from typing_extensions import Self

    from .credentials import StoreCredentials
    from .protocol import Body, ObjectStore

RESULT_CONTENT_TYPE: Final = "application/json"
REQUEST_ID_METADATA: Final = "request-id"
PROBE_KEY: Final = "truss-async-probe"

_LOG: Final = logging.getLogger(__name__)


class OutputStore:
    """What a model saved: ``{url}/{request_id}.json``, and its artifacts under ``{url}/{request_id}/``.

    Synchronous, and safe to share between threads.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    @classmethod
    def from_url(cls, url: str, *, credentials: StoreCredentials = NO_CREDENTIALS) -> Self:
        """The store at ``s3://``, ``gs://``, ``file:///``, ``memory://``, or what else smart_open opens."""
        return cls(object_store(url, credentials=credentials))

    @property
    def url(self) -> str:
        """Where it is: no trailing slash, no credentials."""
        return self._objects.url

    def put_result(self, result: AsyncPredictResult) -> str:
        """Store the result under its request id, in place of an earlier one; return the object's URL."""
        try:
            body = result.model_dump_json().encode()
        except ValueError as error:
            raise OutputStoreError(
                f"the output of {result.request_id} cannot be written as JSON: {error}"
            ) from error
        return self.put_result_json(result.request_id, body)

    def put_result_json(self, request_id: str, body: bytes) -> str:
        """Store a result that is JSON already; return the object's URL."""
        return self._put(result_key(request_id), request_id, body, RESULT_CONTENT_TYPE)

    def get(self, request_id: str) -> AsyncPredictResult:
        """The result of the request; ObjectNotFoundError when there is none, InvalidResultError when it is damaged."""
        key = result_key(request_id)
        with self._objects.open(key) as file:
            body = file.read()
        try:
            result = AsyncPredictResult.model_validate_json(body)
        except ValidationError as error:
            # Not chained, and only the first fault's kind: the rest quotes the model output.
            reason = error.errors(include_input=False, include_context=False, include_url=False)[0]["type"]
            raise InvalidResultError(
                f"{self.url}/{key} is no async predict result ({reason}); it is cut off or was written by other hands"
            ) from None
        if result.request_id != request_id:
            raise InvalidResultError(f"{self.url}/{key} holds the result of another request")
        return result

    def put_artifact(self, request_id: str, name: str, body: Body, *, content_type: str) -> ArtifactReference:
        """Store a file-like part of an output, in place of an earlier one of that name."""
        key = artifact_key(request_id, name)
        with opened_body(body) as (file, size_bytes):
            sized = body if isinstance(body, (bytes, Path)) else file
            url = self._put(key, request_id, sized, content_type)
        return ArtifactReference(url=url, content_type=content_type, size_bytes=size_bytes)

    def open_artifact(self, reference: ArtifactReference) -> BinaryIO:
        """The artifact's bytes, to read and close. A reference that leads out of this store is refused."""
        beginning = f"{self.url}/"
        if not reference.url.startswith(beginning):
            raise OutputStoreError(f"the artifact {reference.url!a} is not in the store {self.url}")
        return self._objects.open(reference.url[len(beginning) :])

    def check_writable(self) -> None:
        """Write a small object and remove it; OutputStoreError, with the remedy, when it cannot be written."""
        self._objects.put(PROBE_KEY, b"", content_type="text/plain")
        try:
            self._objects.delete(PROBE_KEY)
        except OutputStoreError as error:
            # The right to write is enough for saving outputs; the one probe object stays.
            _LOG.warning("the probe object stays: %s", error)

    def _put(self, key: str, request_id: str, body: Body, content_type: str) -> str:
        self._objects.put(key, body, content_type=content_type, metadata={REQUEST_ID_METADATA: request_id})
        return f"{self.url}/{key}"
