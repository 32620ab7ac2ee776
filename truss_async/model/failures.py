"""What the platform would report of an exception in the model, saved without getting in the exception's way."""

import logging
import sys
import threading
from contextvars import copy_context
from typing import Any, Final

from pydantic_core import to_json

from ..contract import ErrorCode, ErrorDetail
from ..contract.result_json import without_lone_surrogates
from ..errors import OutputError, TrussAsyncError
from .preparation import saver_of
from .requests import ServedRequest

logger = logging.getLogger(__name__)

RECORDING_SECONDS: Final = 5.0
SERVER_MESSAGE: Final = "Internal Server Error (in model/chainlet)."  # the Truss server's, for any exception

_UNPROCESSABLE: Final = 422
_TOO_MANY_REQUESTS: Final = 429


def record_failure(model: object, served: ServedRequest | None, error: Exception) -> None:
    """Save the error of the request beside where its result would be, if it can be done in a few seconds.

    It raises nothing: whatever becomes of the save, the model's own exception goes on. None is served in a hook that
    another hook calls: the outer one records.
    """
    if served is None or (detail := error_detail(error)) is None:
        return
    # In a thread, so that neither a failure nor a store that hangs can hold up the exception.
    arguments = (_save_error, model, served.request_id, detail)
    saving = threading.Thread(target=copy_context().run, args=arguments, daemon=True)
    saving.start()
    saving.join(RECORDING_SECONDS)
    if saving.is_alive():
        logger.warning("the error of request %s is not saved yet: the store is slow", served.request_id)


def error_detail(error: Exception) -> ErrorDetail | None:
    """The error as the webhook would carry it; None for one that does not end the attempt."""
    status, message = _http_answer(error)
    if status == _TOO_MANY_REQUESTS:
        return None  # the platform tries again later, without counting an attempt
    code = ErrorCode.MODEL_INVALID_INPUT if status == _UNPROCESSABLE else ErrorCode.MODEL_PREDICT_ERROR
    return ErrorDetail(code=code.value, message=message)


def _http_answer(error: Exception) -> tuple[int, str]:
    exceptions = sys.modules.get("starlette.exceptions")  # whoever raised an HTTPException has imported it
    if exceptions is not None and isinstance(error, exceptions.HTTPException):
        detail: Any = without_lone_surrogates(error.detail)
        text = detail if isinstance(detail, str) else to_json(detail, fallback=str).decode()
        return error.status_code, text
    return 500, without_lone_surrogates(str(error)) if isinstance(error, OutputError) else SERVER_MESSAGE


def _save_error(model: object, request_id: str, detail: ErrorDetail) -> None:
    try:
        saver_of(model).save_error(request_id, detail)
    except TrussAsyncError as error:
        logger.error("the error of request %s is not saved: %s", request_id, error)
