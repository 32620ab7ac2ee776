"""Saves one output: artifacts first, so that a result never refers to something missing, then the result."""

import gzip
import logging
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from ..clock import Clock
from ..contract import ArtifactReference, AsyncPredictResult, ErrorDetail
from ..errors import InvalidResultError, ObjectNotFoundError, OutputError
from ..stores.bodies import opened_body
from .artifacts import ArtifactWriter, FilePart
from .destination import Destination, Destinations
from .responses import FIRST_ERROR_STATUS, is_response, is_stream, response_content
from .result_json import output_json, result_json
from .settings import OutputSettings

logger = logging.getLogger(__name__)

STREAM_REFUSED = (
    "a stream cannot be saved: return the whole output (an async request could not stream it either), "
    "or serve the streaming model without AsyncOutputModel and save_output"
)
JSON = "application/json"
GZIP = "application/gzip"
REQUEST_ID_METADATA = "request-id"


class OutputSaver:
    """Writes the async predict results of one model."""

    def __init__(self, settings: OutputSettings, *, destinations: Destinations, clock: Clock) -> None:
        self._settings = settings
        self._destinations = destinations
        self._clock = clock

    def save(self, request_id: str, output: Any) -> Any:
        """Save the output; return what to answer: the output itself, one that refers to its artifacts, or a reference.

        A response is saved as what it says, and answered as it is. One that reports an error is no output.
        """
        if is_stream(output):
            raise OutputError(STREAM_REFUSED)
        if is_response(output) and output.status_code >= FIRST_ERROR_STATUS:
            logger.warning("request %s is answered with status %d, not saved", request_id, output.status_code)
            return output
        destination = self._destinations.of(request_id, now=self._clock.now())
        content = response_content(output) if is_response(output) else output
        saved, reference = self._earlier(destination) or self._write(destination, content)
        if self._settings.respond_with == "reference":
            return reference.model_dump()
        return output if is_response(output) else saved

    def save_error(self, request_id: str, detail: ErrorDetail) -> None:
        """Save why the request failed, where it neither hides nor replaces an output of the same request."""
        if not self._settings.save_errors:
            return
        destination = self._destinations.of(request_id, now=self._clock.now())
        body = self._result(destination, None, errors=[detail])
        self._put_json(destination, destination.error_key, body)

    def url_of(self, request_id: str) -> str:
        """Where the request's result lies, if it is saved now."""
        destination = self._destinations.of(request_id, now=self._clock.now())
        return destination.url_of(destination.result_key)

    def _write(self, destination: Destination, output: Any) -> tuple[Any, ArtifactReference]:
        def store(name: str, part: FilePart) -> ArtifactReference:
            return _put(destination, destination.artifact_key(name), part.body, part.content_type)

        answer = ArtifactWriter(store).replace(output)
        body = output_json(answer) if self._settings.format == "raw" else self._result(destination, answer)
        return answer, self._put_json(destination, destination.result_key, body)

    def _result(self, destination: Destination, output: Any, *, errors: Sequence[ErrorDetail] = ()) -> bytes:
        result = AsyncPredictResult(
            request_id=destination.request_id,
            model_id=self._settings.model_id,
            deployment_id=self._settings.deployment_id,
            time=self._clock.now(),
            errors=list(errors),
        )
        return result_json(result, output)

    def _put_json(self, destination: Destination, key: str, body: bytes) -> ArtifactReference:
        if self._settings.compression == "gzip":
            return _put(destination, key, gzip.compress(body, mtime=0), GZIP)
        return _put(destination, key, body, JSON)

    def _earlier(self, destination: Destination) -> tuple[Any, ArtifactReference] | None:
        """The output that an earlier attempt at this request has saved, where the first one is to stay."""
        if self._settings.overwrite:
            return None
        url = destination.url_of(destination.result_key)
        try:
            with destination.objects.open(destination.result_key) as file:
                stored = file.read()
        except ObjectNotFoundError:
            return None
        compressed = stored.startswith(b"\x1f\x8b")
        reference = ArtifactReference(
            url=url, content_type=GZIP if compressed else JSON, size_bytes=len(stored)
        )
        try:
            said = from_json(gzip.decompress(stored) if compressed else stored)
            data = said if self._settings.format == "raw" else said["data"]
        except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
            raise InvalidResultError(f"{url} is no result, and is not to be overwritten") from error
        logger.info("request %s has an output already, which stays and is answered", destination.request_id)
        return data, reference


def _put(destination: Destination, key: str, body: Any, content_type: str) -> ArtifactReference:
    with opened_body(body) as (_, size_bytes):
        pass
    metadata = {REQUEST_ID_METADATA: destination.request_id}
    destination.objects.put(key, body, content_type=content_type, metadata=metadata)
    return ArtifactReference(url=destination.url_of(key), content_type=content_type, size_bytes=size_bytes)
