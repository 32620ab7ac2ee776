"""The platform's HTTP API."""

from .app import Api
from .asking import ModelCalls
from .browsers import Browsers
from .call_limiters import CallLimiters
from .calls import ApiParts
from .deployments import Deployments, path_of, served_by
from .guarded_http import GuardedHttp
from .inside_calls import call_api
from .own_calls import MAX_DELIVERIES
from .page_front import PageFront
from .passing_on import OtherNodes
from .prompt_server import PromptServer
from .websocket_protocol import RefusingWebsockets

__all__ = [
    "MAX_DELIVERIES",
    "Api",
    "ApiParts",
    "Browsers",
    "CallLimiters",
    "Deployments",
    "GuardedHttp",
    "ModelCalls",
    "OtherNodes",
    "PageFront",
    "PromptServer",
    "RefusingWebsockets",
    "call_api",
    "path_of",
    "served_by",
]
