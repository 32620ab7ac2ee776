"""The errors of the API, as the platform words them: ``{"error": …, "error_code": …}``, with or without a ``detail``."""

from __future__ import annotations

from enum import Enum

from starlette.responses import JSONResponse


class ApiErrorCode(str, Enum):
    """The platform's error codes (platform documentation: error codes of model calls)."""

    TIMEOUT = "timeout"
    CLIENT_ERROR = "client_error"
    MODEL_UNAVAILABLE = "model_unavailable"
    MODEL_NOT_READY = "model_not_ready"
    MODEL_DOES_NOT_EXIST = "model_does_not_exist"
    RATE_LIMITED = "rate_limited"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNAUTHORIZED = "unauthorized"
    APPLICATION_ERROR = "application_error"
    INTERNAL_BASETEN_ERROR = "internal_baseten_error"


class CallRefusedError(Exception):
    """The call is refused with this status and message."""

    def __init__(
        self,
        status_code: int,
        code: ApiErrorCode,
        message: str,
        *,
        detail: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.detail = detail
        self.headers = headers

    def response(self) -> JSONResponse:
        """The answer."""
        content = {"error": str(self), "error_code": self.code.value}
        if self.detail is not None:
            content["detail"] = self.detail
        return JSONResponse(content, status_code=self.status_code, headers=self.headers)


def bad_request(message: str) -> CallRefusedError:
    """400: the body is not what it should be."""
    return CallRefusedError(400, ApiErrorCode.CLIENT_ERROR, message)


def unauthorized(message: str) -> CallRefusedError:
    """401: no key, or a wrong one."""
    return CallRefusedError(401, ApiErrorCode.UNAUTHORIZED, message)


def no_such_model(message: str) -> CallRefusedError:
    """404: the host, the path or the target names something that is not served."""
    return CallRefusedError(404, ApiErrorCode.MODEL_DOES_NOT_EXIST, message)


def unknown(message: str) -> CallRefusedError:
    """404: the id names nothing that is known here."""
    return CallRefusedError(404, ApiErrorCode.CLIENT_ERROR, message)


def rate_limited(message: str, *, retry_after_seconds: int) -> CallRefusedError:
    """429: over a limit, for so long."""
    headers = {"Retry-After": str(max(1, retry_after_seconds))}
    return CallRefusedError(429, ApiErrorCode.RATE_LIMITED, message, headers=headers)


def no_room(detail: str) -> CallRefusedError:
    """529: no replica takes a sync call now, and it does not wait."""
    return CallRefusedError(529, ApiErrorCode.MODEL_UNAVAILABLE, "no replica has room", detail=detail)


def too_large(size: int, limit: int) -> CallRefusedError:
    """413, with both sizes."""
    return CallRefusedError(
        413,
        ApiErrorCode.PAYLOAD_TOO_LARGE,
        f"payload size of {size} bytes exceeds maximum size of {limit} bytes",
    )
