"""Saves one output: artifacts first, so that a result never refers to something missing, then the result."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_core import from_json

from ..clock import Clock
from ..contract import ArtifactReference, AsyncPredictResult, ErrorDetail
from ..contract.result_json import result_json
from ..errors import InvalidResultError, ObjectExistsError, ObjectNotFoundError, OutputError, OutputStoreError
from ..stores.compression import compressed, decompressed
from .artifacts import ArtifactWriter
from .counters import SaveCounters, SaveCounts
from .destination import Destination, Destinations
from .file_parts import FilePart
from .object_writer import ObjectWriter
from .response_content import response_content
from .responses import FIRST_ERROR_STATUS, STREAM_REFUSED, is_response, is_stream
from .result_json import output_json
from .retries import RetryPolicy
from .settings import OutputSettings
from .spill import SpillFolder
from .uploader import Uploader

logger = logging.getLogger(__name__)

JSON = "application/json"
ERROR_SECONDS = 5.0  # the model's exception waits no longer


class OutputSaver:
    """Writes the async predict results of one model. What it could not write, and what it spilled, is counted."""

    def __init__(
        self,
        settings: OutputSettings,
        *,
        destinations: Destinations,
        clock: Clock,
        spill_folder: SpillFolder | None = None,
    ) -> None:
        self._settings = settings
        self._destinations = destinations
        self._clock = clock
        self._policy = RetryPolicy(settings.timeout_seconds)
        self._error_policy = RetryPolicy(min(settings.timeout_seconds, ERROR_SECONDS))
        self._counters = SaveCounters()
        self._spill_folder = spill_folder
        self._uploader: Uploader | None = None
        if spill_folder is not None:
            self._uploader = Uploader(
                spill_folder, open_store=destinations.open_store, counters=self._counters, clock=clock
            )
            self._uploader.start()

    @property
    def counts(self) -> SaveCounts:
        """What became of the outputs so far."""
        return self._counters.counts

    def save(self, request_id: str, output: Any, *, is_binary: bool = False) -> Any:
        """Save the output; return what to answer: the output itself, one that refers to its artifacts, or a reference.

        What the server could not send as JSON is answered as it is saved, unless the caller wants msgpack.
        A response is saved as what it says, and answered as it is. One that reports an error is no output.
        """
        if is_stream(output):
            self.admit_stream(request_id)
            return output
        if is_response(output) and output.status_code >= FIRST_ERROR_STATUS:
            logger.warning("request %s is answered with status %d, not saved", request_id, output.status_code)
            return output
        content = response_content(output) if is_response(output) else output
        writer = self._writer(request_id, self._policy)
        try:
            with self._counted(writer):
                saved, reference = self._earlier(writer.destination) or self._write(
                    writer, content, is_binary=is_binary
                )
        except OutputStoreError as error:
            # An artifact that is not stored would be lost: what is answered in its place only refers to it.
            is_answered_whole = is_response(output) or writer.keys <= {writer.destination.result_key}
            if self._settings.on_failure != "log" or not is_answered_whole:
                raise
            logger.error("the output of request %s is answered and not saved: %s", request_id, error)
            return output
        if self._settings.respond_with == "reference":
            return reference.model_dump()
        return output if is_response(output) else saved

    def admit_stream(self, request_id: str) -> None:
        """OutputError, unless streams are passed on without being saved."""
        if self._settings.streaming == "refuse":
            raise OutputError(STREAM_REFUSED)
        logger.info("request %s streams its output, which is not saved", request_id)

    def save_error(self, request_id: str, detail: ErrorDetail) -> None:
        """Save why the request failed, where it neither hides nor replaces an output of the same request."""
        if not self._settings.save_errors:
            return
        writer = self._writer(request_id, self._error_policy)
        with self._counted(writer):
            body = self._result(request_id, None, errors=[detail])
            self._put_json(writer, writer.destination.error_key, body)

    def url_of(self, request_id: str) -> str:
        """Where the request's result lies, if it is saved now."""
        destination = self._destinations.of(request_id, now=self._clock.now())
        return destination.url_of(destination.result_key)

    def _writer(self, request_id: str, policy: RetryPolicy) -> ObjectWriter:
        return ObjectWriter(
            self._destinations.of(request_id, now=self._clock.now()),
            policy=policy,
            model_id=self._settings.model_id,
            spill=self._spill_folder,
            counters=self._counters,
            clock=self._clock,
        )

    @contextmanager
    def _counted(self, writer: ObjectWriter) -> Iterator[None]:
        """One save, which is counted when it is over."""
        request_id = writer.destination.request_id
        try:
            yield
        except OutputStoreError:
            self._counters.add("failed")
            logger.warning("request %s: not saved (%s)", request_id, self.counts)
            raise
        if writer.has_spilled and self._uploader is not None:
            self._counters.add("spilled")
            logger.warning("request %s: spilled (%s)", request_id, self.counts)
            self._uploader.start()
        else:
            self._counters.add("saved")

    def _write(self, writer: ObjectWriter, output: Any, *, is_binary: bool) -> tuple[Any, ArtifactReference]:
        def store(name: str, part: FilePart) -> ArtifactReference:
            key = writer.destination.artifact_key(name)
            return writer.put(key, part.body, content_type=part.content_type)

        artifacts = ArtifactWriter(store)
        answer = artifacts.replace(output)
        if not artifacts.is_sendable and not is_binary:
            answer = from_json(output_json(answer))
        request_id = writer.destination.request_id
        body = output_json(answer) if self._settings.format == "raw" else self._result(request_id, answer)
        key, is_to_stay = writer.destination.result_key, not self._settings.overwrite
        try:
            return answer, self._put_json(writer, key, body, only_if_absent=is_to_stay)
        except ObjectExistsError:
            # Another attempt at the request was first, since we looked.
            if (earlier := self._earlier(writer.destination)) is None:
                raise
            return earlier

    def _result(self, request_id: str, output: Any, *, errors: Sequence[ErrorDetail] = ()) -> bytes:
        result = AsyncPredictResult(
            request_id=request_id,
            model_id=self._settings.model_id,
            deployment_id=self._settings.deployment_id,
            time=self._clock.now(),
            errors=list(errors),
        )
        return result_json(result, output_json(output))

    def _put_json(
        self, writer: ObjectWriter, key: str, body: bytes, *, only_if_absent: bool = False
    ) -> ArtifactReference:
        compression = self._settings.compression
        encoding = None if compression == "none" else compression
        return writer.put(
            key,
            compressed(body, compression),
            content_type=JSON,
            content_encoding=encoding,
            only_if_absent=only_if_absent,
        )

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
        reference = ArtifactReference(url=url, content_type=JSON, size_bytes=len(stored))
        try:
            said = from_json(decompressed(stored))
            data = said if self._settings.format == "raw" else said["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidResultError(f"{url} is no result, and is not to be overwritten") from error
        logger.info("request %s has an output already, which stays and is answered", destination.request_id)
        return data, reference
