"""What a harness says and logs is fit for a terminal, whatever callers, models and endpoints wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings

if TYPE_CHECKING:
    from collections.abc import Callable


def loud(model_input: Any) -> Any:
    raise ValueError(f"https://user:secret@example.com/ \u202e{model_input}" + "x" * 100_000)


def test_no_password_no_control_character_and_no_endless_line_is_reported_or_logged(
    serve: Callable[..., Harness], reports: list[str]
) -> None:
    harness = serve()
    endpoint = f"http://user:secret@127.0.0.1:1/{'long' * 1000}"
    handle = harness.submit(1, webhook_endpoint=endpoint)
    handle.wait(timeout_seconds=30)
    told = [line for line in reports if "failed for good" in line]
    assert len(told) == 1
    assert "http://***@127.0.0.1:1/longlong" in told[0]
    assert len(told[0]) < 1000
    assert "refused" in told[0].lower() or "cannot connect" in told[0].lower()


def test_what_a_model_raises_plays_no_tricks_in_the_log_nor_in_the_story() -> None:
    lines: list[str] = []
    settings = HarnessSettings(model=loud, port=0)
    with Harness(settings, log=lines.append) as harness:
        handle = harness.submit("\x1b]0;title\x07\x9b31m", inference_retry_config={"max_attempts": 1})
        handle.wait(timeout_seconds=30)
        told = [*lines, *handle.story.splitlines()]
    text = "\n".join(told)
    assert "https://***@example.com/ \\u202e\\u001b]0;title\\u0007\\u009b31m" in text
    assert not set(text) & set("\x1b\x9b\x07\r\u202e")
    assert max(map(len, told)) < 20_000
