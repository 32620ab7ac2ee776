"""The caller's side: submit, ask, cancel, wait; and a folder for what comes back."""

from .harness import HarnessClient
from .inbox import Inbox
from .platform import PlatformClient
from .store_inbox import StoreInbox

__all__ = ["HarnessClient", "Inbox", "PlatformClient", "StoreInbox"]
