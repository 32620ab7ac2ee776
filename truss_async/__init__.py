"""Async inference on Baseten: no output is ever lost, and the whole path runs on a laptop.

Names are loaded when they are first used: importing this package imports nothing else.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from .client import AsyncPlatformClient as AsyncPlatformClient
    from .client import PlatformClient as PlatformClient
    from .client.batch import Batch as Batch
    from .client.batch import BatchSettings as BatchSettings
    from .contract import ArtifactReference as ArtifactReference
    from .contract import AsyncPredictRequest as AsyncPredictRequest
    from .contract import AsyncPredictResult as AsyncPredictResult
    from .contract.faults import FaultKind as FaultKind
    from .contract.faults import FaultRule as FaultRule
    from .errors import TrussAsyncError as TrussAsyncError
    from .errors import WebhookVerificationError as WebhookVerificationError
    from .harness.harness import Harness as Harness
    from .harness.settings import HarnessSettings as HarnessSettings
    from .model import AsyncOutputModel as AsyncOutputModel
    from .model import save_output as save_output
    from .stores import OutputStore as OutputStore
    from .webhooks import Deduplicator as Deduplicator
    from .webhooks import WebhookMiddleware as WebhookMiddleware
    from .webhooks import flask_webhook as flask_webhook
    from .webhooks import on_result as on_result
    from .webhooks import starlette_webhook as starlette_webhook
    from .webhooks import verify_webhook as verify_webhook
else:
    from .lazy_names import lazily

    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "client": ["AsyncPlatformClient", "PlatformClient"],
            "client.batch": ["Batch", "BatchSettings"],
            "contract": ["ArtifactReference", "AsyncPredictRequest", "AsyncPredictResult"],
            "contract.faults": ["FaultKind", "FaultRule"],
            "errors": ["TrussAsyncError", "WebhookVerificationError"],
            "harness.harness": ["Harness"],
            "harness.settings": ["HarnessSettings"],
            "model": ["AsyncOutputModel", "save_output"],
            "stores": ["OutputStore"],
            "webhooks": [
                "Deduplicator",
                "WebhookMiddleware",
                "flask_webhook",
                "on_result",
                "starlette_webhook",
                "verify_webhook",
            ],
        },
        extras=("client", "harness"),
    )
    __all__.append("__version__")
