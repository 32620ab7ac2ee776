"""The columns of results as a table, and rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from ...contract.json_text import write
from ...contract.statuses import RequestStatus
from ...errors import MissingExtraError
from ..polling import as_utc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyarrow import RecordBatch, Schema

    from ...contract import ArtifactReference, AsyncPredictResult, ErrorDetail

SUCCEEDED: Final = RequestStatus.SUCCEEDED.value
FAILED: Final = RequestStatus.FAILED.value
DAMAGED: Final = "DAMAGED"
"""The status of an object that should hold a result and does not: its row says why, so that it is not overlooked."""

STORED_AT: Final = "stored_at"
"""The one column that a compacted file has more: when the object was written, as its store says."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One result. Moments are in microseconds since 1970, in UTC.

    ``data`` is the model output as JSON text, None where there is none; a number that is none in JSON is null in it.
    ``stored_at_us`` is None while the object may still be replaced without anybody being able to tell.
    """

    request_id: str
    model_id: str | None
    deployment_id: str | None
    time_us: int
    status: str
    data: str | None
    errors: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]
    stored_at_us: int | None

    @property
    def size(self) -> int:
        """About how much it takes, in characters."""
        return 200 + len(self.data or "")


def microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (as_utc(moment) - _EPOCH) // _MICROSECOND


def moment_of(microseconds_since_epoch: int) -> datetime:
    """The other way round."""
    return _EPOCH + timedelta(microseconds=microseconds_since_epoch)


def result_row(
    result: AsyncPredictResult, *, artifacts: Sequence[ArtifactReference], stored_at_us: int | None
) -> Row:
    """The row of a result, or of a failure."""
    has_failed = bool(result.errors)
    return Row(
        request_id=result.request_id,
        model_id=result.model_id,
        deployment_id=result.deployment_id,
        time_us=microseconds(result.time),
        status=FAILED if has_failed else SUCCEEDED,
        data=None if has_failed and result.data is None else write(result.data, inf_nan_mode="null").decode(),
        errors=[_error(each) for each in result.errors],
        artifacts=[_artifact(each) for each in artifacts],
        stored_at_us=stored_at_us,
    )


def damaged_row(request_id: str, reason: str, *, time_us: int, stored_at_us: int | None) -> Row:
    """The row of an object that holds no result."""
    error = {"code": DAMAGED, "message": reason, "traceback": None}
    return Row(request_id, None, None, time_us, DAMAGED, None, [error], [], stored_at_us)


def result_schema() -> Schema:
    """The columns; MissingExtraError when pyarrow is not installed."""
    pa = arrow()
    text, moment = pa.string(), pa.timestamp("us", tz="UTC")
    error = pa.struct([("code", text), ("message", text), ("traceback", text)])
    artifact = pa.struct([("url", text), ("content_type", text), ("size_bytes", pa.int64()), ("name", text)])
    return pa.schema(
        [
            pa.field("request_id", text, nullable=False),
            pa.field("model_id", text),
            pa.field("deployment_id", text),
            pa.field("time", moment, nullable=False),
            pa.field("status", text, nullable=False),
            pa.field("data", text),
            pa.field("errors", pa.list_(error), nullable=False),
            pa.field("artifacts", pa.list_(artifact), nullable=False),
        ]
    )


def stored_schema() -> Schema:
    """Those of a compacted file."""
    pa = arrow()
    return result_schema().append(pa.field(STORED_AT, pa.timestamp("us", tz="UTC")))


def record_batch(rows: Iterable[Row]) -> RecordBatch:
    """The rows as Arrow, with all columns of a compacted file."""
    columns = zip(*map(_values, rows), strict=True)
    schema = stored_schema()
    return arrow().RecordBatch.from_arrays(
        [arrow().array(values, type=field.type) for values, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def arrow(*, purpose: str = "a table of results") -> Any:
    """The library; MissingExtraError with the line to install it when it is not there."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="table", purpose=purpose) from error
    return pyarrow


def _values(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, field.name) for field in _FIELDS)


def _error(error: ErrorDetail) -> dict[str, Any]:
    traceback = (error.model_extra or {}).get("traceback")
    return {
        "code": error.code,
        "message": error.message,
        "traceback": traceback if isinstance(traceback, str) else None,
    }


def _artifact(artifact: ArtifactReference) -> dict[str, Any]:
    # What an output says of itself may be any number.
    size = max(-_LARGEST, min(artifact.size_bytes, _LARGEST))
    return {
        "url": artifact.url,
        "content_type": artifact.content_type,
        "size_bytes": size,
        "name": artifact.name,
    }


_FIELDS: Final = fields(Row)
