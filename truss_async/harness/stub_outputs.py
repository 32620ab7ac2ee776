"""A stub saves its outputs as a model with the plugin does: by having it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

_VARIABLE: Final = "TRUSS_ASYNC_OUTPUT_URL"


def base_of_stubs(config: Mapping[str, Any]) -> type:
    """The plugin's base class where a URL says where outputs are saved; else one that does nothing."""
    metadata = config.get("model_metadata")
    section = metadata.get("async_output") if isinstance(metadata, Mapping) else None
    if not os.environ.get(_VARIABLE) and not (isinstance(section, Mapping) and section.get("url")):
        return object
    from ..model import AsyncOutputModel

    return AsyncOutputModel
