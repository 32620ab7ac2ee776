"""Async inference on Baseten: no output is ever lost, and the whole path runs on a laptop.

Names are loaded when they are first used: importing this package imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import PlatformClient as PlatformClient
    from .contract import ArtifactReference as ArtifactReference
    from .contract import AsyncPredictRequest as AsyncPredictRequest
    from .contract import AsyncPredictResult as AsyncPredictResult
    from .contract.faults import FaultKind as FaultKind
    from .contract.faults import FaultRule as FaultRule
    from .errors import TrussAsyncError as TrussAsyncError
    from .errors import WebhookVerificationError as WebhookVerificationError
    from .harness.server import Harness as Harness
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

__version__ = "0.1.0.dev0"

_HOMES = {
    "ArtifactReference": "contract",
    "AsyncOutputModel": "model",
    "AsyncPredictRequest": "contract",
    "AsyncPredictResult": "contract",
    "Deduplicator": "webhooks",
    "FaultKind": "contract.faults",
    "FaultRule": "contract.faults",
    "Harness": "harness.server",
    "HarnessSettings": "harness.settings",
    "OutputStore": "stores",
    "PlatformClient": "client",
    "TrussAsyncError": "errors",
    "WebhookMiddleware": "webhooks",
    "WebhookVerificationError": "errors",
    "flask_webhook": "webhooks",
    "on_result": "webhooks",
    "save_output": "model",
    "starlette_webhook": "webhooks",
    "verify_webhook": "webhooks",
}

__all__ = [
    "ArtifactReference",
    "AsyncOutputModel",
    "AsyncPredictRequest",
    "AsyncPredictResult",
    "Deduplicator",
    "FaultKind",
    "FaultRule",
    "Harness",
    "HarnessSettings",
    "OutputStore",
    "PlatformClient",
    "TrussAsyncError",
    "WebhookMiddleware",
    "WebhookVerificationError",
    "__version__",
    "flask_webhook",
    "on_result",
    "save_output",
    "starlette_webhook",
    "verify_webhook",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = _HOMES[name]
    try:
        value = getattr(import_module(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as error:
        extra = home.partition(".")[0]
        if extra not in ("harness", "client"):
            raise
        from .errors import MissingExtraError

        raise MissingExtraError(str(error.name), extra=extra, purpose=name) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
