"""Playing the platform against a webhook endpoint, and judging what it answers."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from ..clock import SYSTEM_CLOCK, Clock
from ..contract.limits import DELIVERY_RETRY_STATUSES, DELIVERY_SCHEDULES, DELIVERY_TIMEOUT_SECONDS
from ..contract.webhook_urls import is_loopback
from ..errors import SettingsError, WebhookReceiverError
from ..timed_http import NoAnswerError, TimedHttp
from ..webhooks.secrets import as_secrets
from .cases import CASES, LARGE_ROW, Case, Webhook
from .forwarding import checked_url

if TYPE_CHECKING:
    from typing import TypeAlias

    from .cases import Signing

    Outcome: TypeAlias = Literal["ok", "failed", "skipped"]

SLOW_ROW: Final = "slow answer over 10 s"
_RETRY_SECONDS: Final = DELIVERY_SCHEDULES["current"][0]
# Half of what there is: on a busy day the other half is gone.
_NEAR_SECONDS: Final = DELIVERY_TIMEOUT_SECONDS / 2
_NOT_PROVEN: Final = (
    "the endpoint rejects every webhook, even valid ones: it has no secret, or another secret than given here. If "
    "the secret is the same, check that it computes the HMAC over the raw body, and check its clock"
)
_SAME_ANSWER: Final = "every webhook gets the same answer; check the endpoint's log"
_SHORTER: Final = "store the result, acknowledge it, and process it afterwards"


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

    ``check_address`` raises OSError for an IP address that nothing may be sent to.

    Raises:
        SettingsError: the URL, the secrets or the file of certificate authorities are of no use.
    """

    def __init__(
        self,
        url: str,
        *,
        secrets: Sequence[str],
        ca_file: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
        check_address: Callable[[str], None] | None = None,
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
            check_address=check_address,
        )

    def run(self) -> Iterator[Row]:
        """Each row, as soon as it can be judged: when the first webhook is refused, the others are looked at before.

        Raises:
            WebhookReceiverError: nobody listens there.
        """
        rows: list[Row] = []
        with closing(self._http):
            for row in self._rows():
                rows.append(row)
                yield row
        yield judge_speed(rows)

    def _rows(self) -> Iterator[Row]:
        first = self._try_genuine(CASES[0])
        if first.outcome == "ok":
            yield first
            for case in CASES[1:]:
                yield self._try_genuine(case) if case.is_genuine else self._try_forged(case)
            return
        if not _is_answered(first):
            yield first
            for case in CASES[1:]:
                yield _skipped(case, "there was no answer to the first webhook")
            return
        tried = {case.name: self._try_genuine(case) for case in CASES[1:] if case.is_genuine}
        is_any_accepted = any(row.outcome == "ok" for row in tried.values())
        judged = {row.name: row for row in with_common_cause([first, *tried.values()])}
        for case in CASES:
            if case.is_genuine:
                yield judged[case.name]
            elif is_any_accepted:
                yield self._try_forged(case)
            else:
                yield _skipped(case, "not meaningful until the endpoint accepts a valid webhook")

    def _try_genuine(self, case: Case) -> Row:
        if len(self._secrets) < case.needs_secrets:
            return _skipped(case, "give --webhook-secret twice, newest first")
        return judge_genuine(case, self._deliver(case))

    def _try_forged(self, case: Case) -> Row:
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
        note = "acknowledged only at the second attempt; the platform makes no third one"
    return Row(case.name, "accept", "ok", attempts, note)


def judge_forged(case: Case, attempts: tuple[Attempt, ...]) -> Row:
    """The row for what is to be refused."""
    if any(attempt.accepted for attempt in attempts):
        return Row(case.name, "refuse", "failed", attempts, f"it was accepted; {case.advice}")
    retried = [attempt for attempt in attempts if attempt.is_retried]
    note = f"{_shown(retried[0])} makes the platform retry; answer 401" if retried else ""
    return Row(case.name, "refuse", "ok", attempts, note)


def judge_speed(rows: Sequence[Row]) -> Row:
    """The row for how long the endpoint took, over all that was sent."""
    slowest = max((attempt for row in rows for attempt in row.attempts), key=lambda each: each.took_seconds)
    if slowest.took_seconds >= DELIVERY_TIMEOUT_SECONDS:
        return Row(SLOW_ROW, "in time", "failed", (slowest,), f"too slow for the platform; {_SHORTER}")
    if not any(row.expects == "accept" and row.outcome == "ok" for row in rows):
        return Row(SLOW_ROW, "in time", "skipped", note="not measured: no webhook was accepted")
    if slowest.took_seconds >= _NEAR_SECONDS:
        took = f"{slowest.took_seconds:.1f} s of the {DELIVERY_TIMEOUT_SECONDS:g} s that the platform waits"
        return Row(SLOW_ROW, "in time", "ok", (slowest,), f"{took}; {_SHORTER}")
    return Row(SLOW_ROW, "in time", "ok", (slowest,))


def with_common_cause(rows: Sequence[Row]) -> list[Row]:
    """The rows; when all were answered alike, the large one aside, the first names that one cause."""
    alike = [row for row in rows if row.outcome != "skipped" and row.name != LARGE_ROW]
    statuses = {attempt.status_code for row in alike for attempt in row.attempts}
    if len(statuses) != 1 or any(row.outcome == "ok" for row in alike):
        return list(rows)
    status = statuses.pop()
    cause = _NOT_PROVEN if status in (401, 403) else _why_answered(status) or f"{_SAME_ANSWER}: {status}"
    shared = {
        row.name: replace(row, note=f"the same cause: {status or 'no answer'} to every webhook")
        for row in rows
        if {attempt.status_code for attempt in row.attempts} == {status}
    }
    shared[alike[0].name] = replace(alike[0], note=cause)
    return [shared.get(row.name, row) for row in rows]


def _why_refused(case: Case, attempt: Attempt) -> str:
    """What to do about this answer to a webhook that ought to be accepted."""
    if attempt.status_code is None and attempt.took_seconds >= DELIVERY_TIMEOUT_SECONDS:
        return f"{attempt.problem}; the platform makes no third attempt; {_SHORTER}"
    if attempt.status_code is None:
        return f"the connection broke ({attempt.problem}): check the endpoint's log; {case.advice}"
    if attempt.status_code >= 500:
        return f"the endpoint fails ({attempt.status_code}): check its log; {case.advice}"
    return _why_answered(attempt.status_code) or case.advice


def _why_answered(status_code: int | None) -> str | None:
    """What such an answer means to whatever webhook it is; None when it may be the webhook's own fault."""
    match status_code:
        case None:
            return "the connection breaks each time: check the endpoint's log"
        case 404 | 405 | 410:
            return f"it does not accept POST ({status_code}); check the path of the URL"
        case status if 300 <= status < 400:
            return "redirects are not followed; use the final URL"
        case status if status >= 500:
            return f"the endpoint fails each time ({status}): check its log"
    return None


def _shown(attempt: Attempt) -> str:
    return str(attempt.status_code) if attempt.status_code is not None else "no answer"


def _skipped(case: Case, note: str) -> Row:
    return Row(case.name, "accept" if case.is_genuine else "refuse", "skipped", note=note)


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
