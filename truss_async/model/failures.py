"""What the platform would report of an exception in the model, saved without getting in the exception's way."""

import os
import threading
from contextlib import suppress
from contextvars import copy_context
from typing import Final

from ..contract import ErrorCode, ErrorDetail
from ..contract.result_json import without_lone_surrogates
from ..contract.truss_server import MODEL_ERROR_MESSAGE
from ..errors import OutputError, TrussAsyncError
from ..printable import printable_logger
from .construction import state_of
from .preparation import saver_of
from .requests import ServedRequest
from .truss_server import http_answer

logger = printable_logger(__name__)

RECORDING_SECONDS: Final = 5.0

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
    arguments = (_save_error, model, served.request_id, _with_origin(model, error, detail))
    saving = threading.Thread(target=copy_context().run, args=arguments, daemon=True)
    saving.start()
    saving.join(RECORDING_SECONDS)
    if saving.is_alive():
        logger.warning("the error of request %s is not saved yet: the store is slow", served.request_id)


def error_detail(error: Exception) -> ErrorDetail | None:
    """The error as the webhook would carry it; None for one that does not end the attempt."""
    status, said = http_answer(error) or (500, MODEL_ERROR_MESSAGE)
    if isinstance(error, OutputError):
        said = str(error)
    if status == _TOO_MANY_REQUESTS:
        return None  # the platform tries again later, without counting an attempt
    code = ErrorCode.MODEL_INVALID_INPUT if status == _UNPROCESSABLE else ErrorCode.MODEL_PREDICT_ERROR
    from ..contract.told_errors import in_words  # when the first error is told: a cold start counts

    try:
        message = in_words(without_lone_surrogates(said))
    except ValueError as unfit:
        message = f"the error cannot be converted to JSON: {unfit}"
    return ErrorDetail.of(code, message)


def _with_origin(model: object, error: Exception, detail: ErrorDetail) -> ErrorDetail:
    """The detail, and beside what the platform reports, what was raised and where."""
    from .tracebacks import secrets_of, told_traceback

    origin = {"type": type(error).__name__}
    # Without its secrets nobody knows what a traceback must not tell.
    with suppress(OSError):
        secrets = list(secrets_of(state_of(model), os.environ))
        origin["traceback"] = told_traceback(error, secrets=secrets)
    return detail.model_copy(update=origin)


def _save_error(model: object, request_id: str, detail: ErrorDetail) -> None:
    try:
        saver_of(model).save_error(request_id, detail)
    except TrussAsyncError as error:
        logger.error("the error of request %s is not saved: %s", request_id, error)
