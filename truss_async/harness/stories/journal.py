"""Keeps the stories of the latest requests, written on the harness's event loop and read from other threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from ...replicas.exception_texts import one_line
from .story import MAX_SAID_LINES, Entry, Story

MAX_STORIES: Final = 10_000
MAX_LINES: Final = 500
MAX_OUTPUT_BYTES: Final = 256_000_000
"""So many of outputs are kept altogether; the latest one always is."""


def is_traceback(line: str) -> bool:
    """Whether the line is the first of a traceback."""
    return line.lstrip().startswith("Traceback (most recent call last)")


class Journal:
    """``lines`` are those that replicas wrote outside of any request that is known."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # its lock may be taken again by who holds it
        self._stories: dict[str, Story] = {}
        self._with_output: deque[Story] = deque()
        self._output_bytes = 0
        self.lines: deque[str] = deque(maxlen=MAX_LINES)

    def begin(self, story: Story) -> None:
        """Keep a new story, and forget the oldest one when there are too many."""
        with self._changed:
            self._stories[story.request_id] = story
            if len(self._stories) > MAX_STORIES:
                del self._stories[next(iter(self._stories))]

    def discard(self, request_id: str) -> None:
        """It was no request after all."""
        with self._changed:
            self._stories.pop(request_id, None)

    def note(self, request_id: str, at: datetime, text: str, **changes: Any) -> None:
        """Something happened; ``changes`` are new values of the story's fields. Unknown requests have no story."""
        with self._changed:
            story = self._stories.get(request_id)
            if story is None:
                return
            story.entries.append(Entry(at, text))
            for name, value in changes.items():
                setattr(story, name, value)
            self._changed.notify_all()

    def keep_output(self, request_id: str, output: bytes) -> None:
        """The model answered; the outputs of the requests that came before are let go when there is no room for all."""
        with self._changed:
            if (story := self._stories.get(request_id)) is None:
                return
            story.output = output
            self._with_output.append(story)
            self._output_bytes += len(output)
            while self._output_bytes > MAX_OUTPUT_BYTES and len(self._with_output) > 1:
                oldest = self._with_output.popleft()
                self._output_bytes -= len(oldest.output or b"")
                oldest.output = None

    def note_line(self, line: str, at: datetime, *, request_id: str | None, goes_on: bool = False) -> None:
        """A replica wrote a line, for a request or for none; ``goes_on``: the next line is a part of the same."""
        with self._changed:
            story = self._stories.get(request_id or "")
            if story is None:
                self.lines.append(line)
                return
            story.said_lines += 1
            _note_exception(story, line, goes_on=goes_on)
            if story.said_lines <= MAX_SAID_LINES:
                story.entries.append(Entry(at, line, is_said=True))
            self._changed.notify_all()

    def story(self, request_id: str) -> Story | None:
        """The story of one request, which goes on while it is looked at."""
        with self._changed:
            return self._stories.get(request_id)

    def stories(self) -> list[Story]:
        """All that are kept, in the order in which the requests were accepted."""
        with self._changed:
            return list(self._stories.values())

    def wait_for(self, condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Wait in a thread until the condition holds, which is looked at after each change; False: it did not in time."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_seconds)


def _note_exception(story: Story, line: str, *, goes_on: bool) -> None:
    """Gather what a traceback says at its end, which may be several lines, until all of it is there."""
    if is_traceback(line):
        story.is_in_traceback = True
        story.exception_lines.clear()
    elif story.is_in_traceback and (story.exception_lines or line[:1].strip()):
        story.exception_lines.append(line)
    if story.exception_lines and not goes_on:
        story.raised.append(one_line("\n".join(story.exception_lines)))
        story.is_in_traceback = False
        story.exception_lines.clear()
