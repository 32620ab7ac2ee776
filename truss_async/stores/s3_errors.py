"""What a failure of S3 means, and what to do about it."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from ..errors import ObjectExistsError, ObjectNotFoundError, OutputStoreError, StoreCredentialsError
from .passing import passes
from .readers import DAMAGED

_RIGHTS: Final = {
    "write": "s3:PutObject",
    "read": "s3:GetObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
    "presign": "s3:GetObject",
}
_ABSENT: Final = frozenset({"404", "NoSuchKey"})
_EXISTS: Final = frozenset({"412", "PreconditionFailed"})
_CONFLICTS: Final = _EXISTS | {"409", "ConditionalRequestConflict", "404", "NoSuchUpload"}
_FORBIDDEN: Final = frozenset({"403", "AccessDenied", "AllAccessDisabled"})
_WRONG_KEY: Final = (
    "the access key is not valid there; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or the secrets aws_access_key_id and aws_secret_access_key"
)
_BAD_SESSION: Final = (
    "the session token is not valid; check AWS_SESSION_TOKEN or the secret aws_session_token"
)
_EXPIRED: Final = "the session token has expired; get new credentials"
_DAMAGED: Final = "the data was corrupted on the way; try again"
_WRONG_REGION: Final = "set AWS_REGION or the secret aws_region to the bucket's region"
_OVERLOADED: Final = "the server is overloaded or failing; try again later"
_REMEDIES: Final = {
    "NoSuchBucket": "create the bucket, or correct the store's URL",
    "InvalidBucketName": "correct the store's URL",
    "InvalidAccessKeyId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "InvalidToken": _BAD_SESSION,
    "TokenRefreshRequired": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "BadDigest": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "XAmzContentChecksumMismatch": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "RequestTimeout": "the upload timed out; try again",
    "ConditionalRequestConflict": "another writer is writing the same object; try again",
    "PermanentRedirect": _WRONG_REGION,
    "301": _WRONG_REGION,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "SlowDown": _OVERLOADED,
    "ServiceUnavailable": _OVERLOADED,
    "InternalError": _OVERLOADED,
    "503": _OVERLOADED,
    "500": _OVERLOADED,
}
# Codes of answers whose status says the contrary.
_PASSING: Final = frozenset(
    {
        "BadDigest",
        "BandwidthLimitExceeded",
        "IncompleteBody",
        "InvalidPart",
        "NoSuchUpload",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_REFUSED_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_MISSING_CREDENTIALS: Final = (NoCredentialsError, CredentialRetrievalError, PartialCredentialsError)
_NO_CREDENTIALS: Final = (
    "no AWS credentials were found; declare the Truss secrets aws_access_key_id and aws_secret_access_key, "
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
)


def is_conflict(error: ClientError) -> bool:
    """Whether a write was refused because of an object, or because an upload is missing, which may be our own doing."""
    return _code(error) in _CONFLICTS


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return passes(status, _code(error), passing=_PASSING)
    return not isinstance(error, ParamValidationError)


def is_answer_that_passes(error: Exception) -> bool:
    """Whether the service has answered, and said that the same call may succeed."""
    return _code(error) in _PASSING


def s3_failure(error: Exception, *, action: str, url: str, endpoint: str) -> OutputStoreError:
    """The same failure as one of ours. Nothing of the request, which holds credentials, is quoted."""
    if action == "write" and _code(error) in _EXISTS:
        return ObjectExistsError(f"there is an object {url} already")
    reason = _reason(error, action=action, url=url, endpoint=endpoint)
    if reason is None:
        return ObjectNotFoundError(f"there is no object {url}")
    is_signed_in = not isinstance(error, _MISSING_CREDENTIALS) and _code(error) not in _REFUSED_CREDENTIALS
    kind = OutputStoreError if is_signed_in else StoreCredentialsError
    return kind(f"cannot {action} {url}: {reason}", passes=may_pass(error))


def _reason(error: Exception, *, action: str, url: str, endpoint: str) -> str | None:
    """None: there is no such object."""
    if isinstance(error, ClientError):
        code = _code(error) or "unknown error"
        if code in _ABSENT and action == "read":
            return None
        if code in _FORBIDDEN:
            right = f"the credentials need {_RIGHTS[action]} on {url}"
            # Without the right to list, S3 calls an absent object forbidden.
            hint = "; or there is no such object" if action == "read" else ""
            return f"AccessDenied; {right}{hint}"
        said = error.response.get("Error", {}).get("Message", "")
        remedy = _REMEDIES.get(code) or said.partition("\n")[0][:200]
        return f"{code}; {remedy}" if remedy else code
    kind = type(error).__name__
    if isinstance(error, _MISSING_CREDENTIALS):
        return f"{kind}; {_NO_CREDENTIALS}"
    if isinstance(error, FlexibleChecksumError):
        return DAMAGED
    if isinstance(error, SSLError):
        return f"{kind}; {endpoint} has no certificate that this machine trusts (AWS_CA_BUNDLE names others)"
    if isinstance(error, (NoConnectionError, HTTPClientError)):
        return (
            f"{kind}; {endpoint} cannot be reached or does not answer; check AWS_ENDPOINT_URL and the network"
        )
    return f"{kind}; {error}"


def _code(error: Exception) -> str:
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
