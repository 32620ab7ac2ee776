"""test-webhook passes endpoints that are right, and names what is wrong with the others."""

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.unit.endpoint import endpoints
from tests.unit.endpoint.endpoints import NEW, SECRETS, answer, right, serving
from truss_async.clock import ManualClock
from truss_async.contract import AsyncPredictResult
from truss_async.endpoint.cases import CASES
from truss_async.endpoint.trial import (
    SLOW_ROW,
    Attempt,
    EndpointTrial,
    Row,
    judge_forged,
    judge_genuine,
    judge_speed,
)
from truss_async.errors import SettingsError, WebhookReceiverError
from truss_async.webhooks import Delivery, WebhookReceiver
from truss_async.webhooks.http_server import Answer, Request

ACCEPT = [case.name for case in CASES if case.is_genuine]
REFUSE = [case.name for case in CASES if not case.is_genuine]


def try_out(
    handle: Callable[[Request], Answer], *secrets: str, max_body_bytes: int = 10_000_000
) -> list[Row]:
    with serving(handle, max_body_bytes=max_body_bytes) as url:
        return list(EndpointTrial(url, secrets=secrets or SECRETS).run())


def names(rows: list[Row], outcome: str = "failed") -> list[str]:
    return [row.name for row in rows if row.outcome == outcome]


def note(rows: list[Row], name: str) -> str:
    return next(row.note for row in rows if row.name == name)


def test_the_rows_are_these() -> None:
    assert [row.name for row in try_out(right)] == [
        "good result",
        "error result",
        "large result",
        "unicode",
        "both signatures during rotation",
        "old secret only",
        "wrong signature",
        "no signature",
        "old timestamp",
        "same result twice",
        "retry after a 500",
        "slow answer over 10 s",
    ]


def test_an_endpoint_that_verifies_passes() -> None:
    rows = try_out(right)
    assert names(rows, "ok") == [row.name for row in rows]


def test_the_receiver_of_this_package_passes() -> None:
    with WebhookReceiver(secrets=SECRETS) as receiver:
        rows = list(EndpointTrial(receiver.url, secrets=SECRETS).run())
    assert names(rows, "ok") == [row.name for row in rows]
    assert {len(each.body) > 2_000_000 for each in receiver.deliveries} == {True, False}


@pytest.mark.parametrize(
    ("handle", "failing"),
    [
        (endpoints.writes_the_json_again, ACCEPT),
        (endpoints.checks_the_first_signature_only, ["both signatures during rotation"]),
        (endpoints.checks_no_age, ["old timestamp"]),
        (endpoints.never_verifies, REFUSE),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_endpoint_fails_in_the_rows_that_are_wrong(
    handle: Callable[[Request], Answer], failing: list[str]
) -> None:
    rows = try_out(handle)
    assert names(rows) == failing
    assert all(row.note for row in rows if row.outcome == "failed")


def test_the_remarks_say_what_to_do() -> None:
    assert "raw body" in note(try_out(endpoints.writes_the_json_again), "good result")
    assert "any of them" in note(
        try_out(endpoints.checks_the_first_signature_only), "both signatures during rotation"
    )
    assert "compare `time`" in note(try_out(endpoints.checks_no_age), "old timestamp")
    assert note(try_out(endpoints.never_verifies), "no signature").startswith("it was accepted; answer 401")


@pytest.mark.parametrize(
    ("status_code", "text"),
    [(404, "check the path"), (405, "check the path"), (307, "redirects are not"), (403, "raw")],
)
def test_a_refusal_is_explained_by_its_status(status_code: int, text: str) -> None:
    rows = try_out(lambda request: answer(status_code))
    assert names(rows) == ACCEPT
    assert text in note(rows, "good result")


def test_a_wrong_secret_is_one_cause_and_no_row_counts() -> None:
    rows = try_out(right, "whsec_another")
    assert names(rows, "ok") == []
    assert names(rows) == [name for name in ACCEPT if name != "old secret only"]
    assert "has no secret, or another secret than given here" in note(rows, "good result")
    assert {note(rows, name) for name in names(rows)[1:]} == {"the same cause: 401 to every webhook"}
    assert names(rows, "skipped") == ["old secret only", *REFUSE, SLOW_ROW]
    assert "not meaningful until the endpoint accepts" in note(rows, "wrong signature")


@pytest.mark.parametrize("status_code", [302, 400, 404, 405, 410, 418, 500, 503])
def test_the_same_answer_to_everything_is_one_cause(
    status_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.endpoint.trial._RETRY_SECONDS", 0)
    rows = try_out(lambda request: answer(status_code))
    assert names(rows, "ok") == []
    assert len({row.note for row in rows if row.outcome == "failed"}) == 2
    assert len(names(rows, "skipped")) == 4


def test_causes_that_differ_are_each_named() -> None:
    answers = iter([404, 403, 413])
    rows = try_out(lambda request: answer(next(answers, 401)))
    assert "check the path" in note(rows, "good result")
    assert "raw body" in note(rows, "unicode")
    assert "request body limit" in note(rows, "large result")


def test_a_limit_below_the_large_one_does_not_hide_a_common_cause() -> None:
    rows = try_out(right, "whsec_another", max_body_bytes=1_000_000)
    assert "has no secret, or another secret" in note(rows, "good result")
    assert "request body limit" in note(rows, "large result")


def test_refusals_count_when_another_good_one_is_accepted() -> None:
    first = iter([400])

    def refuse_first(request: Request) -> Answer:
        status_code = next(first, None)
        return answer(status_code) if status_code is not None else right(request)

    rows = try_out(refuse_first)
    assert names(rows) == ["good result"]
    assert set(REFUSE) <= set(names(rows, "ok"))


def test_a_limit_on_bodies_is_found() -> None:
    rows = try_out(right, max_body_bytes=1_000_000)
    assert names(rows) == ["large result"]
    assert "raise the request body limit" in note(rows, "large result")


def test_with_one_secret_what_needs_two_is_left_out() -> None:
    rows = try_out(right, NEW)
    assert names(rows, "skipped") == ["old secret only"]
    assert names(rows) == []


def test_who_refuses_what_came_before_fails_twice() -> None:
    seen: set[str] = set()

    def strict(request: Request) -> Answer:
        verdict = right(request)
        if verdict.status_code != 200:
            return verdict
        request_id = json.loads(request.body)["request_id"]
        is_new = request_id not in seen
        seen.add(request_id)
        return answer(200 if is_new else 409)

    rows = try_out(strict)
    assert names(rows) == ["same result twice", "retry after a 500"]
    assert "acknowledge duplicates" in note(rows, "same result twice")


def test_the_second_of_two_is_the_same_or_signed_anew() -> None:
    with WebhookReceiver(secrets=SECRETS) as receiver:
        list(EndpointTrial(receiver.url, secrets=SECRETS).run())
        accepted = [each for each in receiver.deliveries if each.accepted]
    same, retry = accepted[-4:-2], accepted[-2:]
    assert same[0].body == same[1].body
    assert retry[0].request_id == retry[1].request_id
    assert result_of(retry[0]).time < result_of(retry[1]).time
    assert len({each.request_id for each in accepted}) == len(accepted) - 2


def result_of(delivery: Delivery) -> AsyncPredictResult:
    assert delivery.result is not None
    return delivery.result


def test_a_500_is_tried_again_after_two_seconds_and_told() -> None:
    clock = ManualClock()
    failures = iter([500, 503])

    def handle(request: Request) -> Answer:
        status_code = next(failures, None)
        if status_code is None:
            return answer(200)
        return answer(status_code)

    rows = with_time(clock, handle)
    assert [attempt.status_code for attempt in rows[0].attempts] == [500, 503]
    assert rows[0].outcome == "failed"
    assert rows[0].note.startswith("the endpoint fails (503): check its log")

    failures = iter([500])
    rows = with_time(clock, handle)
    assert [attempt.status_code for attempt in rows[0].attempts] == [500, 200]
    assert (rows[0].outcome, "only at the second attempt" in rows[0].note) == ("ok", True)


def with_time(clock: ManualClock, handle: Callable[[Request], Answer]) -> list[Row]:
    """The rows, with somebody who moves the clock on when the trial waits."""
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(0.005):
            clock.advance(2)

    with ExitStack() as closing, serving(handle) as url:
        mover = threading.Thread(target=move)
        mover.start()
        closing.callback(mover.join)
        closing.callback(ended.set)
        return list(EndpointTrial(url, secrets=SECRETS, clock=clock).run())


def test_a_forged_one_that_is_refused_with_500_is_told() -> None:
    case = CASES[6]
    row = judge_forged(case, (Attempt(401, 0.1), Attempt(500, 0.1)))
    assert (row.outcome, row.note) == ("ok", "500 makes the platform retry; answer 401")
    assert judge_forged(case, (Attempt(401, 0.1), Attempt(204, 0.1))).outcome == "failed"
    assert judge_forged(case, (Attempt(None, 0.1, "reset"),)).note.startswith("no answer makes")


@pytest.mark.parametrize(
    ("seconds", "outcome", "text"),
    [
        (0.2, "ok", ""),
        (6, "ok", "6.0 s of the 10 s that the platform waits; store"),
        (10, "failed", "too slow"),
    ],
)
def test_the_slowest_answer_is_measured_against_the_platforms_patience(
    seconds: float, outcome: str, text: str
) -> None:
    attempts = (Attempt(200, 0.1), Attempt(200, seconds), Attempt(200, 0.01))
    row = judge_speed([Row("good result", "accept", "ok", attempts)])
    assert (row.name, row.outcome, text in row.note) == (SLOW_ROW, outcome, True)
    assert row.attempts[0].took_seconds == seconds


def test_an_endpoint_that_never_answers_is_not_tried_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truss_async.endpoint.trial.DELIVERY_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("truss_async.endpoint.trial._RETRY_SECONDS", 0)
    released = threading.Event()

    def hang(request: Request) -> Answer:
        released.wait(30)
        return answer(200)

    with serving(hang) as url:
        rows = list(EndpointTrial(url, secrets=SECRETS).run())
        released.set()
    assert names(rows) == ["good result", SLOW_ROW]
    assert len(names(rows, "skipped")) == 10
    assert "no answer within 0.1 s" in note(rows, "good result")


def test_a_connection_that_breaks_is_told() -> None:
    attempt = Attempt(None, 0.1, "Server disconnected")
    row = judge_genuine(CASES[2], [(attempt, attempt)])
    assert row.outcome == "failed"
    assert row.note.startswith("the connection broke (Server disconnected): check")
    assert "request body limit" in row.note


def test_nobody_there_is_one_error() -> None:
    with serving(right) as url:
        pass
    with pytest.raises(WebhookReceiverError, match=r"cannot reach .*refused.*is the endpoint running\?"):
        list(EndpointTrial(url, secrets=SECRETS).run())


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "http://[::1", "http://h:99999"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="is not a URL such as"):
        EndpointTrial(url, secrets=SECRETS)


def test_secrets_are_needed() -> None:
    with pytest.raises(SettingsError, match="give --webhook-secret"):
        EndpointTrial("http://localhost", secrets=())
