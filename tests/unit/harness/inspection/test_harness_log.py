"""The lines of the log: for people and for programs, of calls, requests and replicas."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from truss_async.clock import ManualClock
from truss_async.harness.inspection import AnsweredCall, HarnessLog
from truss_async.harness.request_queue import EndedRequest
from truss_async.replicas.logs import ReplicaLogLine

REQUEST_ID = "3f2a91bc" * 4
CREATED = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
NOW = CREATED + timedelta(seconds=9)
CALL = AnsweredCall(REQUEST_ID, "local1", "POST", "/production/predict", 200, 0.25, 17)


def ended(**differing: Any) -> EndedRequest:
    usual: dict[str, Any] = {
        "request_id": REQUEST_ID,
        "deployment_id": "local1",
        "status": "SUCCEEDED",
        "webhook_status": "SUCCEEDED",
        "queue_seconds": 0.5,
        "model_seconds": 1.5,
        "size_bytes": 1234,
        "error_code": None,
    }
    return EndedRequest(**{**usual, **differing})


class Written:
    def __init__(self, **options: Any) -> None:
        self.lines: list[str] = []
        self.log = HarnessLog(
            report=self.lines.append, log=self.lines.append, clock=ManualClock(NOW), **options
        )

    @property
    def line(self) -> str:
        (line,) = self.lines
        return line

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.line)
        return facts


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truss_async.harness.inspection.harness_log._time", lambda now: f"{now:%H:%M:%S}")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            ended(),
            "SUCCEEDED: 0.500 s in the queue, 1.500 s in the model, 1234 bytes, webhook SUCCEEDED",
        ),
        (
            ended(
                status="FAILED",
                webhook_status="NO_WEBHOOK_PROVIDED",
                error_code="MODEL_PREDICT_ERROR",
                size_bytes=None,
            ),
            "FAILED (MODEL_PREDICT_ERROR): 0.500 s in the queue, 1.500 s in the model",
        ),
        (
            ended(
                status="EXPIRED",
                webhook_status="CANCELED",
                queue_seconds=3.0,
                model_seconds=None,
                size_bytes=None,
            ),
            "EXPIRED: 3.000 s in the queue, webhook CANCELED",
        ),
    ],
    ids=["delivered", "failed", "expired"],
)
def test_a_request_that_is_over_is_one_line(request_: EndedRequest, said: str) -> None:
    written = Written()
    written.log.request_over(request_)
    assert written.line == f"12:00:09 request [{REQUEST_ID}] {said}"


def test_as_json_a_request_has_the_fields_that_programs_read() -> None:
    written = Written(format="json")
    written.log.request_over(ended())
    assert written.facts == {
        "event": "request",
        "time": "2026-01-01T12:00:09+00:00",
        "request_id": REQUEST_ID,
        "status": "SUCCEEDED",
        "queue_seconds": 0.5,
        "model_seconds": 1.5,
        "webhook_status": "SUCCEEDED",
        "deployment_id": "local1",
        "size_bytes": 1234,
        "error_code": None,
    }


def test_a_call_is_one_line() -> None:
    written = Written()
    written.log.call(CALL)
    assert (
        written.line
        == f"12:00:09 call [{REQUEST_ID}] POST /production/predict answered 200 in 0.250 s, 17 bytes"
    )


def test_as_json_a_call_has_the_same_fields_as_a_request() -> None:
    written = Written(format="json")
    written.log.call(CALL)
    assert (written.facts["event"], written.facts["status"], written.facts["model_seconds"]) == (
        "call",
        200,
        0.25,
    )
    assert {"request_id", "queue_seconds", "webhook_status", "deployment_id", "time"} <= set(written.facts)


def test_on_a_terminal_ids_are_short_and_can_be_given_so() -> None:
    written = Written(short_ids=True)
    written.log.request_over(ended())
    written.log.replica(ReplicaLogLine("replica-1", "read", request_id=REQUEST_ID))
    assert all("[3f2a91bc]" in line for line in written.lines)


def test_as_json_what_replicas_and_the_harness_say_is_json_too() -> None:
    written = Written(format="json")
    written.log.say("replica-1 is ready\x1b[2J")
    written.log.replica(ReplicaLogLine("replica-1", "read", "warning", REQUEST_ID))
    said, line = map(json.loads, written.lines)
    assert (said["event"], said["message"]) == ("harness", "replica-1 is ready\x1b[2J")
    assert (line["event"], line["level"], line["request_id"]) == ("line", "warning", REQUEST_ID)
    assert "\x1b" not in "".join(written.lines)


def test_a_reader_that_has_gone_ends_nothing() -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError

    log = HarnessLog(report=gone, log=gone, clock=ManualClock(NOW))
    log.request_over(ended())
    log.call(CALL)
