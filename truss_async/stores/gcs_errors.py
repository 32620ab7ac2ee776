"""What a failure of Google Cloud Storage means, and what to do about it."""

from __future__ import annotations

from typing import Any, Final

import requests
from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    Unauthorized,
)
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from ..errors import ObjectExistsError, ObjectNotFoundError, OutputStoreError, StoreCredentialsError
from .passing import passes

FAILURES: Final = (
    GoogleAPIError,
    GoogleAuthError,
    InvalidResponse,
    DataCorruption,
    requests.RequestException,
)
CREDENTIALS_REMEDY: Final = (
    "declare the Truss secret gcp_service_account_json, set GOOGLE_APPLICATION_CREDENTIALS, "
    "or give the machine a service account"
)
_RIGHTS: Final = {
    "write": "storage.objects.create (and storage.objects.delete to overwrite)",
    "read": "storage.objects.get",
    "read the rest of": "storage.objects.get",
    "list": "storage.objects.list",
    "delete": "storage.objects.delete",
    "presign": "iam.serviceAccounts.signBlob",
}
_REFUSED: Final = (Unauthorized, RefreshError, DefaultCredentialsError)
# Reasons of answers whose status says the contrary. A checksum that does not match has none of its own.
_PASSING: Final = frozenset(
    {"backendError", "internalError", "quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded"}
)
_DAMAGED: Final = "match calculated"


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, GoogleAuthError):
        return bool(error.retryable)
    if not isinstance(error, GoogleAPICallError):
        return True
    return passes(error.code, _code(error), passing=_PASSING) or _is_damage(error)


def gcs_failure(error: Exception, *, action: str, url: str) -> OutputStoreError:
    """The same failure as one of ours. The library's own text is not quoted: it holds upload URLs, which are secret."""
    if isinstance(error, PreconditionFailed) and action == "write":
        return ObjectExistsError(f"there is an object {url} already")
    if isinstance(error, NotFound) and action == "read":
        return ObjectNotFoundError(f"there is no object {url}")
    kind = StoreCredentialsError if isinstance(error, _REFUSED) else OutputStoreError
    return kind(f"cannot {action} {url}: {_reason(error, action)}", passes=may_pass(error))


def _code(error: GoogleAPICallError) -> str:
    """The first reason that the service gives; empty when it gives none."""
    given: list[Any] = [each for each in error.errors if isinstance(each, dict)]
    return str(given[0].get("reason", "")) if given else ""


def _is_damage(error: GoogleAPICallError) -> bool:
    return error.code == requests.codes.bad_request and _DAMAGED in str(error.message)


def _reason(error: Exception, action: str) -> str:
    kind = type(error).__name__
    if isinstance(error, NotFound) and action == "read the rest of":
        return "the object was replaced or removed during the read; read it again"
    if isinstance(error, NotFound):
        return "the bucket does not exist; create it, or correct the store's URL"
    if isinstance(error, Forbidden) and not may_pass(error):
        return f"AccessDenied; the credentials need {_RIGHTS[action]}"
    if isinstance(error, _REFUSED):
        return f"{kind}; the credentials are not accepted: {CREDENTIALS_REMEDY}"
    if isinstance(error, GoogleAPICallError):
        said = " ".join(filter(None, (str(error.code or ""), kind, _code(error))))
        if _is_damage(error):
            return f"{said}; the data was corrupted on the way; try again"
        return f"{said}; try again later" if may_pass(error) else said
    cause = type(error.__cause__).__name__ if error.__cause__ else kind
    return f"{cause}; the server cannot be reached or does not answer; check the network"
