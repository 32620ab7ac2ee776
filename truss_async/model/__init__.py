"""Runs in the model container: saves every output of a Truss model under its request id."""

from typing import TYPE_CHECKING

from ..lazy_names import lazily

if TYPE_CHECKING:
    from .counters import SaveCounts as SaveCounts
    from .plugin import AsyncOutputModel as AsyncOutputModel
    from .plugin import save_output as save_output
    from .preparation import save_counts as save_counts
    from .settings import OutputSettings as OutputSettings

_HOMES = {
    "AsyncOutputModel": "plugin",
    "OutputSettings": "settings",
    "SaveCounts": "counters",
    "save_counts": "preparation",
    "save_output": "plugin",
}

__all__ = ["AsyncOutputModel", "OutputSettings", "SaveCounts", "save_counts", "save_output"]

__getattr__ = lazily(__name__, _HOMES)
