"""What the processes that are started here get of this one's environment."""

from __future__ import annotations

import os
from typing import Final

_OURS: Final = "TRUSS_ASYNC_"
_OF_THE_PLUGIN: Final = "TRUSS_ASYNC_OUTPUT_"


def inherited_environment() -> dict[str, str]:
    """All of it, less the options of our own commands: keys and webhook secrets are nobody's business in a model."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) or name.startswith(_OF_THE_PLUGIN)
    }
