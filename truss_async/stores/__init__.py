"""Output stores: where outputs are kept, and how to find them again. Names are loaded when they are first used."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .credentials import NO_CREDENTIALS as NO_CREDENTIALS
    from .credentials import StoreCredentials as StoreCredentials
    from .keys import check_artifact_name as check_artifact_name
    from .keys import check_request_id as check_request_id
    from .keys import safe_artifact_name as safe_artifact_name
    from .options import StoreOptions as StoreOptions
    from .output_store import OutputStore as OutputStore
    from .protocol import ObjectInfo as ObjectInfo
    from .protocol import ObjectStore as ObjectStore
    from .result_objects import ResultInfo as ResultInfo
    from .urls import object_store as object_store
else:
    from ..lazy_names import lazily

    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "credentials": ["NO_CREDENTIALS", "StoreCredentials"],
            "keys": [
                "check_artifact_name",
                "check_request_id",
                "safe_artifact_name",
            ],
            "options": ["StoreOptions"],
            "output_store": ["OutputStore"],
            "protocol": ["ObjectInfo", "ObjectStore"],
            "result_objects": ["ResultInfo"],
            "urls": ["object_store"],
        },
    )
