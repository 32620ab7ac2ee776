"""What is tried again: the service's own code says it, where its status says the contrary."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceResponseError
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ParamValidationError
from google.api_core import exceptions as google_exceptions
from google.auth import exceptions as google_auth_exceptions

from truss_async.errors import (
    InvalidResultError,
    ObjectExistsError,
    ObjectNotFoundError,
    OutputStoreError,
    StoreCredentialsError,
    UnsafeObjectKeyError,
)
from truss_async.stores.azure_errors import azure_failure
from truss_async.stores.file_store import FileStore
from truss_async.stores.gcs_errors import gcs_failure
from truss_async.stores.s3_errors import s3_failure

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.exceptions import _ClientErrorResponseTypeDef

GOOGLE: Any = google_exceptions
GOOGLE_AUTH: Any = google_auth_exceptions
NO_CODE = ""


def s3(status: int, code: str) -> ClientError:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(cast("_ClientErrorResponseTypeDef", response), "PutObject")


def google(status: int, reason: str, message: str = "x") -> Exception:
    made: Exception = GOOGLE.from_http_status(status, message, errors=[{"reason": reason}] if reason else ())
    return made


def azure(status: int, code: str, kind: type[HttpResponseError] = HttpResponseError) -> HttpResponseError:
    error: Any = kind(response=SimpleNamespace(status_code=status, reason=""))
    error.error_code = code
    made: HttpResponseError = error
    return made


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (s3(400, "RequestTimeout"), True),
        (s3(400, "BadDigest"), True),
        (s3(400, "IncompleteBody"), True),
        (s3(400, "XAmzContentChecksumMismatch"), True),
        (s3(400, "XAmzContentSHA256Mismatch"), True),
        (s3(400, "InvalidPart"), True),
        (s3(404, "NoSuchUpload"), True),
        (s3(403, "RequestThrottled"), True),
        (s3(409, "ConditionalRequestConflict"), True),
        (s3(503, "SlowDown"), True),
        (s3(500, "Whatever"), True),
        (s3(429, NO_CODE), True),
        (s3(400, "InvalidRequest"), False),
        (s3(400, "EntityTooSmall"), False),
        (s3(403, "AccessDenied"), False),
        (s3(404, "NoSuchBucket"), False),
        (s3(301, "PermanentRedirect"), False),
        (s3(501, "NotImplemented"), False),
        (EndpointConnectionError(endpoint_url="http://x"), True),
        (ParamValidationError(report="x"), False),
    ],
)
def test_of_s3(error: Exception, expected: bool) -> None:
    assert s3_failure(error, action="write", url="s3://b/k", endpoint="http://x").passes is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (google(400, "invalid", 'Provided MD5 hash "a" doesn\'t match calculated MD5 hash "b".'), True),
        (google(400, "invalid"), False),
        (google(403, "rateLimitExceeded"), True),
        (google(403, "userRateLimitExceeded"), True),
        (google(403, "forbidden"), False),
        (google(403, "retentionPolicyNotMet"), False),
        (google(404, "notFound"), False),
        (google(408, NO_CODE), True),
        (google(429, NO_CODE), True),
        (google(503, NO_CODE), True),
        (GOOGLE_AUTH.TransportError("x", retryable=True), True),
        (GOOGLE_AUTH.RefreshError("invalid_grant", retryable=False), False),
    ],
)
def test_of_gcs(error: Exception, expected: bool) -> None:
    assert gcs_failure(error, action="write", url="gs://b/k").passes is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (azure(400, "Md5Mismatch"), True),
        (azure(400, "InvalidBlockList"), True),
        (azure(409, "ContainerBeingDeleted"), True),
        (azure(500, "OperationTimedOut"), True),
        (azure(503, "ServerBusy"), True),
        (azure(409, "BlobImmutableDueToPolicy"), False),
        (azure(409, "BlobArchived"), False),
        (azure(400, "InvalidHeaderValue"), False),
        (azure(403, "AuthorizationPermissionMismatch"), False),
        (azure(404, "ContainerNotFound"), False),
        (ServiceResponseError("x"), True),
    ],
)
def test_of_azure(error: Any, expected: bool) -> None:
    assert azure_failure(error, action="write", url="azure://c/k").passes is expected


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.EACCES, False)]
)
def test_of_a_folder(tmp_path: Path, number: int, expected: bool) -> None:
    with pytest.raises(OutputStoreError) as raised, FileStore(tmp_path)._translated("write", "k"):
        raise OSError(number, "x")
    assert raised.value.passes is expected


def test_what_is_there_or_absent_or_not_allowed_stays_so() -> None:
    lasting = (
        ObjectExistsError,
        ObjectNotFoundError,
        InvalidResultError,
        UnsafeObjectKeyError,
        StoreCredentialsError,
    )
    assert not any(kind("x").passes for kind in lasting)
    assert OutputStoreError("x").passes


@pytest.mark.parametrize(
    "error",
    [
        s3_failure(s3(403, code), action="write", url="s3://b/k", endpoint="http://x")
        for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken")
    ]
    + [
        s3_failure(s3(400, "ExpiredToken"), action="read", url="s3://b/k", endpoint="http://x"),
        s3_failure(NoCredentialsError(), action="read", url="s3://b/k", endpoint="http://x"),
        gcs_failure(google(401, "authError"), action="write", url="gs://b/k"),
        gcs_failure(GOOGLE_AUTH.RefreshError("invalid_grant"), action="write", url="gs://b/k"),
        azure_failure(azure(403, "AuthenticationFailed"), action="write", url="azure://c/k"),
        azure_failure(azure(401, NO_CODE, ClientAuthenticationError), action="write", url="azure://c/k"),
    ],
)
def test_refused_credentials_are_told_from_missing_rights(error: OutputStoreError) -> None:
    assert isinstance(error, StoreCredentialsError)
