"""What a test of an async model does not want to miss: errors of the model, lost webhooks, requests left behind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from ...contract import ErrorCode, RequestStatus, WebhookStatus
from ...contract.truss_server import MODEL_ERROR_MESSAGE, UNHANDLED_EXCEPTION
from ...printable import printable
from .journal import is_traceback
from .story import Story, render_story

if TYPE_CHECKING:
    from ...contract import ErrorDetail
    from .journal import Journal

ProblemKind = Literal["model_errors", "webhook_failures", "unfinished_requests"]

PROBLEM_KINDS: Final[tuple[str, ...]] = get_args(ProblemKind)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong, and the request that it happened to, if it was one."""

    kind: ProblemKind
    message: str
    story: Story | None = None


def find_problems(journal: Journal, *, allowed: Collection[str] = ()) -> list[Problem]:
    """All problems of the kinds that are not allowed."""
    found = [problem for story in journal.stories() for problem in _of_story(story)]
    found += _of_lines(list(journal.lines))
    return [problem for problem in found if problem.kind not in allowed]


def wait_for_rest(journal: Journal, *, is_paused: bool, timeout_seconds: float) -> None:
    """Wait in a thread until no request is worked on, and what the model raised has been heard, or the time is up."""

    def is_at_rest(story: Story) -> bool:
        is_waiting = story.next_at is not None or (is_paused and story.status is RequestStatus.QUEUED)
        return (story.is_over or is_waiting) and len(story.raised) >= story.times_raised

    journal.wait_for(lambda: all(map(is_at_rest, journal.stories())), timeout_seconds=timeout_seconds)


def tells_of_exception(errors: Sequence[ErrorDetail]) -> bool:
    """Whether the Truss server says that the model raised something."""
    code = ErrorCode.MODEL_PREDICT_ERROR.value
    return any(
        error.code == code and error.message.startswith((MODEL_ERROR_MESSAGE, UNHANDLED_EXCEPTION))
        for error in errors
    )


def render_problems(problems: Sequence[Problem]) -> str:
    """Each problem in a line; then the story of each request that has one."""
    stories = {problem.story.request_id: problem.story for problem in problems if problem.story is not None}
    told = [printable(line) for problem in problems for line in problem.message.split("\n")]
    parts = ["\n".join(told), *map(render_story, stories.values())]
    return "\n\n".join(parts)


def _of_story(story: Story) -> Iterator[Problem]:
    if story.raised or story.times_raised:
        raised = story.raised[-1] if story.raised else "an exception"
        yield Problem("model_errors", f"the model raised {raised} (request {story.request_id})", story)
    if story.webhook_status is WebhookStatus.FAILED:
        yield Problem(
            "webhook_failures", f"the webhook of request {story.request_id} was not delivered", story
        )
    if not story.is_over:
        where = f"it is {story.status.value}"
        if story.status.is_final:
            where = f"its webhook is {story.webhook_status.value}"
        yield Problem(
            "unfinished_requests", f"request {story.request_id} was left unfinished: {where}", story
        )


def _of_lines(lines: Sequence[str]) -> Iterator[Problem]:
    first = next((number for number, line in enumerate(lines) if is_traceback(line)), None)
    if first is not None:
        text = "\n".join(f"  | {line}" for line in lines[first:])
        yield Problem("model_errors", f"the model raised an exception outside of any request:\n{text}")
