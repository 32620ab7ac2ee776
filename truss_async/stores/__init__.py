"""Output stores: where outputs are kept, and how to find them again."""

from .credentials import NO_CREDENTIALS, StoreCredentials
from .keys import (
    artifact_key,
    check_artifact_name,
    check_request_id,
    error_key,
    result_key,
    safe_artifact_name,
)
from .options import StoreOptions
from .output_store import OutputStore
from .protocol import ObjectInfo, ObjectStore
from .result_objects import ResultInfo
from .urls import object_store

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
