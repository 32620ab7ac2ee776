"""What the platform decides, as pure functions: no I/O, no clock, no state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from pydantic_core import to_json

from ..contract import ErrorCode, ErrorDetail, InferenceRetryConfig, limits, truss_server
from ..contract.headers import ERROR_CODE
from ..contract.json_text import parse_leniently, write
from ..contract.told_errors import error_message, in_words
from ..printable import printable


class ModelAnswer(NamedTuple):
    """What a model server sent back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_stream: bool = False


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The model output, as JSON made by pydantic's serialiser."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The inference attempt failed."""

    error: ErrorDetail
    is_retryable: bool


@dataclass(frozen=True, slots=True)
class Busy:
    """The model has no room now (429): try again later, without counting an attempt."""


Outcome = Succeeded | Failed | Busy


def failure(code: ErrorCode, message: str, *, retry: bool) -> Failed:
    """A failed inference attempt with its error detail."""
    return Failed(ErrorDetail.of(code, message), retry)


MAX_INTERRUPTIONS = 3


def unfit(damage: str | None, *, interruptions: int) -> Failed | None:
    """Why a request must not be run: it is damaged, or ended the process that ran it once too often. None: it may."""
    if damage is not None:
        return failure(ErrorCode.INTERNAL_SERVER_ERROR, damage, retry=False)
    if interruptions >= MAX_INTERRUPTIONS:
        message = f"the harness stopped {interruptions} times while the model worked on it; it is not retried"
        return failure(ErrorCode.MODEL_UNAVAILABLE, message, retry=False)
    return None


def judge_answer(answer: ModelAnswer) -> Outcome:
    """Decide what a model server's answer means for the async request (platform documentation: error codes).

    The Truss server answers 400 for an input it cannot parse, with its error code 700; any other 400 means "not
    ready", as the platform's table says.
    """
    status = answer.status
    if 200 <= status < 300:
        return _judge_output(answer)
    message = _error_message(answer)
    if status == 429:
        return Busy()
    if status == 422 or (
        status == 400 and answer.headers.get(ERROR_CODE.lower()) == truss_server.CLIENT_ERROR
    ):
        return failure(ErrorCode.MODEL_INVALID_INPUT, message, retry=False)
    if status == 400 or (status == 503 and truss_server.NOT_READY in message):
        return failure(ErrorCode.MODEL_NOT_READY, message, retry=True)
    if status == 404:
        return failure(ErrorCode.MODEL_DOES_NOT_EXIST, message, retry=False)
    if status in (502, 503):
        return failure(ErrorCode.MODEL_UNAVAILABLE, message, retry=True)
    if status == 504:
        return failure(ErrorCode.MODEL_PREDICT_TIMEOUT, message, retry=True)
    return failure(ErrorCode.MODEL_PREDICT_ERROR, message, retry=status >= 500)


def _judge_output(answer: ModelAnswer) -> Outcome:
    if answer.is_stream:
        return failure(
            ErrorCode.ASYNC_REQUEST_NOT_SUPPORTED,
            "the model streams its output, which async inference does not support",
            retry=False,
        )
    if not answer.body:
        return Succeeded(b"null")
    content_type = answer.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    try:
        if content_type == "application/json" or content_type.endswith("+json"):
            return Succeeded(canonical_json(answer.body))
        if content_type.startswith("text/"):
            return Succeeded(to_json(answer.body.decode()))
    except ValueError as error:  # UnicodeDecodeError is one
        return failure(
            ErrorCode.MODEL_PREDICT_ERROR,
            f"the model's output is not valid {content_type}: {error}",
            retry=False,
        )
    return failure(
        ErrorCode.MODEL_PREDICT_ERROR,
        f"the model's output is {content_type}, which a webhook cannot carry; return JSON",
        retry=False,
    )


def canonical_json(body: bytes) -> bytes:
    """JSON as pydantic writes it, so that a parsed and dumped webhook is the same bytes.

    NaN and infinities, which the Truss server lets through, become null; a lone surrogate becomes U+FFFD.

    Raises:
        ValueError: the bytes are no JSON, or nested deeper than anything that a receiver is sent.
    """
    return write(parse_leniently(body), inf_nan_mode="null")


def _error_message(answer: ModelAnswer) -> str:
    """What the model says is wrong; whatever it sent beside the status is told, save a page for browsers."""
    plain = f"the model answered {answer.status}"
    try:
        said = parse_leniently(answer.body)
    except ValueError:
        is_text = answer.headers.get("content-type", "").startswith("text/plain")
        text = " ".join(answer.body.decode(errors="replace").split()) if is_text else ""
        return f"{plain}: {printable(text)}" if text else plain
    says_something = any(said.values()) if isinstance(said, dict) else bool(said)
    return error_message(said) or (f"{plain}: {in_words(said)}" if says_something else plain)


def next_inference_delay(config: InferenceRetryConfig, *, attempts_made: int) -> timedelta | None:
    """How long to wait before the next inference attempt; None when all attempts are used up."""
    if attempts_made >= config.max_attempts:
        return None
    return backoff(config, step=attempts_made)


def backoff(config: InferenceRetryConfig, *, step: int) -> timedelta:
    """The wait before attempt ``step + 1``: doubled each time, up to the configured maximum."""
    delay_ms = config.initial_delay_ms * limits.BACKOFF_FACTOR ** (step - 1)
    return timedelta(milliseconds=min(delay_ms, config.max_delay_ms))


def next_sync_delay(*, attempts_made: int, elapsed_seconds: float, is_unreachable: bool) -> float | None:
    """How many seconds to wait before a sync call is repeated that no answer came to, or one of those that are repeated.

    ``elapsed_seconds`` counts from the first attempt; None: what came stands.
    """
    if is_unreachable and attempts_made >= limits.MAX_UNREACHABLE_SYNC_ATTEMPTS:
        return None
    grown = limits.SYNC_RETRY_INITIAL_DELAY_SECONDS * limits.SYNC_RETRY_FACTOR ** (attempts_made - 1)
    delay = min(grown, limits.SYNC_RETRY_MAX_DELAY_SECONDS)
    return delay if elapsed_seconds + delay <= limits.SYNC_RETRIES_END_SECONDS else None


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How a webhook is delivered (platform documentation: async inference, webhooks): once, and after each delay."""

    delays_seconds: tuple[float, ...] = limits.DELIVERY_SCHEDULES["current"]
    timeout_seconds: float = limits.DELIVERY_TIMEOUT_SECONDS


def is_delivered(status_code: int | None) -> bool:
    """Whether the webhook endpoint acknowledged; None stands for no answer at all."""
    return status_code is not None and 200 <= status_code < 300


def next_delivery_delay(
    policy: DeliveryPolicy, *, attempts_made: int, status_code: int | None
) -> timedelta | None:
    """How long to wait before delivering again; None when it was delivered or has failed for good."""
    if is_delivered(status_code) or attempts_made > len(policy.delays_seconds):
        return None
    if status_code is not None and status_code not in limits.DELIVERY_RETRY_STATUSES:
        return None
    return timedelta(seconds=policy.delays_seconds[attempts_made - 1])
