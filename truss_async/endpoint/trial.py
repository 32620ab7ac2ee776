"""Playing the platform against a webhook endpoint, and judging what it answers."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from ..clock import SYSTEM_CLOCK, Clock
from ..contract.limits import DELIVERY_RETRY_STATUSES, DELIVERY_SCHEDULES, DELIVERY_TIMEOUT_SECONDS
from ..contract.requests import is_loopback
from ..errors import SettingsError, WebhookReceiverError
from ..timed_http import NoAnswerError, TimedHttp
from ..webhooks.secrets import as_secrets
from .cases import CASES, Case, Webhook
from .forwarding import checked_url

if TYPE_CHECKING:
    from typing import TypeAlias

    from .cases import Signing

    Outcome: TypeAlias = Literal["ok", "failed", "skipped"]

SLOW_ROW: Final = "slow answer over 10 s"
_RETRY_SECONDS: Final = DELIVERY_SCHEDULES["current"][0]
# Half of what there is: on a busy day the other half is gone.
_NEAR_SECONDS: Final = DELIVERY_TIMEOUT_SECONDS / 2
_SHORTER: Final = "store the result, acknowledge, and work on it afterwards"


@dataclass(frozen=True)
class Attempt:
    """One POST: the status of the answer, None when there was none, and then why."""

    status_code: int | None
    took_seconds: float
    problem: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the endpoint acknowledged."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def is_retried(self) -> bool:
        """Whether the platform would send it again."""
        return self.status_code is None or self.status_code in DELIVERY_RETRY_STATUSES


@dataclass(frozen=True)
class Row:
    """What came of one case; ``note`` is what to do when it failed, and else what to know."""

    name: str
    expects: Literal["accept", "refuse", "in time"]
    outcome: Outcome
    attempts: tuple[Attempt, ...] = ()
    note: str = ""


class EndpointTrial:
    """Sends every case to one endpoint. ``secrets`` are those that it holds, newest first.

    Raises:
        SettingsError: the URL, the secrets or the file of certificate authorities are of no use.
    """

    def __init__(
        self, url: str, *, secrets: Sequence[str], ca_file: Path | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        secrets = as_secrets(secrets)
        if not secrets:
            raise SettingsError(
                "with which secret is the endpoint to be tried? give --webhook-secret, newest first"
            )
        self._url = checked_url(url)
        self._secrets = secrets
        self._clock = clock
        self._was_reached = False
        self._http = TimedHttp(
            purpose="testing a webhook endpoint",
            timeout_seconds=DELIVERY_TIMEOUT_SECONDS,
            verify=_trusting(ca_file),
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
        )

    def run(self) -> Iterator[Row]:
        """Each row as soon as it is known.

        Raises:
            WebhookReceiverError: nobody listens there.
        """
        rows: list[Row] = []
        with closing(self._http):
            for case in CASES:
                rows.append(self._try(case, is_reachable=not rows or _is_answered(rows[0])))
                yield rows[-1]
        yield judge_speed([attempt for row in rows for attempt in row.attempts])

    def _try(self, case: Case, *, is_reachable: bool) -> Row:
        expects: Literal["accept", "refuse"] = "accept" if case.is_genuine else "refuse"
        if not is_reachable:
            return Row(case.name, expects, "skipped", note="there was no answer to the first webhook")
        if len(self._secrets) < case.needs_secrets:
            return Row(case.name, expects, "skipped", note="give --webhook-secret twice, newest first")
        if case.is_genuine:
            return judge_genuine(case, self._deliver(case))
        return judge_forged(case, tuple(self._forge(case)))

    def _forge(self, case: Case) -> Iterator[Attempt]:
        for signing in case.signings:
            yield self._post(self._webhook(case, signing, uuid.uuid4().hex))

    def _deliver(self, case: Case) -> list[tuple[Attempt, ...]]:
        """As the platform does: once, and once more when that may help; and all of it again if the case says so."""
        request_id = uuid.uuid4().hex
        webhook = self._webhook(case, case.signings[0], request_id)
        deliveries = [self._deliver_once(case, webhook, request_id)]
        if case.repeats != "never" and deliveries[0][-1].accepted:
            if case.repeats == "retry":
                webhook = self._webhook(case, case.signings[0], request_id)
            deliveries.append(self._deliver_once(case, webhook, request_id))
        return deliveries

    def _deliver_once(self, case: Case, webhook: Webhook, request_id: str) -> tuple[Attempt, ...]:
        first = self._post(webhook)
        if not first.is_retried:
            return (first,)
        self._clock.block(_RETRY_SECONDS)
        return first, self._post(self._webhook(case, case.signings[0], request_id))

    def _webhook(self, case: Case, signing: Signing, request_id: str) -> Webhook:
        return case.webhook(signing, request_id=request_id, secrets=self._secrets, now=self._clock.now())

    def _post(self, webhook: Webhook) -> Attempt:
        start = self._clock.monotonic()
        status_code, problem = None, None
        try:
            status_code = self._http.send(
                "POST", self._url, content=webhook.body, headers=webhook.headers, wants_body=False
            ).status_code
        except TimeoutError as error:
            problem = str(error)
        except NoAnswerError as error:
            problem = str(error)
            if not self._was_reached and not error.was_reached:
                raise WebhookReceiverError(
                    f"cannot reach {self._url}: {problem}; is the endpoint running?"
                ) from None
        self._was_reached = True
        return Attempt(status_code, self._clock.monotonic() - start, problem)


def judge_genuine(case: Case, deliveries: Sequence[tuple[Attempt, ...]]) -> Row:
    """The row for a webhook that is to be accepted, however often it comes."""
    attempts = tuple(attempt for delivery in deliveries for attempt in delivery)
    if not all(delivery[-1].accepted for delivery in deliveries):
        return Row(case.name, "accept", "failed", attempts, _why_refused(case, attempts[-1]))
    note = case.note
    if any(not attempt.accepted for attempt in attempts):
        note = "not acknowledged at once, but when it came again; the platform tries no third time"
    return Row(case.name, "accept", "ok", attempts, note)


def judge_forged(case: Case, attempts: tuple[Attempt, ...]) -> Row:
    """The row for what is to be refused."""
    if any(attempt.accepted for attempt in attempts):
        return Row(case.name, "refuse", "failed", attempts, f"it was accepted; {case.advice}")
    retried = [attempt for attempt in attempts if attempt.is_retried]
    note = f"{_shown(retried[0])} makes the platform send it again; answer 401" if retried else ""
    return Row(case.name, "refuse", "ok", attempts, note)


def judge_speed(attempts: Sequence[Attempt]) -> Row:
    """The row for how long the endpoint took, over all that was sent."""
    slowest = max(attempts, key=lambda attempt: attempt.took_seconds)
    if slowest.took_seconds >= DELIVERY_TIMEOUT_SECONDS:
        return Row(SLOW_ROW, "in time", "failed", (slowest,), f"too slow for the platform; {_SHORTER}")
    if slowest.took_seconds >= _NEAR_SECONDS:
        took = f"{slowest.took_seconds:.1f} s of the {DELIVERY_TIMEOUT_SECONDS:g} s that the platform waits"
        return Row(SLOW_ROW, "in time", "ok", (slowest,), f"{took}; {_SHORTER}")
    return Row(SLOW_ROW, "in time", "ok", (slowest,))


def _why_refused(case: Case, attempt: Attempt) -> str:
    """What to do about this answer to a webhook that ought to be accepted."""
    match attempt.status_code:
        case None if attempt.took_seconds >= DELIVERY_TIMEOUT_SECONDS:
            return f"{attempt.problem}; the platform tries no third time; {_SHORTER}"
        case None:
            return f"the connection broke ({attempt.problem}): look into the endpoint's log; {case.advice}"
        case 404 | 405:
            return "no POST is answered there: check the path of the URL, and its method"
        case status if 300 <= status < 400:
            return "redirects are not followed: give the platform the URL that answers itself"
        case status if status >= 500:
            return f"the endpoint fails ({status}): look into its log; {case.advice}"
        case _:
            return case.advice


def _shown(attempt: Attempt) -> str:
    return str(attempt.status_code) if attempt.status_code is not None else "no answer"


def _is_answered(row: Row) -> bool:
    return any(attempt.status_code is not None for attempt in row.attempts)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError:  # ssl.SSLError is one
            raise SettingsError(f"cannot use {ca_file}: it must be a PEM file of certificates") from None
    return context
