"""The platform's operations as calls, and what their answers mean: one reading of them for both clients."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ValidationError

from ..contract import AsyncPredictAccepted, AsyncPredictRequest, AsyncRequestStatus, CancelAnswer
from ..contract.json_text import IN_AN_ENVELOPE, parse, write
from ..contract.statuses import QueueStatus
from ..errors import (
    ApiError,
    ApiKeyRefusedError,
    RateLimitedError,
    RequestRefusedError,
    SettingsError,
    UnansweredError,
    explained,
)
from .refusals import explain_refusal, explain_silence

if TYPE_CHECKING:
    from ..clock import Clock
    from ..timed_http import HttpAnswer, NoAnswerError

T = TypeVar("T")
Parsed = TypeVar("Parsed", bound=BaseModel)

PASSING_STATUSES: Final = frozenset({429, 502, 503, 504})
"""Those that say nothing about the request: the same call may be answered a little later."""

_CHAIN: Final = re.compile(r"https?://(chain-|[^/]+/chain/)")
_REFUSED: Final[dict[int, type[ApiError]]] = {
    400: RequestRefusedError,
    401: ApiKeyRefusedError,
    403: ApiKeyRefusedError,
    413: RequestRefusedError,
    422: RequestRefusedError,
    429: RateLimitedError,
}


DEFAULT_TARGET: Final = "production"
_ENDPOINT: Final = re.compile(
    r"(?P<model>https?://[^/]+(?:/.*?)??)"
    r"(?:/(?P<target>production|development|environments/[^/]+|deployment/[^/]+))?"
    r"(?:/(?P<operation>(?:async_)?(?:predict|run_remote)|wake|async_queue_status))?/*"
)


@dataclass(frozen=True)
class Call(Generic[T]):
    """What is sent, below the URL of the platform, and how the body of a good answer is read (ValueError: it is none)."""

    method: str
    path: str
    read: Callable[[HttpAnswer], T]
    content: str | bytes | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.content is None else {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Target:
    """What calls of a model, or a chain, go to; ``name`` is as ``PlatformClient`` explains it."""

    name: str
    is_chain: bool = False

    def path_of(self, operation: str) -> str:
        name = self.name.strip("/")
        return f"/{name}/{operation}" if name else f"/{operation}"

    def submit(
        self, request: AsyncPredictRequest | None, fields: dict[str, Any]
    ) -> Call[AsyncPredictAccepted]:
        return self.submit_body(request_body(request, fields))

    def submit_body(self, body: str | bytes) -> Call[AsyncPredictAccepted]:
        return Call(
            "POST",
            self.path_of("async_run_remote" if self.is_chain else "async_predict"),
            reading(AsyncPredictAccepted),
            body,
        )

    def predict(self, model_input: Any) -> Call[Any]:
        try:
            body = write(model_input, inf_nan_mode="constants")
        except ValueError as error:
            raise SettingsError(f"model_input cannot be sent as JSON: {error}") from None
        return Call("POST", self.path_of("run_remote" if self.is_chain else "predict"), _as_output, body)

    def wake(self) -> Call[None]:
        return Call("POST", self.path_of("wake"), lambda answer: None)

    def queue_status(self) -> Call[QueueStatus]:
        return Call("GET", self.path_of("async_queue_status"), reading(QueueStatus))


def status_call(request_id: str) -> Call[AsyncRequestStatus]:
    return Call("GET", _request_path(request_id), reading(AsyncRequestStatus))


def cancel_call(request_id: str) -> Call[CancelAnswer]:
    return Call("DELETE", _request_path(request_id), reading(CancelAnswer))


def request_body(request: AsyncPredictRequest | None, fields: dict[str, Any]) -> str:
    """The body of an async call, of a request given whole or by its fields.

    Raises:
        SettingsError: it is no request, or cannot be JSON.
    """
    try:
        body = (request or AsyncPredictRequest(**fields)).model_dump_json()
        if "NaN" in body or "Infinity" in body:  # perhaps in a text
            parse(body.encode(), allow_inf_nan=False, max_depth=IN_AN_ENVELOPE)
    except ValidationError as error:
        raise SettingsError(explained(error)) from None
    except ValueError as error:
        raise SettingsError(f"model_input cannot be sent as JSON: {error}") from None
    return body


def model_and_target(url: str, *, target: str = DEFAULT_TARGET) -> tuple[str, Target]:
    """The URL of a model or chain, without its last slash, and what of it is called.

    The URL of an endpoint, such as ``https://…/production/async_predict``, says both.

    Raises:
        SettingsError: it is no URL, or names another target than the one that is given.
    """
    found = _ENDPOINT.fullmatch(checked_url(url))
    if found is None:
        raise _no_url(url)
    named = found["target"] or ("" if found["operation"] else target)
    if target not in (DEFAULT_TARGET, named):
        raise SettingsError(f"{url} contains another target than {target!r}; give the URL of the model alone")
    return found["model"], Target(named, is_chain=_CHAIN.match(url) is not None)


def checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise _no_url(url)
    return url.rstrip("/")


def _no_url(url: str) -> SettingsError:
    return SettingsError(f"{url!r} is not the URL of a model; give one like https://model-ID.api.baseten.co")


def answered(call: Call[T], answer: HttpAnswer, *, url: str, clock: Clock) -> T:
    """What the answer says; ``url`` is the one that was called.

    Raises:
        ApiError: it says no, of the class that its status has.
    """
    status_code = answer.status_code
    if not 200 <= status_code < 300:
        message = explain_refusal(call.method, url, status_code, answer.body)
        kind = _REFUSED.get(status_code, ApiError)
        told = retry_after(answer.headers.get("Retry-After"), now=clock.now())
        raise kind(message, status_code=status_code, retry_after=told)
    try:
        return call.read(answer)
    except ValueError:  # a ValidationError, too
        raise ApiError(
            f"{url} answered {status_code}, but not like the platform; check the URL",
            status_code=status_code,
        ) from None


def unanswered(url: str, error: NoAnswerError) -> UnansweredError:
    """The error for a call to the platform at ``url`` of which nothing came back."""
    return UnansweredError(explain_silence(url, error), may_have_arrived=error.was_reached)


def too_slow(url: str, *, seconds: float) -> UnansweredError:
    """The same for one that took too long."""
    return UnansweredError(f"{url} gave no answer within {seconds:g} s", may_have_arrived=True)


def retry_after(header: str | None, *, now: datetime) -> float | None:
    """The seconds that a ``Retry-After`` asks for, as a number or as a date; None when it says nothing usable."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - now).total_seconds())


def reading(answer_type: type[Parsed]) -> Callable[[HttpAnswer], Parsed]:
    """How an answer of that type is read."""
    return lambda answer: answer_type.model_validate_json(answer.body)


def _as_output(answer: HttpAnswer) -> Any:
    """The model's output: JSON as its value, text as text, anything else as bytes."""
    kind = answer.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return parse(answer.body)
    return answer.body.decode("utf-8", "replace") if kind.startswith("text/") else answer.body


def _request_path(request_id: str) -> str:
    if request_id.strip(".") == "":
        raise SettingsError("the request id is empty")
    return f"/async_request/{quote(request_id, safe='', errors='replace')}"
