"""Saves one output: artifacts first, so that a result never refers to something missing, then the result."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..clock import Clock
from ..contract import ArtifactReference, AsyncPredictResult, ErrorDetail
from ..contract.json_text import IN_AN_ENVELOPE, parse
from ..contract.result_json import result_json
from ..errors import InvalidResultError, ObjectExistsError, ObjectNotFoundError, OutputError, OutputStoreError
from ..printable import printable_logger
from ..stores.compression import decompressed
from ..stores.result_objects import RESULT_CONTENT_TYPE
from .artifacts import ArtifactWriter
from .counters import SaveCounters, SaveCounts
from .destination import Destinations
from .output_json import OutputJson
from .output_writer import OutputWriter
from .responses import STREAM_REFUSED, kind_of, response_content
from .settings import OutputSettings
from .spill import SpillFolder
from .uploader import Uploader

logger = printable_logger(__name__)

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
        kind = kind_of(output)
        if kind == "stream":
            self._admit_stream(request_id)
            return output
        if kind == "error":
            logger.warning("request %s is answered with status %d, not saved", request_id, output.status_code)
            return output
        content = response_content(output) if kind == "response" else output
        writer = self._writer(request_id, self._settings.timeout_seconds)
        try:
            with self._counted(writer):
                saved, reference = self._earlier(writer) or self._write(writer, content, is_binary=is_binary)
        except OutputStoreError as error:
            # An artifact that is not stored would be lost: what is answered in its place only refers to it.
            is_answered_whole = kind == "response" or not writer.has_artifacts
            if self._settings.on_failure != "log" or not is_answered_whole:
                raise
            logger.error("the output of request %s is answered but not saved: %s", request_id, error)
            return output
        if self._settings.respond_with == "reference":
            return reference.model_dump(exclude_none=True)
        return output if kind == "response" else saved

    def save_error(self, request_id: str, detail: ErrorDetail) -> None:
        """Save why the request failed, where it neither hides nor replaces an output of the same request."""
        if not self._settings.save_errors:
            return
        writer = self._writer(request_id, min(self._settings.timeout_seconds, ERROR_SECONDS))
        with self._counted(writer):
            writer.put_error(self._result(request_id, b"null", detail))

    def url_of(self, request_id: str) -> str:
        """Where the request's result lies, if it is saved now."""
        destination = self._destinations.of(request_id, now=self._clock.now())
        return destination.url_of(destination.keys.result)

    def _admit_stream(self, request_id: str) -> None:
        if self._settings.streaming == "refuse":
            raise OutputError(STREAM_REFUSED)
        logger.info("request %s streams its output, which is not saved", request_id)

    def _writer(self, request_id: str, timeout_seconds: float) -> OutputWriter:
        return OutputWriter(
            self._destinations.of(request_id, now=self._clock.now()),
            self._settings,
            timeout_seconds=timeout_seconds,
            spill=self._spill_folder,
            counters=self._counters,
            clock=self._clock,
        )

    @contextmanager
    def _counted(self, writer: OutputWriter) -> Iterator[None]:
        """One save, which is counted when it is over."""
        request_id = writer.destination.keys.request_id
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

    def _write(self, writer: OutputWriter, output: Any, *, is_binary: bool) -> tuple[Any, ArtifactReference]:
        written = OutputJson(output, ArtifactWriter(writer.put_artifact).reference)
        body, answer = written.body, written.output
        if not written.is_sendable and not is_binary:
            answer = parse(body)
        if self._settings.format == "result":
            body = self._result(writer.destination.keys.request_id, body)
        try:
            return answer, writer.put_result(body, only_if_absent=not self._settings.overwrite)
        except ObjectExistsError:
            # Another attempt at the request was first.
            if (earlier := self._earlier(writer, is_there=True)) is None:
                raise
            return earlier

    def _result(self, request_id: str, output: bytes, *errors: ErrorDetail) -> bytes:
        result = AsyncPredictResult(
            request_id=request_id,
            model_id=self._settings.model_id,
            deployment_id=self._settings.deployment_id,
            time=self._clock.now(),
            errors=list(errors),
        )
        return result_json(result, output)

    def _earlier(
        self, writer: OutputWriter, *, is_there: bool = False
    ) -> tuple[Any, ArtifactReference] | None:
        """The output that an earlier attempt at this request has saved, where the first one is to stay.

        One that cannot be read counts only if ``is_there``: else the store decides when the next is written.
        """
        if self._settings.overwrite:
            return None
        destination = writer.destination
        url = destination.url_of(destination.keys.result)
        try:
            stored = writer.read_result()
        except ObjectNotFoundError:
            return None
        except OutputStoreError as error:
            if is_there:
                raise
            logger.warning("%s; whether there is an output already shows when it is written", error)
            return None
        reference = ArtifactReference(url=url, content_type=RESULT_CONTENT_TYPE, size_bytes=len(stored))
        try:
            said = parse(decompressed(stored), max_depth=IN_AN_ENVELOPE)
            data = said if self._settings.format == "raw" else said["data"]
        except (ValueError, KeyError, TypeError, InvalidResultError) as error:
            raise InvalidResultError(f"{url} is not a result, so it is not overwritten") from error
        logger.info(
            "request %s already has an output, which is kept and returned", destination.keys.request_id
        )
        return data, reference
