"""The caller's side: submit, ask, cancel, wait; batches; and a folder for what comes back."""

from .async_platform import AsyncPlatformClient
from .harness import HarnessClient
from .inbox import Inbox
from .platform import PlatformClient
from .reconcile import Reconciled, reconcile
from .store_inbox import StoreInbox

__all__ = [
    "AsyncPlatformClient",
    "HarnessClient",
    "Inbox",
    "PlatformClient",
    "Reconciled",
    "StoreInbox",
    "reconcile",
]
