"""What an object that should hold an async predict result says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from ..contract import ArtifactReference, AsyncPredictResult
from ..contract.json_text import parse
from ..errors import InvalidResultError, RequestFailedError
from .compression import decompressed

RESULT_CONTENT_TYPE: Final = "application/json"

_LONGEST_QUOTE: Final = 300


@dataclass(frozen=True)
class ResultInfo:
    """What a listing says about one result. ``size_bytes`` is that of the stored object."""

    request_id: str
    size_bytes: int
    modified_at: datetime | None = None


def parse_result(body: bytes, *, request_id: str, url: str) -> AsyncPredictResult:
    """The result in the object at the URL, compressed or not.

    InvalidResultError, which quotes none of it, when it holds none, or that of another request.
    """
    result = parse_any_result(body, url=url)
    if result.request_id != request_id:
        raise InvalidResultError(f"{url} holds the result of another request")
    return result


def parse_any_result(body: bytes, *, url: str) -> AsyncPredictResult:
    """The same, whichever request it is of."""
    text = _decompressed(body, url)
    try:
        return AsyncPredictResult.model_validate_json(text)
    except ValidationError as error:
        # Not chained, and only the first fault's kind: the rest quotes the model output.
        reason = error.errors(include_input=False, include_context=False, include_url=False)[0]["type"]
        raise InvalidResultError(
            f"{url} is not an async predict result ({reason}); it is cut off or was not written by this package"
        ) from None


def parse_output(body: bytes, *, url: str) -> Any:
    """The output that lies in the object at the URL without a result around it; else as ``parse_result``."""
    try:
        return parse(_decompressed(body, url))
    except ValueError:
        raise InvalidResultError(
            f"{url} is not JSON; it is cut off or was not written by this package"
        ) from None


def _decompressed(body: bytes, url: str) -> bytes:
    try:
        return decompressed(body)
    except InvalidResultError as error:
        raise InvalidResultError(
            f"{url} cannot be read: {error}; download and decompress it yourself"
        ) from None
    except ValueError:
        raise InvalidResultError(
            f"{url} cannot be decompressed; it is cut off or was not written by this package"
        ) from None


def references_in(output: Any) -> Iterator[ArtifactReference]:
    """What stands in an output, which is JSON of any depth, in the place of its artifacts."""
    left = [output]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            try:
                reference = (
                    ArtifactReference.model_validate(value) if value.get("type") == "artifact" else None
                )
            except ValidationError:
                reference = None
            if reference is not None:
                yield reference
            left += value.values()


def request_failure(result: AsyncPredictResult, *, url: str) -> RequestFailedError:
    """The error for a request of which only this result, from the URL, is there."""
    if not result.errors:
        raise InvalidResultError(f"{url} should contain the error of the request, and has none")
    first = result.errors[0]
    said = "".join(each if each.isprintable() else " " for each in f"{first.code}: {first.message}")
    reason = " ".join(said.split())[:_LONGEST_QUOTE]
    return RequestFailedError(f"request {result.request_id} failed: {reason}", result=result)
