"""Runs in the model container: saves every output of a Truss model under its request id."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .counters import SaveCounts as SaveCounts
    from .plugin import AsyncOutputModel as AsyncOutputModel
    from .plugin import save_output as save_output
    from .preparation import save_counts as save_counts
    from .settings import OutputSettings as OutputSettings
else:
    from ..lazy_names import lazily

    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "counters": ["SaveCounts"],
            "plugin": ["AsyncOutputModel", "save_output"],
            "preparation": ["save_counts"],
            "settings": ["OutputSettings"],
        },
    )
