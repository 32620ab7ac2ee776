"""``truss-async submit``"""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic_core import from_json

from ..contract import AsyncPredictRequest, InferenceRetryConfig, RequestStatus, limits
from ..errors import SettingsError
from .connection import DEFAULT_URL, ApiKey, Url, connect
from .options import AsJson, checked, option, variable
from .status import print_status

STANDARD_INPUT = "@-"


def submit(
    model_input: Annotated[
        str | None,
        Parameter(
            name="INPUT",
            help="Model input: JSON, @FILE that holds it, or - for standard input (the default in a pipe).",
        ),
    ] = None,
    /,
    *,
    webhook_endpoint: Annotated[str | None, option(AsyncPredictRequest, "webhook_endpoint")] = None,
    priority: Annotated[int, option(AsyncPredictRequest, "priority")] = limits.DEFAULT_PRIORITY,
    max_time_in_queue_seconds: Annotated[
        int, option(AsyncPredictRequest, "max_time_in_queue_seconds")
    ] = limits.DEFAULT_TIME_IN_QUEUE_SECONDS,
    max_attempts: Annotated[
        int, option(InferenceRetryConfig, "max_attempts")
    ] = limits.DEFAULT_INFERENCE_ATTEMPTS,
    target: Annotated[
        str,
        Parameter(
            help="production, development, environments/ENV or deployment/ID.", env_var=variable("target")
        ),
    ] = "production",
    wait: Annotated[
        bool,
        Parameter(
            negative="",
            help="Wait until inference and delivery are over; fail unless both succeeded.",
            env_var=variable("wait"),
            show_default=False,
        ),
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> int:
    """Submit one async request, and print its request id.

    Example:
        truss-async submit '{"text": "hello"}' --wait
        id=$(truss-async submit @input.json --priority 1)
    """
    request = checked(
        AsyncPredictRequest,
        {
            "model_input": _parse(_read(model_input)),
            "webhook_endpoint": webhook_endpoint,
            "priority": priority,
            "max_time_in_queue_seconds": max_time_in_queue_seconds,
            "inference_retry_config": checked(InferenceRetryConfig, {"max_attempts": max_attempts}),
        },
    )
    with connect(url, api_key, target=target) as client:
        accepted = client.submit(request)
        if not wait:
            print(accepted.model_dump_json() if as_json else accepted.request_id, flush=True)
            return 0
        if not as_json:
            print(accepted.request_id, flush=True)
        status = client.wait(accepted.request_id)
    print_status(status, as_json=as_json, file=sys.stdout if as_json else sys.stderr)
    return 0 if status.status is RequestStatus.SUCCEEDED else 1


def _read(model_input: str | None) -> bytes:
    """The text of the model input, from wherever it is."""
    if model_input is None:
        if sys.stdin.isatty():
            raise SettingsError("give the model input: JSON, @FILE, or - for standard input")
        model_input = STANDARD_INPUT
    if model_input == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    if not model_input.startswith("@"):
        return model_input.encode("utf-8", "surrogateescape")
    path = Path(model_input[1:])
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None


def _parse(text: bytes) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise SettingsError(
            f"the model input is no JSON: {error}; give JSON, @FILE, or - for standard input"
        ) from None
