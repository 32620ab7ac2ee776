from datetime import datetime, timezone

import pytest

from truss_async.contract import AsyncPredictResult, AsyncRequestStatus, RequestStatus, WebhookStatus
from truss_async.demo.outcomes import PageOutcome, StoredOutput, Submission
from truss_async.webhooks.receiver import Delivery

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
REQUEST_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def good() -> PageOutcome:
    """A page for which everything held."""
    result = AsyncPredictResult(
        request_id=REQUEST_ID, time=NOW, data={"lines": [{"text": "a"}] * 47, "annotated": {}}
    )
    return PageOutcome(
        submission=Submission("invoice-1.png", REQUEST_ID, 2),
        status=AsyncRequestStatus(
            request_id=REQUEST_ID,
            status=RequestStatus.SUCCEEDED,
            webhook_status=WebhookStatus.SUCCEEDED,
            created_at=NOW,
            status_at=NOW,
        ),
        queue_seconds=10.04,
        inference_seconds=2.0,
        delivery=Delivery(
            received_at=NOW,
            path="/",
            headers={},
            body=b"",
            request_id=REQUEST_ID,
            result=result,
            verdict="valid",
            status_code=200,
        ),
        stored=StoredOutput(f"outputs/{REQUEST_ID}.json", result, b"png"),
    )
