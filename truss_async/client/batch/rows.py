"""Lines of the output: OpenAI's Batch output format, which many tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...contract.json_text import write

if TYPE_CHECKING:
    from ...contract import AsyncPredictResult


def result_row(custom_id: str, result: AsyncPredictResult) -> bytes:
    """``{"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error": null}``; ``body`` is the output."""
    request_id = write(result.request_id)
    body = write(result.data, inf_nan_mode="constants")
    return b"".join(
        (
            b'{"id":%b,"custom_id":%b,"response":{"status_code":200,"request_id":%b,"body":'
            % (request_id, write(custom_id), request_id),
            body,
            b'},"error":null}',
        )
    )


def error_row(custom_id: str, request_id: str | None, *, code: str, message: str) -> bytes:
    """``{"id", "custom_id", "response": null, "error": {"code", "message"}}``"""
    return write(
        {
            "id": request_id,
            "custom_id": custom_id,
            "response": None,
            "error": {"code": code, "message": message},
        }
    )
