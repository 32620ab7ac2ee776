"""The options with which a command reaches the platform or a harness."""

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter

from ..contract.requests import is_loopback
from ..errors import SettingsError
from .options import variable

if TYPE_CHECKING:
    from ..client import HarnessClient, PlatformClient

DEFAULT_URL = "http://127.0.0.1:8090"
ANY_KEY = "local"

Url = Annotated[
    str,
    Parameter(
        help="The harness, or a model on the platform: https://model-ID.api.baseten.co.",
        env_var=variable("url"),
    ),
]
ApiKey = Annotated[
    str | None,
    Parameter(
        help="API key; not needed for a harness on this machine that asks for none.",
        env_var=(variable("api_key"), "BASETEN_API_KEY"),
    ),
]


def connect(url: str, api_key: str | None, *, target: str = "production") -> "PlatformClient":
    """A client; for this machine any key will do, elsewhere there must be one."""
    from ..client import PlatformClient

    return PlatformClient(url, api_key=api_key or _placeholder(url), target=target)


def connect_harness(url: str, api_key: str | None) -> "HarnessClient":
    """A client for what only a harness answers, too."""
    from ..client import HarnessClient

    return HarnessClient(url, api_key=api_key or _placeholder(url))


def _placeholder(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host or is_loopback(host):  # what is no URL, the client says
        return ANY_KEY
    raise SettingsError(
        f"{host} needs an API key: set TRUSS_ASYNC_API_KEY or BASETEN_API_KEY, or give --api-key"
    )
