"""The one exception tree. A message says what failed, on what, and the remedy."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from .nearest import suggestion

if TYPE_CHECKING:
    from pydantic import ValidationError


class TrussAsyncError(Exception):
    """Anything that this package raises on purpose."""


class SettingsError(TrussAsyncError):
    """A setting is missing or wrong; the message names it and what is allowed."""


class MissingExtraError(TrussAsyncError, ImportError):
    """An optional dependency is not installed; the message holds the ``pip install`` line."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'truss-async[{extra}]'")


class OutputStoreError(TrussAsyncError):
    """An output store could not be read or written; ``passes`` tells whether it may be able to a little later."""

    passes = True

    def __init__(self, message: str, *, passes: bool | None = None) -> None:
        super().__init__(message)
        if passes is not None:
            self.passes = passes


class StoreCredentialsError(OutputStoreError):
    """What the store is signed in with is not accepted, has expired, or is not there."""

    passes = False


class ObjectNotFoundError(OutputStoreError):
    """There is no object under that key."""

    passes = False


class ObjectExistsError(OutputStoreError):
    """There is an object under that key already, which is to stay."""

    passes = False


class InvalidResultError(OutputStoreError):
    """The object under a request id is not an async predict result: cut off, or not written by this package."""

    passes = False


class RequestFailedError(TrussAsyncError):
    """The request failed in the model; ``result`` is the AsyncPredictResult that says why."""

    def __init__(self, message: str, *, result: Any) -> None:
        super().__init__(message)
        self.result = result


class UnsafeObjectKeyError(OutputStoreError):
    """A request id or name that must not become part of an object key."""

    passes = False


class UnsupportedModelError(TrussAsyncError):
    """A model of a shape whose outputs cannot be saved; the message says what to do."""


class OutputError(TrussAsyncError):
    """A model output that cannot be saved; the message says which part of it, and why."""


class WebhookVerificationError(TrussAsyncError):
    """A webhook is not proven to come from the platform; the message says which check failed.

    ``status_code`` is what a receiver answers: 401 not proven, 400 proven and no async predict result, 403 from a page in
    a browser, 413 too large, 500 when the receiver itself has no webhook secret, or cannot read what it was given.
    """

    def __init__(self, message: str, *, status_code: int = 401) -> None:
        super().__init__(message)
        self.status_code = status_code


class WebhookReceiverError(TrussAsyncError):
    """The webhook receiver cannot listen or keep a result, or is not running."""


class ResultBusyError(TrussAsyncError):
    """The same result is being handled elsewhere, and did not end in time; a sender that gets 503 comes again."""


class HarnessError(TrussAsyncError):
    """The harness cannot start or go on."""


class ApiError(TrussAsyncError):
    """The platform (or the harness) refused a call, or did not answer.

    ``status_code`` is the HTTP status of the answer, or None when there was no answer. ``retry_after`` are the seconds
    after which the answer says to come again, None when it says nothing of the kind.
    """

    def __init__(
        self, message: str, *, status_code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.retry_after = retry_after


class ApiKeyRefusedError(ApiError):
    """The API key is not accepted (401, 403): no other call with it will be."""


class RequestRefusedError(ApiError):
    """The request itself is not accepted (400, 413, 422): it never will be."""


class RateLimitedError(ApiError):
    """Over a limit of the platform (429); ``retry_after`` says for how long, where the answer does."""


class UnansweredError(ApiError):
    """There was no answer. ``may_have_arrived``: the platform may have taken the call nevertheless."""

    def __init__(self, message: str, *, may_have_arrived: bool) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


def explained(error: ValidationError, *, known: Collection[str] = ()) -> str:
    """The first thing that is wrong, and where: ``fault.rate: Input should be …``; ``known`` are the keys there may be."""
    first = error.errors(include_url=False)[0]
    if known and first["type"] == "extra_forbidden":
        return f"unknown key {'.'.join(map(str, first['loc']))}; {suggestion(str(first['loc'][-1]), known)}"
    place, reason = reasons(error)[0]
    return f"{place}: {reason}" if place else reason


def reasons(error: ValidationError) -> list[tuple[str, str]]:
    """All that is wrong: the dotted place of each, "" for the whole, and the reason."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in found]
