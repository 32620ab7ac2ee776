"""The options with which a command reaches the platform or a harness."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias
from urllib.parse import urlsplit

from cyclopts import Parameter

from ..contract.webhook_urls import is_loopback
from ..errors import SettingsError
from .options import own_option
from .secret_files import ApiKeyFile, api_key_of
from .variables import variable

if TYPE_CHECKING:
    from ..client import HarnessClient, PlatformClient

TargetName: TypeAlias = Annotated[
    str, own_option("target", "production, development, environments/ENV or deployment/ID.")
]
DEFAULT_URL = "http://127.0.0.1:8090"
ANY_KEY = "local"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where a command calls; for this machine any key will do, elsewhere there must be one."""

    url: Annotated[
        str,
        own_option("url", "URL of the harness, or of a model on Baseten: https://model-ID.api.baseten.co."),
    ] = DEFAULT_URL
    api_key: Annotated[
        str | None,
        Parameter(
            help="API key. Not needed for a harness on this machine that was started without one.",
            env_var=(variable("api_key"), "BASETEN_API_KEY"),
        ),
    ] = None
    api_key_file: ApiKeyFile = None

    def to_platform(self, *, target: str = "production") -> "PlatformClient":
        """A client for what the platform answers, and a harness, too."""
        from ..client import PlatformClient

        return PlatformClient(self.url, api_key=self.key(), target=target)

    def to_harness(self, *, target: str = "production") -> "HarnessClient":
        """A client for what only a harness answers, too."""
        from ..client import HarnessClient

        return HarnessClient(self.url, api_key=self.key(), target=target)

    def key(self) -> str:
        """The key; SettingsError when there must be one and is none."""
        if key := api_key_of(self.api_key_file, given=self.api_key):
            return key
        host = host_of(self.url)
        if not host or is_loopback(host):  # what is no URL, the client says
            return ANY_KEY
        raise SettingsError(
            f"{host} needs an API key: set TRUSS_ASYNC_API_KEY or BASETEN_API_KEY, or give --api-key-file"
        )


def host_of(url: str) -> str:
    """The host of a URL; nothing, of what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


HARNESS_HERE = Connection()
