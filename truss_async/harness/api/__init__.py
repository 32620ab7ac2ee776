"""The platform's HTTP API."""

from .app import Api
from .async_calls import AsyncCalls
from .deployments import Deployment, Deployments
from .inside_calls import call_api
from .own_calls import MAX_DELIVERIES, OwnCalls
from .prompt_server import PromptServer
from .sync_calls import SyncCalls

__all__ = [
    "MAX_DELIVERIES",
    "Api",
    "AsyncCalls",
    "Deployment",
    "Deployments",
    "OwnCalls",
    "PromptServer",
    "SyncCalls",
    "call_api",
]
