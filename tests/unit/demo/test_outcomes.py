from dataclasses import replace

import pytest

from truss_async.contract import AsyncPredictResult, ErrorDetail, RequestStatus, WebhookStatus
from truss_async.demo.outcomes import PageOutcome, StoredOutput
from truss_async.webhooks.receiver import Delivery


def delivery_of(outcome: PageOutcome) -> Delivery:
    assert outcome.delivery is not None
    return outcome.delivery


def result_of(outcome: PageOutcome) -> AsyncPredictResult:
    assert outcome.stored.result is not None
    return outcome.stored.result


def test_a_page_for_which_everything_held_has_no_problem(good: PageOutcome) -> None:
    assert good.problems == ()
    assert (good.line_count, good.signature) == (47, "valid")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {
                "status": RequestStatus.FAILED,
                "errors": [ErrorDetail(code="MODEL_PREDICT_ERROR", message="no")],
            },
            "FAILED (MODEL_PREDICT_ERROR: no)",
        ),
        ({"status": RequestStatus.EXPIRED}, "EXPIRED (no reason given)"),
        ({"webhook_status": WebhookStatus.FAILED}, "its webhook is FAILED"),
    ],
)
def test_a_request_that_did_not_end_well_is_a_problem(
    good: PageOutcome, changes: dict[str, object], problem: str
) -> None:
    assert replace(good, status=good.status.model_copy(update=changes)).problems == (problem,)


def test_a_missing_webhook_is_a_problem(good: PageOutcome) -> None:
    assert replace(good, delivery=None).problems == ("the signature of its webhook is not valid: none",)


def test_a_signature_that_does_not_verify_is_a_problem(good: PageOutcome) -> None:
    refused = replace(delivery_of(good), verdict="too old", result=None)
    assert replace(good, delivery=refused).problems == ("the signature of its webhook is not valid: too old",)


def test_an_output_that_cannot_be_read_back_is_a_problem(good: PageOutcome) -> None:
    assert replace(good, stored=StoredOutput("k", problem="no object k")).problems == ("no object k",)


def test_an_object_that_differs_from_the_webhook_is_a_problem(good: PageOutcome) -> None:
    other = result_of(good).model_copy(update={"data": {"lines": [1, 2]}})
    assert replace(good, stored=StoredOutput("k", other)).problems == (
        "its webhook and its stored object differ",
    )


def test_a_page_without_a_line_is_a_problem(good: PageOutcome) -> None:
    empty = result_of(good).model_copy(update={"data": {"lines": []}})
    outcome = replace(
        good, stored=StoredOutput("k", empty), delivery=replace(delivery_of(good), result=empty)
    )
    assert outcome.problems == ("no line was read on it",)
