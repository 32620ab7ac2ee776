"""The story of one request, and how it is written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final

from ...contract import RequestStatus, WebhookStatus
from ...printable import printable

if TYPE_CHECKING:
    from ...contract import ErrorDetail

MAX_SAID_LINES: Final = 200
_MARGIN: Final = " " * 14


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened, or (``is_said``) a line that the model wrote."""

    at: datetime
    text: str
    is_said: bool = False


@dataclass(slots=True)
class Story:
    """A request so far. ``next_at`` is when its next inference or delivery attempt is due, if it waits for one."""

    request_id: str
    deployment_id: str
    accepted_at: datetime
    webhook_status: WebhookStatus
    status: RequestStatus = RequestStatus.QUEUED
    errors: list[ErrorDetail] = field(default_factory=list)
    deliveries: int = 0
    next_at: datetime | None = None
    entries: list[Entry] = field(default_factory=list)
    said_lines: int = 0
    is_in_traceback: bool = False
    exception_lines: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    """What each traceback that the model wrote says in the end: the exception's class and its text."""
    output: bytes | None = None
    """The model output as JSON, once there is one, for as long as there is room to keep it."""
    times_raised: int = 0
    """How many answers told that the model raised something; the traceback may come later than that."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen: inference and delivery are over."""
        return self.status.is_final and self.webhook_status is not WebhookStatus.PENDING


def render_story(story: Story) -> str:
    """A line on where the request stands, one for each thing that happened, and what the model said meanwhile."""
    head = f"async request {story.request_id} of {story.deployment_id}: {story.status.value}"
    if story.webhook_status is not WebhookStatus.NO_WEBHOOK_PROVIDED:
        head += f", webhook {story.webhook_status.value}"
    return "\n".join(map(printable, [head, *_lines(story)]))


def _lines(story: Story) -> Iterator[str]:
    shown: list[list[str]] = []
    for is_said, group in groupby(story.entries, key=lambda entry: entry.is_said):
        if is_said:
            said = [entry.text for entry in group]
            yield from [f"{_MARGIN}| {text}" for text in _not_again(said, shown)]
        else:
            for entry in group:
                yield f"{(entry.at - story.accepted_at).total_seconds():>+10.3f} s  {entry.text}"
    if story.said_lines > MAX_SAID_LINES:
        yield f"{_MARGIN}| … {story.said_lines - MAX_SAID_LINES} lines more"


def _not_again(said: list[str], shown: list[list[str]]) -> list[str]:
    """The lines, or in their place, when all of them have been shown, a word that they are the same."""
    if len(said) > 1 and said in shown:
        return [f"… the same {len(said)} lines as before, up to", said[-1]]
    shown.append(said)
    return said
