"""Output stores: where outputs are kept, and how to find them again. Names are loaded when they are first used."""

from typing import TYPE_CHECKING

from ..lazy_names import lazily

if TYPE_CHECKING:
    from .credentials import NO_CREDENTIALS as NO_CREDENTIALS
    from .credentials import StoreCredentials as StoreCredentials
    from .keys import artifact_key as artifact_key
    from .keys import check_artifact_name as check_artifact_name
    from .keys import check_request_id as check_request_id
    from .keys import error_key as error_key
    from .keys import result_key as result_key
    from .keys import safe_artifact_name as safe_artifact_name
    from .options import StoreOptions as StoreOptions
    from .output_store import OutputStore as OutputStore
    from .protocol import ObjectInfo as ObjectInfo
    from .protocol import ObjectStore as ObjectStore
    from .result_objects import ResultInfo as ResultInfo
    from .urls import object_store as object_store

_HOMES = {
    "NO_CREDENTIALS": "credentials",
    "ObjectInfo": "protocol",
    "ObjectStore": "protocol",
    "OutputStore": "output_store",
    "ResultInfo": "result_objects",
    "StoreCredentials": "credentials",
    "StoreOptions": "options",
    "artifact_key": "keys",
    "check_artifact_name": "keys",
    "check_request_id": "keys",
    "error_key": "keys",
    "object_store": "urls",
    "result_key": "keys",
    "safe_artifact_name": "keys",
}

__all__ = [
    "NO_CREDENTIALS",
    "ObjectInfo",
    "ObjectStore",
    "OutputStore",
    "ResultInfo",
    "StoreCredentials",
    "StoreOptions",
    "artifact_key",
    "check_artifact_name",
    "check_request_id",
    "error_key",
    "object_store",
    "result_key",
    "safe_artifact_name",
]

__getattr__ = lazily(__name__, _HOMES)
