"""Tells what was accepted, or is to be sent, from what a disk made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    import sqlite3


def checksum(*values: object, start: int = 0) -> int:
    """Of texts, numbers and bytes, one after the other. CRC-32: a tenth of what a digest costs, and nobody forges here."""
    for value in values:
        start = crc32(value if isinstance(value, bytes) else f"{value}\0".encode("utf-8", "replace"), start)
    return start


def head_checksum(of: sqlite3.Row | Mapping[str, Any]) -> int:
    """Of what never changes in a request, but for its input."""
    head = (
        f"{of['request_id']}\0{of['deployment_id']}\0{of['priority']}\0"
        f"{of['request']}\0{of['created_at']}\0{of['expires_at']}\0"
    )
    return crc32(head.encode("utf-8", "replace"))


def result_checksum(request_id: str, errors: str, data: bytes | None) -> int:
    """Of the result of a request."""
    return checksum(request_id, errors, data or b"")


def is_head_intact(row: sqlite3.Row) -> bool:
    """Whether the request is what was accepted, input aside."""
    return bool(head_checksum(row) == row["head_checksum"])


def is_input_intact(row: sqlite3.Row) -> bool:
    """Whether the input is what was accepted with the request."""
    body = row["model_input"]
    return isinstance(body, bytes) and checksum(body, start=row["head_checksum"]) == row["input_checksum"]


def is_result_intact(row: sqlite3.Row) -> bool:
    """Whether errors and output are what inference ended with."""
    data = row["model_output"]
    if not (data is None or isinstance(data, bytes)):
        return False
    return bool(result_checksum(row["request_id"], row["errors"], data) == row["result_checksum"])
