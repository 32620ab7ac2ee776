"""The platform's HTTP API."""

from .app import Api
from .async_calls import AsyncCalls
from .deployments import Deployments, served_by
from .inside_calls import call_api
from .own_calls import MAX_DELIVERIES, OwnCalls
from .prompt_server import PromptServer

__all__ = [
    "MAX_DELIVERIES",
    "Api",
    "AsyncCalls",
    "Deployments",
    "OwnCalls",
    "PromptServer",
    "call_api",
    "served_by",
]
