"""Both sides of a webhook: signing, verification, and what a receiver is built from."""

from .asgi import WebhookMiddleware
from .deduplicator import Deduplicator
from .handled import HandledStore, MemoryHandledStore, SqliteHandledStore
from .receiver import AcceptedDelivery, Delivery, WebhookReceiver
from .result_inbox import ResultInbox, on_result
from .signing import signature_header
from .starlette import starlette_webhook
from .stored_results import FailedResult
from .verification import verify_webhook
from .wsgi import flask_webhook, verify_wsgi

__all__ = [
    "AcceptedDelivery",
    "Deduplicator",
    "Delivery",
    "FailedResult",
    "HandledStore",
    "MemoryHandledStore",
    "ResultInbox",
    "SqliteHandledStore",
    "WebhookMiddleware",
    "WebhookReceiver",
    "flask_webhook",
    "on_result",
    "signature_header",
    "starlette_webhook",
    "verify_webhook",
    "verify_wsgi",
]
