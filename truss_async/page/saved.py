"""What a model saved of one request, as its output store has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from ..errors import RequestFailedError, TrussAsyncError
from ..stores import OutputStore

if TYPE_CHECKING:
    from ..contract.harness_calls import RequestRecord


class Saved(NamedTuple):
    """The output as readable JSON, or why there is none."""

    text: str = ""
    problem: str | None = None


def saved_output(url: str, request: RequestRecord) -> Saved:
    """Read it; to be called in a thread."""
    try:
        store = OutputStore.from_url(url, model_id=request.model_id, deployment_id=request.deployment_id)
        result = store.get(request.request_id)
    except RequestFailedError as failure:
        return Saved(problem=f"An error is saved: {failure}")
    except TrussAsyncError as error:
        return Saved(problem=str(error))
    return Saved(json.dumps(json.loads(result.model_dump_json())["data"], indent=2, ensure_ascii=False))
