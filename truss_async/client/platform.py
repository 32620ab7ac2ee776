"""The platform's async operations, for callers: the same against Baseten and against a harness."""

from __future__ import annotations

import re
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ValidationError

from ..clock import SYSTEM_CLOCK, Clock
from ..contract import (
    AsyncPredictAccepted,
    AsyncPredictRequest,
    AsyncRequestStatus,
    CancelAnswer,
    WebhookStatus,
)
from ..contract.json_text import IN_AN_ENVELOPE, parse
from ..contract.statuses import QueueStatus
from ..contract.webhook_urls import is_loopback
from ..errors import ApiError, SettingsError, explained
from ..pasted import as_api_key
from ..timed_http import NoAnswerError, TimedHttp
from .refusals import explain_refusal, explain_silence

if TYPE_CHECKING:
    from typing_extensions import Self

Parsed = TypeVar("Parsed", bound=BaseModel)

_CHAIN = re.compile(r"https?://(chain-|[^/]+/chain/)")
_FIRST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 2.0
_POLL_FACTOR = 1.5
_PASSING_STATUSES = frozenset({429, 502, 503, 504})


class PlatformClient:
    """Calls one model. ``url`` is ``https://model-ID.api.baseten.co`` or a harness's ``http://127.0.0.1:8090``.

    Or one chain, at ``https://chain-ID.api.baseten.co`` or a harness's ``http://127.0.0.1:8090/chain/ID``.

    ``target`` is ``production``, ``development``, ``environments/ENV``, ``deployment/ID``, or nothing on a regional
    host. Everything that goes wrong is an ``ApiError`` of one line.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        target: str = "production",
        timeout_seconds: float = 30,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.url = _checked_url(url)
        self._target = target.strip("/")
        self._async_call = "async_run_remote" if _CHAIN.match(self.url) else "async_predict"
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._http = TimedHttp(
            purpose="calling the platform",
            headers={"Authorization": f"Api-Key {as_api_key(api_key)}"},
            timeout_seconds=timeout_seconds,
            trust_env=not is_loopback(urlsplit(self.url).hostname or ""),  # no proxy leads to this machine
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, request: AsyncPredictRequest | None = None, /, **fields: Any) -> AsyncPredictAccepted:
        """Enqueue an async request, given whole or by its fields (``model_input=…, priority=…``).

        A request is submitted once: an answer that never came is an ``ApiError``, not a second submission.
        """
        try:
            body = (request or AsyncPredictRequest(**fields)).model_dump_json()
            if "NaN" in body or "Infinity" in body:  # perhaps in a text
                parse(body.encode(), allow_inf_nan=False, max_depth=IN_AN_ENVELOPE)
        except ValidationError as error:
            raise SettingsError(explained(error)) from None
        except ValueError as error:
            raise SettingsError(f"model_input cannot be sent as JSON: {error}") from None
        return self._call("POST", self._target_path(self._async_call), AsyncPredictAccepted, content=body)

    def queue_status(self) -> QueueStatus:
        """How many async requests of the target wait, and how many are being worked on."""
        return self._call("GET", self._target_path("async_queue_status"), QueueStatus)

    def status(self, request_id: str) -> AsyncRequestStatus:
        """Where the request stands; gone an hour after it was completed."""
        return self._call("GET", _request_path(request_id), AsyncRequestStatus)

    def cancel(self, request_id: str) -> CancelAnswer:
        """Withdraw a request that is still queued; the answer says when it is too late."""
        return self._call("DELETE", _request_path(request_id), CancelAnswer)

    def wait(self, request_id: str, *, timeout_seconds: float | None = None) -> AsyncRequestStatus:
        """The status once nothing more will happen: inference is over, and so is the delivery of the result.

        Polls with growing pauses, through rate limits and short outages; ``ApiError`` when the time is up.
        """
        deadline = None
        if timeout_seconds is not None:
            deadline = self._clock.monotonic() + timeout_seconds
        pause = _FIRST_POLL_SECONDS
        while True:
            last = self._status_if_reachable(request_id)
            if last is not None and last.status.is_final and last.webhook_status is not WebhookStatus.PENDING:
                return last
            if deadline is not None and self._clock.monotonic() >= deadline:
                known = last.status.value if last is not None else "unknown: no answer"
                raise ApiError(f"request {request_id} is still {known} after {timeout_seconds:g} s")
            self._clock.block(pause)
            pause = min(pause * _POLL_FACTOR, _LONGEST_POLL_SECONDS)

    def _target_path(self, operation: str) -> str:
        return f"/{self._target}/{operation}" if self._target else f"/{operation}"

    def _status_if_reachable(self, request_id: str) -> AsyncRequestStatus | None:
        try:
            return self.status(request_id)
        except ApiError as error:
            if error.status_code in _PASSING_STATUSES:
                return None
            raise

    def _call(
        self, method: str, path: str, answer_type: type[Parsed], *, content: str | None = None
    ) -> Parsed:
        url = self.url + path
        headers = {"Content-Type": "application/json"} if content is not None else {}
        try:
            response = self._http.send(method, url, content=content, headers=headers)
        except TimeoutError:
            raise ApiError(f"{self.url} gave no answer within {self._timeout_seconds:g} s") from None
        except NoAnswerError as error:
            raise ApiError(explain_silence(self.url, error)) from None
        if not 200 <= response.status_code < 300:
            message = explain_refusal(method, url, response.status_code, response.body)
            raise ApiError(message, status_code=response.status_code)
        try:
            return answer_type.model_validate_json(response.body)
        except ValidationError:
            raise ApiError(
                f"{url} answered {response.status_code}, but not as the platform does; check the URL",
                status_code=response.status_code,
            ) from None


def _request_path(request_id: str) -> str:
    if request_id.strip(".") == "":
        raise SettingsError("the request id is empty")
    return f"/async_request/{quote(request_id, safe='', errors='replace')}"


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise SettingsError(f"{url!r} is no URL of a model; give one like https://model-ID.api.baseten.co")
    return url.rstrip("/")
