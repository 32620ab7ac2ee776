"""What the webhook carries and the output store holds: the async predict result."""

from datetime import datetime
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..printable import shortened
from .limits import MAX_ERROR_CHARACTERS


class ErrorCode(str, Enum):
    """Why an async request failed (platform documentation: async inference, errors)."""

    MODEL_NOT_READY = "MODEL_NOT_READY"
    MODEL_DOES_NOT_EXIST = "MODEL_DOES_NOT_EXIST"
    MODEL_INVALID_INPUT = "MODEL_INVALID_INPUT"
    MODEL_PREDICT_ERROR = "MODEL_PREDICT_ERROR"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    MODEL_PREDICT_TIMEOUT = "MODEL_PREDICT_TIMEOUT"
    ASYNC_REQUEST_NOT_SUPPORTED = "ASYNC_REQUEST_NOT_SUPPORTED"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class ErrorDetail(BaseModel):
    """One reason why a request failed. ``code`` is an ErrorCode; unknown ones are kept as they came."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    message: str

    @classmethod
    def of(cls, code: ErrorCode, message: str) -> "ErrorDetail":
        """What went wrong here: too long a message is cut, and what is no Unicode in it is escaped."""
        told = shortened(message, limit=MAX_ERROR_CHARACTERS).encode(errors="backslashreplace").decode()
        return cls(code=code.value, message=told)


class AsyncPredictResult(BaseModel):
    """The body of a webhook, and the object in the output store.

    The order of the fields is the order of the keys on the wire: a receiver may verify the signature over
    the raw body or over ``model_dump_json()`` of the parsed one, and both must agree.
    ``time`` is when this delivery was sent (or this object written), in UTC. ``data`` is the model output, None
    on error. ``model_id`` and ``deployment_id`` are None in an object that was written by a model which was not
    told them.
    """

    model_config = ConfigDict(protected_namespaces=(), extra="ignore")

    request_id: str
    model_id: str | None = None
    deployment_id: str | None = None
    type: Literal["async_request_completed"] = "async_request_completed"
    time: datetime
    data: Any = None
    errors: list[ErrorDetail] = []


class ArtifactReference(BaseModel):
    """What stands in an output where a file-like part of it was: bytes, an image, a path."""

    model_config = ConfigDict(frozen=True)

    type: Literal["artifact"] = "artifact"
    url: str
    content_type: str
    size_bytes: int
