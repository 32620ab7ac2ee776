"""Header names, as the platform writes them. HTTP compares them without regard to case."""

from typing import Final

REQUEST_ID: Final = "X-Baseten-Request-Id"
WEBHOOK_REQUEST_ID: Final = "X-BASETEN-REQUEST-ID"
SIGNATURE: Final = "X-BASETEN-SIGNATURE"
ERROR_SOURCE: Final = "X-BASETEN-ERROR-SOURCE"
ERROR_CODE: Final = "X-BASETEN-ERROR-CODE"
PREDICTION_ATTEMPTS: Final = "X-BASETEN-MODEL-PREDICTION-ATTEMPTS"
CHAIN_REQUEST_ID: Final = "X-Baseten-Chain-Request-Id"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
PASSED_ON: Final = "X-Truss-Async-Passed-On"
"""The harness's own: it passed the call on to another harness, which does not pass it on again."""
