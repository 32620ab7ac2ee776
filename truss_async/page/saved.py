"""What a model saved of one request, as its output store has it: the output, and its artifacts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from ..contract.content_types import UNKNOWN, content_type_of_bytes
from ..errors import ObjectNotFoundError, RequestFailedError, TrussAsyncError
from ..stores import OutputStore

if TYPE_CHECKING:
    from ..contract import ArtifactReference
    from ..contract.harness_calls import RequestRecord

SHOWN_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif")
"""Pictures that browsers show, and that can hold no script."""
MAX_ARTIFACT_BYTES: Final = 32_000_000
MAX_PICTURES: Final = 24


class Artifact(NamedTuple):
    """One of them; ``is_shown``: as a picture, for so it is called; else it can be downloaded, unless it is too large."""

    name: str
    content_type: str
    size_bytes: int
    is_shown: bool

    @property
    def is_small(self) -> bool:
        """Whether it can be had here."""
        return self.size_bytes <= MAX_ARTIFACT_BYTES


class Saved(NamedTuple):
    """The output as readable JSON, or why there is none; and its artifacts."""

    text: str = ""
    artifacts: tuple[Artifact, ...] = ()
    problem: str | None = None


class ArtifactBytes(NamedTuple):
    """One as it is sent: of a type that is shown, by its bytes, whatever it is called; or else of none."""

    body: bytes
    media_type: str

    @property
    def is_shown(self) -> bool:
        """Whether a browser may show it."""
        return self.media_type in SHOWN_TYPES


def store_of(url: str, request: RequestRecord) -> OutputStore:
    """Where the model of a request saves.

    Raises:
        TrussAsyncError: it cannot be opened.
    """
    return OutputStore.from_url(url, model_id=request.model_id, deployment_id=request.deployment_id)


def saved_output(url: str, request: RequestRecord) -> Saved:
    """Read it, once the request is finished; to be called in a thread."""
    if not request.status.is_final:
        return Saved(problem="The request is not finished. Reload the page once it is.")
    try:
        return saved_in(store_of(url, request), request.request_id)
    except TrussAsyncError as error:
        return Saved(problem=str(error))


def saved_in(store: OutputStore, request_id: str) -> Saved:
    """The same, by the id alone."""
    try:
        result = store.get(request_id)
        artifacts = store.artifacts(request_id)
    except RequestFailedError as failure:
        return Saved(problem=f"An error is saved: {failure}")
    except ObjectNotFoundError as error:
        return Saved(problem=f"Nothing was saved for this request: {error}")
    except TrussAsyncError as error:
        return Saved(problem=str(error))
    text = json.dumps(json.loads(result.model_dump_json())["data"], indent=2, ensure_ascii=False)
    return Saved(text, tuple(_told(number, each) for number, each in enumerate(artifacts)))


def read_artifact(store: OutputStore, request_id: str, name: str) -> ArtifactBytes:
    """Read one, up to a bound; to be called in a thread.

    Raises:
        TrussAsyncError: there is none of that name, it is too large, or the store cannot be read.
    """
    with store.open_artifact(store.artifact(request_id, name)) as file:
        body = file.read(MAX_ARTIFACT_BYTES + 1)
    if len(body) > MAX_ARTIFACT_BYTES:
        raise ObjectNotFoundError(
            f"{name} is larger than {MAX_ARTIFACT_BYTES} bytes: get it with truss-async results open"
        )
    kind = content_type_of_bytes(body)
    return ArtifactBytes(body, kind if kind in SHOWN_TYPES else UNKNOWN)


def _told(number: int, reference: ArtifactReference) -> Artifact:
    is_shown = (
        number < MAX_PICTURES
        and reference.content_type in SHOWN_TYPES
        and reference.size_bytes <= MAX_ARTIFACT_BYTES
    )
    name = reference.url.rpartition("/")[2]
    return Artifact(name, reference.content_type, reference.size_bytes, is_shown)
