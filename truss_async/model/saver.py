"""Saves one output: artifacts first, so that a result never refers to something missing, then the result."""

import logging
from typing import Any

from ..clock import Clock
from ..contract import ArtifactReference, AsyncPredictResult
from ..errors import OutputError
from ..stores import OutputStore
from .artifacts import ArtifactWriter, FilePart
from .responses import FIRST_ERROR_STATUS, is_response, is_stream, response_content
from .result_json import result_json
from .settings import OutputSettings

logger = logging.getLogger(__name__)

STREAM_REFUSED = (
    "a stream cannot be saved: return the whole output (an async request could not stream it either), "
    "or serve the streaming model without AsyncOutputModel and save_output"
)


class OutputSaver:
    """Writes the async predict results of one model."""

    def __init__(self, settings: OutputSettings, *, store: OutputStore, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock

    @property
    def url(self) -> str:
        """Where the outputs are."""
        return self._store.url

    def save(self, request_id: str, output: Any) -> Any:
        """Save the output; return what to answer: the output itself, or one that refers to its artifacts.

        A response is saved as what it says, and answered as it is. One that reports an error is no output.
        """
        if is_stream(output):
            raise OutputError(STREAM_REFUSED)
        if not is_response(output):
            return self._write(request_id, output)
        if output.status_code >= FIRST_ERROR_STATUS:
            logger.warning("request %s is answered with status %d, not saved", request_id, output.status_code)
        else:
            self._write(request_id, response_content(output))
        return output

    def _write(self, request_id: str, output: Any) -> Any:
        def store(name: str, part: FilePart) -> ArtifactReference:
            return self._store.put_artifact(request_id, name, part.body, content_type=part.content_type)

        answer = ArtifactWriter(store).replace(output)
        result = AsyncPredictResult(
            request_id=request_id,
            model_id=self._settings.model_id,
            deployment_id=self._settings.deployment_id,
            time=self._clock.now(),
        )
        self._store.put_result_json(request_id, result_json(result, answer))
        return answer
