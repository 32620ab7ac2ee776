"""A stub saves its outputs as a model with the plugin does: by having it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .output_urls import output_url_of

if TYPE_CHECKING:
    from ..replicas.settings import DeploymentSettings


def bases_of_stubs(given: Mapping[str, str]) -> Callable[[DeploymentSettings], type]:
    """What each stub is derived from: the plugin, where it is known where outputs are saved; else nothing.

    ``given`` is the environment of the replicas, beside that of this process.
    """

    def base_of(settings: DeploymentSettings) -> type:
        url = output_url_of(settings, given)
        if url is None:
            return object
        from ..model import AsyncOutputModel

        return type("SavingStub", (AsyncOutputModel,), {"output_url": url, "__module__": __name__})

    return base_of
