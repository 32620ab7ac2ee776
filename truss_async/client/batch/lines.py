"""What a line of the input says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from ...contract import AsyncPredictRequest, limits
from ...contract.json_text import check_finite, parse
from ...errors import explained

_LONGEST_ID: Final = 512


class BadLineError(Exception):
    """A line that cannot become a request; the text says why."""


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """A line as it was meant: ``fields`` are those of the request, ``model_input`` among them."""

    custom_id: str
    fields: dict[str, Any]


def default_id(number: int) -> str:
    """The ``custom_id`` of a line that gives none; lines are counted from 1, blank ones, too."""
    return f"line-{number}"


def parse_line(raw: bytes, *, number: int, bare: bool) -> ParsedLine:
    """What the line says; ``bare``: it is the model input, whatever it looks like.

    Raises:
        BadLineError: it is not JSON, or its ``custom_id`` is none.
    """
    try:
        value = parse(raw, allow_inf_nan=False)
        check_finite(value, name="the line")
    except ValueError as error:
        raise BadLineError(f"it is not JSON: {_within_line(error)}") from None
    if bare or not isinstance(value, dict):
        return ParsedLine(default_id(number), {"model_input": value})
    if "model_input" in value:
        custom_id = value.pop("custom_id", None)
        return ParsedLine(_checked_id(custom_id, number), value)
    if "custom_id" in value and "body" in value:
        return ParsedLine(_checked_id(value["custom_id"], number), {"model_input": value["body"]})
    return ParsedLine(default_id(number), {"model_input": value})


def request_body(line: ParsedLine, *, defaults: dict[str, Any], webhook_endpoint: str | None) -> bytes:
    """The body of the async call; what the line says itself is stronger than the defaults.

    Raises:
        BadLineError: the platform would not take it, or the result would go elsewhere than where it is awaited.
    """
    fields = {**defaults, **line.fields}
    if webhook_endpoint is not None:
        if line.fields.get("webhook_endpoint") not in (None, "", webhook_endpoint):
            raise BadLineError("it has a webhook_endpoint of its own, so that its result would not come here")
        fields["webhook_endpoint"] = webhook_endpoint
    try:
        return AsyncPredictRequest(**fields).model_dump_json().encode()
    except ValidationError as error:
        raise BadLineError(explained(error)) from None
    except ValueError as error:
        raise BadLineError(f"it cannot be sent as JSON: {error}") from None


def check_size(body: bytes, *, limit: int = limits.MAX_ASYNC_BODY_BYTES) -> None:
    """Refuse what an organisation that has asked for no other limit may not send."""
    if len(body) > limit:
        raise BadLineError(f"payload size of {len(body)} bytes exceeds maximum size of {limit} bytes")


def _within_line(error: ValueError) -> str:
    """What is wrong; the parser saw one line alone, and would call each the first."""
    return str(error).replace(" at line 1 column ", " at column ")


def _checked_id(given: Any, number: int) -> str:
    if given is None:
        return default_id(number)
    if not isinstance(given, str) or not given:
        raise BadLineError("its custom_id is no text; give one in quotes, or none")
    if len(given) > _LONGEST_ID:
        raise BadLineError(f"its custom_id has more than {_LONGEST_ID} characters")
    return given
