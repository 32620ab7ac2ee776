"""The body of ``POST …/async_predict``."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from . import limits
from .json_text import AnyDepth
from .webhook_urls import webhook_url


class InferenceRetryConfig(BaseModel):
    """How often, and after which waits, a failed inference attempt is made again."""

    model_config = ConfigDict(frozen=True, extra="allow")

    max_attempts: StrictInt = Field(
        default=limits.DEFAULT_INFERENCE_ATTEMPTS,
        ge=limits.MIN_INFERENCE_ATTEMPTS,
        le=limits.MAX_INFERENCE_ATTEMPTS,
        description="Maximum number of inference attempts, including the first.",
    )
    initial_delay_ms: StrictInt = Field(
        default=limits.DEFAULT_INITIAL_DELAY_MS,
        ge=0,
        le=limits.MAX_INITIAL_DELAY_MS,
        description="Wait before the second attempt, in milliseconds; doubled for each later attempt.",
    )
    max_delay_ms: StrictInt = Field(
        default=limits.DEFAULT_MAX_DELAY_MS,
        ge=0,
        le=limits.MAX_MAX_DELAY_MS,
        description="Maximum wait, in milliseconds.",
    )


def check_webhook_endpoint(value: Any) -> Any:
    """Allow what a webhook can be sent to; an empty text stands for none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("must be a URL")
    webhook_url(value)
    return value


class AsyncPredictRequest(AnyDepth):
    """One async request, as the caller sends it. Fields that are not known here are kept: the platform may know them."""

    model_config = ConfigDict(
        frozen=True, extra="allow", protected_namespaces=(), ser_json_inf_nan="constants"
    )

    model_input: Any = Field(description="Any JSON value; passed to the model unchanged.")
    webhook_endpoint: Annotated[str | None, BeforeValidator(check_webhook_endpoint)] = Field(
        default=None, description="URL that the result is POSTed to: HTTPS, or plain HTTP to localhost."
    )
    priority: StrictInt = Field(
        default=limits.DEFAULT_PRIORITY,
        ge=limits.MIN_PRIORITY,
        le=limits.MAX_PRIORITY,
        description="0, 1 or 2; lower runs first.",
    )
    max_time_in_queue_seconds: StrictInt = Field(
        default=limits.DEFAULT_TIME_IN_QUEUE_SECONDS,
        ge=limits.MIN_TIME_IN_QUEUE_SECONDS,
        le=limits.MAX_TIME_IN_QUEUE_SECONDS,
        description="Seconds in the queue after which the request expires.",
    )
    inference_retry_config: Annotated[
        InferenceRetryConfig, BeforeValidator(lambda value: {} if value is None else value)
    ] = Field(default_factory=InferenceRetryConfig, description="null stands for the defaults.")
