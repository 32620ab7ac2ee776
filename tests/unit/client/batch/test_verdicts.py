"""What a status means for its line: a table."""

import pytest

from tests.unit.client.scripted_platform import status_answer
from truss_async.client.batch.verdicts import Failure, Over, goes_on, meaning
from truss_async.contract import AsyncRequestStatus

FAILED_WITH = [{"code": "MODEL_PREDICT_ERROR", "message": "no"}, {"code": "x", "message": "y"}]


def told(status: str, webhook_status: str = "SUCCEEDED", **fields: object) -> AsyncRequestStatus:
    return AsyncRequestStatus.model_validate(status_answer(status, webhook_status, **fields))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (told("QUEUED", "PENDING"), None),
        (told("IN_PROGRESS", "PENDING"), None),
        (told("SUCCEEDED", "PENDING"), None),
        (told("FAILED", errors=FAILED_WITH), Failure("MODEL_PREDICT_ERROR", "no")),
        (told("EXPIRED", "CANCELED"), "EXPIRED"),
        (told("CANCELED", "CANCELED"), "CANCELED"),
        (told("FAILED"), "INTERNAL_SERVER_ERROR"),
    ],
)
def test_a_status_is_open_or_a_failure_with_its_code(
    status: AsyncRequestStatus, expected: Failure | str | None
) -> None:
    means = meaning(status)
    assert (means.code if isinstance(expected, str) and isinstance(means, Failure) else means) == expected


@pytest.mark.parametrize(
    ("status", "is_certain", "why"),
    [
        (told("SUCCEEDED"), False, "it was delivered"),
        (told("SUCCEEDED", "NO_WEBHOOK_PROVIDED"), False, "no webhook was asked for"),
        (told("WEBHOOK_FAILED", "FAILED"), True, "delivery has failed"),
        (None, False, "its status has gone"),
    ],
)
def test_what_is_over_without_a_result_says_why(
    status: AsyncRequestStatus | None, is_certain: bool, why: str
) -> None:
    means = meaning(status)
    assert isinstance(means, Over)
    assert means.is_certain is is_certain
    assert why in means.why


@pytest.mark.parametrize(
    ("code", "attempts", "again"),
    [
        ("MODEL_PREDICT_ERROR", 2, True),
        ("MODEL_PREDICT_ERROR", 3, False),
        ("EXPIRED", 1, True),
        ("LOST", 1, True),
        ("DAMAGED", 1, True),
        ("A_NEW_CODE", 1, True),
        ("MODEL_INVALID_INPUT", 1, False),
        ("MODEL_DOES_NOT_EXIST", 1, False),
        ("ASYNC_REQUEST_NOT_SUPPORTED", 1, False),
        ("CANCELED", 1, False),
        ("REFUSED", 1, False),
    ],
)
def test_only_what_may_go_better_is_submitted_again(code: str, attempts: int, again: bool) -> None:
    assert goes_on(Failure(code, ""), attempts=attempts, most=3) is again
