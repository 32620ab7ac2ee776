"""Both sides of a webhook: signing, verification, and a receiver to try things out with."""

from .receiver import Delivery, WebhookReceiver
from .signing import signature_header
from .verification import verify_webhook

__all__ = ["Delivery", "WebhookReceiver", "signature_header", "verify_webhook"]
