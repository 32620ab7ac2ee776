"""What a failure of Azure Blob Storage means, and what to do about it."""

from __future__ import annotations

from typing import Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from ..errors import ObjectExistsError, ObjectNotFoundError, OutputStoreError, StoreCredentialsError
from .passing import passes

NO_ACCOUNT: Final = (
    "declare the Truss secret azure_storage_connection_string (or azure_storage_account, to use the machine's "
    "identity), or set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT"
)
_EXISTS: Final = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})
_CONFLICTS: Final = _EXISTS | {"InvalidBlockList"}
_WRONG_KEY: Final = "the credentials are not accepted; check azure_storage_connection_string or the identity"
_OVERLOADED: Final = "the server is overloaded or failing; try again later"
_REMEDIES: Final = {
    "ContainerNotFound": "create the container, or correct the store's URL",
    "ContainerBeingDeleted": "create the container, or correct the store's URL",
    "AuthenticationFailed": _WRONG_KEY,
    "InvalidAuthenticationInfo": _WRONG_KEY,
    "Md5Mismatch": "the data was corrupted on the way; try again",
    "InvalidBlockList": "another writer changed the same blob; try again",
    "ServerBusy": _OVERLOADED,
    "InternalError": _OVERLOADED,
    "OperationTimedOut": _OVERLOADED,
}
_REFUSED_CREDENTIALS: Final = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})
# Codes of answers whose status says the contrary.
_PASSING: Final = frozenset(
    {"AccountBeingCreated", "ContainerBeingDeleted", "Crc64Mismatch", "InvalidBlockList", "Md5Mismatch"}
)
_LASTING: Final = frozenset(
    {
        "BlobArchived",
        "BlobBeingRehydrated",
        "BlobImmutableDueToPolicy",
        "ContainerDisabled",
        "InvalidBlobType",
        "SnapshotsPresent",
    }
)
_FORBIDDEN: Final = frozenset(
    {
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "AuthorizationServiceMismatch",
        "AuthorizationResourceTypeMismatch",
        "InsufficientAccountPermissions",
    }
)
_RIGHTS: Final = {
    "write": "the role Storage Blob Data Contributor (or a SAS with create and write)",
    "read": "the role Storage Blob Data Reader (or a SAS with read)",
    "list": "the role Storage Blob Data Reader (or a SAS with list)",
    "delete": "the role Storage Blob Data Contributor (or a SAS with delete)",
    "presign": "an account key",
}


def is_conflict(error: HttpResponseError) -> bool:
    """Whether a write was refused because of a blob, or because blocks are missing, which may be our own doing."""
    return _code(error) in _CONFLICTS


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed a little later."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    return passes(status, _code(error), passing=_PASSING, lasting=_LASTING)


def is_answer_that_passes(error: Exception) -> bool:
    """Whether the service has answered, and said that the same call may succeed."""
    return _code(error) in _PASSING


def is_absent(error: HttpResponseError) -> bool:
    """Whether there is no such blob, in a container that is there."""
    return _code(error) == "BlobNotFound"


def azure_failure(error: AzureError, *, action: str, url: str) -> OutputStoreError:
    """The same failure as one of ours. The library's own text is not quoted: it may hold signatures."""
    code = _code(error)
    if action == "read" and code == "BlobNotFound":
        return ObjectNotFoundError(f"there is no object {url}")
    if action == "write" and code in _EXISTS:
        return ObjectExistsError(f"there is an object {url} already")
    is_refused = isinstance(error, ClientAuthenticationError) or code in _REFUSED_CREDENTIALS
    kind = StoreCredentialsError if is_refused else OutputStoreError
    return kind(f"cannot {action} {url}: {_reason(error, code, action)}", passes=may_pass(error))


def _code(error: Exception) -> str:
    given = getattr(error, "error_code", None)
    return str(getattr(given, "value", given) or "")


def _reason(error: AzureError, code: str, action: str) -> str:
    kind = type(error).__name__
    if code in _FORBIDDEN:
        return f"AccessDenied; the credentials need {_RIGHTS[action]}, or are not valid for the account"
    if code in _REMEDIES:
        return f"{code}; {_REMEDIES[code]}"
    if code in _EXISTS:
        return f"{code}; the object was replaced or removed during the read; read it again"
    if isinstance(error, ClientAuthenticationError):
        return f"{kind}; {_WRONG_KEY}, or {NO_ACCOUNT}"
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        said = code or kind
        return f"{error.status_code} {said}" + (f"; {_OVERLOADED}" if error.status_code >= 500 else "")
    if isinstance(error, (ServiceRequestError, ServiceResponseError, IncompleteReadError)):
        return f"{kind}; the server cannot be reached or does not answer; check the account's name and the network"
    return kind
