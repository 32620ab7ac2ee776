"""The Truss server's own words and names, as far as more than one part of this package goes by them."""

from typing import Any, Final

MODEL_ERROR_MESSAGE: Final = (
    "Internal Server Error (in model/chainlet)."  # for any exception that a hook raises
)
UNHANDLED_EXCEPTION: Final = "Unhandled exception: "  # and the exception: for one of the server's own
NOT_READY: Final = "is not ready"

SERVER_SOURCE: Final = "04"
UNEXPECTED_ERROR, DOWNSTREAM_ERROR, CLIENT_ERROR = "500", "600", "700"  # codes of errors

LOG_MODULES: Final = ("_truss_shared.log_config", "shared.log_config")  # the second one before 0.18.18
REQUEST_ID_VARIABLE: Final = "request_id_context"

CONSTRUCTOR_ARGUMENTS: Final = ("config", "secrets", "environment", "data_dir", "lazy_data_resolver")


def error_message(answer: Any) -> str | None:
    """What an answer that is no success says, as parsed JSON: under ``error``, or as FastAPI has it under ``detail``."""
    if not isinstance(answer, dict):
        return None
    said = next((answer[name] for name in ("error", "detail") if answer.get(name)), None)
    return None if said is None else in_words(said)


def in_words(said: Any) -> str:
    """An error that may be any JSON, as a text: that of an object with a message, else the JSON.

    A chainlet answers ``{"exception_message": …, "user_stack_trace": …}``; an ``HTTPException`` has any detail.
    """
    from .json_text import write  # when the first error is told: a cold start counts

    if isinstance(said, dict):
        texts = (said.get(name) for name in ("exception_message", "message"))
        said = next((text for text in texts if isinstance(text, str) and text), said)
    return said if isinstance(said, str) else write(said, fallback=str).decode()
