"""An async request in the hands of the test that made it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ...clock import SYSTEM_CLOCK, ManualClock
from ...contract import RequestStatus
from ...contract.json_text import parse
from ...errors import HarnessError
from .story import render_story

if TYPE_CHECKING:
    from ...clock import Clock
    from ...contract import ArtifactReference, ErrorDetail, WebhookStatus
    from .journal import Journal
    from .story import Story

_STUB_LOOK_SECONDS: Final = 0.05
"""No journal tells that a stub has fallen asleep."""


class RequestHandle:
    """Tells where a request stands, also when the platform would have forgotten it."""

    def __init__(
        self,
        story: Story,
        *,
        journal: Journal,
        clock: Clock,
        is_paused: Callable[[], bool],
        cancel: Callable[[str], bool],
        answers_at: Callable[[], datetime | None] | None = None,
    ) -> None:
        """``answers_at`` tells when the first stub wakes that sleeps on the clock; None where there are no stubs."""
        self._story = story
        self._journal = journal
        self._clock = clock
        self._is_paused = is_paused
        self._cancel = cancel
        self._answers_at = answers_at

    @property
    def request_id(self) -> str:
        """32 hexadecimal digits."""
        return self._story.request_id

    @property
    def status(self) -> RequestStatus:
        """As the status call tells it."""
        return self._story.status

    @property
    def webhook_status(self) -> WebhookStatus:
        """How the delivery of the result stands."""
        return self._story.webhook_status

    @property
    def errors(self) -> list[ErrorDetail]:
        """Those of the last inference attempt."""
        return self._story.errors

    @property
    def output(self) -> Any:
        """What the model returned, as its JSON says: an artifact is what ``artifact`` reads by its name.

        Raises:
            HarnessError: there is none: it failed, or is not over (``wait`` for it), or so many came since that it is gone.
        """
        if self._story.status not in (RequestStatus.SUCCEEDED, RequestStatus.WEBHOOK_FAILED):
            raise HarnessError(
                f"there is no output: the request is {self._story.status.value}\n\n{self.story}"
            )
        if self._story.output is None:
            raise HarnessError(
                f"the output of {self.request_id} is no longer kept: newer ones have replaced it"
            )
        return parse(self._story.output)

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The names of the artifacts that the output refers to."""
        from ...stores.result_objects import references_in  # loaded when outputs are looked at

        return tuple(sorted(_name_of(each) for each in references_in(self.output)))

    def artifact(self, name: str) -> bytes:
        """The content of an artifact, from the output store.

        Raises:
            HarnessError: the output refers to none of that name.
            OutputStoreError: it cannot be read.
        """
        from ...stores import OutputStore
        from ...stores.result_objects import references_in

        for reference in references_in(self.output):
            if _name_of(reference) == name:
                with OutputStore.from_url(reference.url.rpartition("/")[0]).open_artifact(reference) as file:
                    return file.read()
        raise HarnessError(f"the output of {self.request_id} has no artifact {name}; it has {self.artifacts}")

    @property
    def is_over(self) -> bool:
        """Whether inference and delivery are over."""
        return self._story.is_over

    @property
    def story(self) -> str:
        """Every transition, attempt and delivery with its time, a line each."""
        return render_story(self._story)

    def cancel(self) -> bool:
        """Withdraw it; False when it is not queued any more."""
        return self._cancel(self.request_id)

    def wait(self, *, timeout_seconds: float = 30) -> RequestStatus:
        """Return the status once inference and delivery are over.

        On a virtual clock time passes as this request needs it: to its next inference attempt, or the next delivery
        of its result. ``timeout_seconds`` are of real time.

        Raises:
            HarnessError: it is not over by then, or cannot be, since the harness is paused.
        """
        deadline = SYSTEM_CLOCK.monotonic() + timeout_seconds
        while not self._story.is_over:
            remaining = deadline - SYSTEM_CLOCK.monotonic()
            if self._is_paused() and not self._story.status.is_final:
                raise HarnessError(f"the harness is paused: resume() it first\n\n{self.story}")
            if remaining <= 0:
                raise HarnessError(f"not finished within {timeout_seconds:g} s\n\n{self.story}")
            self._let_something_happen(remaining)
        return self._story.status

    def _let_something_happen(self, timeout_seconds: float) -> None:
        next_at = self._story.next_at
        if isinstance(self._clock, ManualClock):
            if next_at is not None and self._advance_to(next_at, timeout_seconds):
                return
            if self._answers_at is not None:
                self._clock.advance(
                    patience_seconds=timeout_seconds
                )  # so that a stub that was asked is asleep
                wakes_at = self._answers_at()
                if wakes_at is not None and self._advance_to(wakes_at, timeout_seconds):
                    return
                timeout_seconds = min(timeout_seconds, _STUB_LOOK_SECONDS)
        self._journal.wait_for(
            lambda: self._story.is_over or self._story.next_at != next_at, timeout_seconds=timeout_seconds
        )

    def _advance_to(self, moment: datetime, timeout_seconds: float) -> bool:
        """Let time pass until then; False when it has."""
        seconds = (moment - self._clock.now()).total_seconds()
        if seconds > 0 and isinstance(self._clock, ManualClock):
            self._clock.advance(seconds, patience_seconds=timeout_seconds)
        return seconds > 0

    def __repr__(self) -> str:
        return f"<async request {self.request_id}: {self._story.status.value}>"


def _name_of(reference: ArtifactReference) -> str:
    return reference.url.rpartition("/")[2]
