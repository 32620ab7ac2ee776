"""``truss-async submit``"""

import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from ..client.calls import DEFAULT_TARGET
from ..contract import AsyncPredictRequest, InferenceRetryConfig, RequestStatus, limits
from ..printable import escaped, print_line
from .connection import HARNESS_HERE, Connection, TargetName
from .model_input import ModelInput, read_model_input
from .options import AsJson, checked, flag, option, print_json
from .output import NO_OUTPUT, OutputWanted
from .status import print_status
from .waiting import Watch


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RequestTerms:
    """What is asked for beside the model input."""

    webhook_endpoint: Annotated[str | None, option(AsyncPredictRequest, "webhook_endpoint")] = None
    priority: Annotated[int, option(AsyncPredictRequest, "priority")] = limits.DEFAULT_PRIORITY
    max_time_in_queue_seconds: Annotated[int, option(AsyncPredictRequest, "max_time_in_queue_seconds")] = (
        limits.DEFAULT_TIME_IN_QUEUE_SECONDS
    )
    max_attempts: Annotated[int, option(InferenceRetryConfig, "max_attempts")] = (
        limits.DEFAULT_INFERENCE_ATTEMPTS
    )

    def request(self, model_input: Any) -> AsyncPredictRequest:
        """The request, or SettingsError naming the option that is wrong."""
        values = asdict(self)
        retries = checked(InferenceRetryConfig, {"max_attempts": values.pop("max_attempts")})
        return checked(
            AsyncPredictRequest, {"model_input": model_input, "inference_retry_config": retries, **values}
        )


USUAL_TERMS = RequestTerms()


def submit(
    model_input: ModelInput = None,
    /,
    *,
    terms: RequestTerms = USUAL_TERMS,
    target: TargetName = DEFAULT_TARGET,
    wait: Annotated[
        bool, flag("wait", "Wait for inference and webhook delivery. Fail unless both succeed.")
    ] = False,
    wanted: OutputWanted = NO_OUTPUT,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> int:
    """Submit one async request and print its request id.

    Example:
        truss-async submit '{"text": "hello"}' --wait
        truss-async submit '{"text": "hello"}' --output
        truss-async submit @page.json -o output.json
        id=$(truss-async submit @input.json --priority 1)
    """
    request = terms.request(read_model_input(model_input))
    with (
        wanted.source(url=connection.url, webhook_endpoint=terms.webhook_endpoint) as source,
        connection.to_harness(target=target) as client,
    ):
        accepted = client.submit(request.model_copy(update={"webhook_endpoint": source.webhook_endpoint}))
        if not (wait or wanted.is_wanted):
            print_json(accepted.model_dump_json() if as_json else escaped(accepted.request_id))
            return 0
        for_facts = sys.stderr if wanted.is_wanted else sys.stdout
        if not as_json:
            print_line(escaped(accepted.request_id), file=for_facts)
        try:
            status = client.wait(accepted.request_id, on_status=Watch(client).look)
        except KeyboardInterrupt:
            known = escaped(accepted.request_id)
            raise KeyboardInterrupt(
                f"the request is still running; see: truss-async status {known}"
            ) from None
        print_status(status, as_json=as_json, file=for_facts if as_json else sys.stderr)
        if wanted.is_wanted:
            wanted.hand_over(source.result_of(status))
    return 0 if status.status is RequestStatus.SUCCEEDED else 1
