"""What the webhook carries and the output store holds: the async predict result."""

from datetime import datetime
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from ..printable import shortened
from .json_text import AnyDepth
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
    """One reason why a request failed. ``code`` is an ErrorCode; unknown ones are kept as they came, as other fields are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    code: str
    message: str

    @classmethod
    def of(cls, code: ErrorCode, message: str) -> "ErrorDetail":
        """What went wrong here: too long a message is cut, and what is no Unicode in it is escaped."""
        told = shortened(message, limit=MAX_ERROR_CHARACTERS).encode(errors="backslashreplace").decode()
        return cls(code=code.value, message=told)


class AsyncPredictResult(AnyDepth):
    """The body of a webhook, and the object in the output store.

    The order of the fields is the order of the keys on the wire: a receiver may verify the signature over
    the raw body or over ``model_dump_json()`` of the parsed one, and both must agree.
    ``time`` is when this delivery was sent (or this object written), in UTC. ``data`` is the model output, None
    on error. ``model_id`` and ``deployment_id`` are None in an object that was written by a model which was not
    told them. Fields that came and are not known here are kept behind those that are.
    """

    __slots__ = ("_body",)  # no field of it: it has no part in what it equals and what it is dumped as
    model_config = ConfigDict(protected_namespaces=(), extra="allow")

    request_id: str
    model_id: str | None = None
    deployment_id: str | None = None
    type: Literal["async_request_completed"] = "async_request_completed"
    time: datetime
    data: Any = None
    errors: list[ErrorDetail] = Field(default=[])

    @classmethod
    def received(cls, body: bytes) -> Self:
        """What the body says; ``as_received`` gives it back.

        Raises:
            ValidationError: it says nothing of the kind.
        """
        result = cls.model_validate_json(body)
        object.__setattr__(result, "_body", body)
        return result

    def as_received(self) -> bytes:
        """The bytes that were signed, of a result that was received; of any other, as it is now."""
        body = getattr(self, "_body", None)  # without one, this may be an unknown field, which is never bytes
        return body if isinstance(body, bytes) else self.model_dump_json().encode()


class ArtifactReference(BaseModel):
    """What stands in an output where a file-like part of it was: bytes, an image, a path.

    ``name`` is that of the file, where an object could not be called so.
    """

    model_config = ConfigDict(frozen=True)

    type: Literal["artifact"] = "artifact"
    url: str
    content_type: str
    size_bytes: int
    name: str | None = None
