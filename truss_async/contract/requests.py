"""The body of ``POST …/async_predict``."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from . import limits
from .json_text import AnyDepth


class InferenceRetryConfig(BaseModel):
    """How often, and after which waits, a failed inference attempt is made again."""

    model_config = ConfigDict(frozen=True, extra="allow")

    max_attempts: StrictInt = Field(
        default=limits.DEFAULT_INFERENCE_ATTEMPTS,
        ge=limits.MIN_INFERENCE_ATTEMPTS,
        le=limits.MAX_INFERENCE_ATTEMPTS,
        description="Inference attempts in all; the first one counts.",
    )
    initial_delay_ms: StrictInt = Field(
        default=limits.DEFAULT_INITIAL_DELAY_MS,
        ge=0,
        le=limits.MAX_INITIAL_DELAY_MS,
        description="Wait before the second attempt, in milliseconds; doubled for each later one.",
    )
    max_delay_ms: StrictInt = Field(
        default=limits.DEFAULT_MAX_DELAY_MS,
        ge=0,
        le=limits.MAX_MAX_DELAY_MS,
        description="No wait is longer than this, in milliseconds.",
    )


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine: localhost, *.localhost, 127.0.0.0/8 or ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_webhook_endpoint(value: Any) -> Any:
    """Allow HTTPS anywhere, plain HTTP only to localhost (platform documentation: async inference, webhooks)."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("must be a URL")
    _check_endpoint_url(value)
    return value


@lru_cache(maxsize=1024)
def _check_endpoint_url(value: str) -> None:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is not a valid URL ({error})") from None
    if not host or any(ord(character) <= 32 for character in value):
        raise ValueError("is not a valid URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("must use https:// (plain http:// is for localhost only)")


class AsyncPredictRequest(AnyDepth):
    """One async request, as the caller sends it. Fields that are not known here are kept: the platform may know them."""

    model_config = ConfigDict(
        frozen=True, extra="allow", protected_namespaces=(), ser_json_inf_nan="constants"
    )

    model_input: Any = Field(description="Any JSON; handed to the model as it is.")
    webhook_endpoint: Annotated[str | None, BeforeValidator(check_webhook_endpoint)] = Field(
        default=None, description="Where the result is POSTed; HTTPS, or plain HTTP to localhost."
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
        description="Not started within this time: the request expires.",
    )
    inference_retry_config: Annotated[
        InferenceRetryConfig, BeforeValidator(lambda value: {} if value is None else value)
    ] = Field(default_factory=InferenceRetryConfig, description="null stands for the defaults.")
