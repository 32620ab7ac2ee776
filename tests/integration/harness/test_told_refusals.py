"""A receiver that refuses a webhook as not proven: the story says why."""

from __future__ import annotations

import pytest

from tests.unit.endpoint.endpoints import serving
from truss_async import Harness, HarnessSettings
from truss_async.clock import ManualClock
from truss_async.webhooks import WebhookReceiver
from truss_async.webhooks.http_server import Answer

SECRET = "whsec_told"


def harness(clock: ManualClock | None = None) -> Harness:
    settings = HarnessSettings(model=str.upper, port=0, webhook_secrets=(SECRET,))
    return Harness(settings, clock=clock, report=lambda line: None, log=lambda line: None)


def test_a_receiver_on_another_clock_than_the_harness_is_told_of_in_the_story() -> None:
    clock = ManualClock()
    with WebhookReceiver(secrets=[SECRET], clock=ManualClock()) as receiver, harness(clock) as platform:
        platform.wait_ready()
        clock.advance(hours=1)
        request = platform.submit("input", webhook_endpoint=receiver.url)
        assert request.wait(timeout_seconds=60).value == "WEBHOOK_FAILED"
        assert "it answered 401: dated 3600 s in the future, 300 s are allowed" in request.story
        platform.allow("webhook_failures")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"error": "no\x1b[2J"}, r"it answered 401: no\u001b[2J"),
        ({"detail": "a FastAPI application's"}, "it answered 401: a FastAPI application's"),
        ({"message": "no"}, """it answered 401: {"message": "no"}"""),
        ({"error": "x" * 5000}, "it answered 401: "),
    ],
)
def test_its_own_words_are_told_as_far_as_they_can_be_shown(content: dict[str, str], told: str) -> None:
    with serving(lambda request: Answer(401, content)) as url, harness() as platform:
        platform.wait_ready()
        request = platform.submit("input", webhook_endpoint=url)
        assert request.wait(timeout_seconds=60).value == "WEBHOOK_FAILED"
        assert told in request.story
        assert max(map(len, request.story.splitlines())) < 500
