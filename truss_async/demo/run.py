"""The whole path, for real: an S3 server, the harness on a truss, a webhook receiver, and pages to read."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import httpx
from pydantic import ValidationError

from ..client import PlatformClient
from ..clock import SYSTEM_CLOCK
from ..contract import ArtifactReference, RequestStatus, WebhookStatus
from ..errors import HarnessError, OutputStoreError, RequestFailedError
from ..harness.harness import Harness
from ..harness.scratch_folders import scratch_folder
from ..harness.settings import HarnessSettings
from ..stores import OutputStore
from ..stores.layout import default_keys
from ..webhooks import WebhookReceiver
from .outcomes import PageOutcome, StoredOutput, Submission
from .s3_server import S3Server
from .screen import Screen

if TYPE_CHECKING:
    from ..clock import MovableClock
    from ..contract import AsyncRequestStatus

BUCKET: Final = "demo"
PAGES: Final = "pages"
OUTPUTS: Final = "outputs"
_OUTPUT_URL: Final = f"s3://{BUCKET}/{OUTPUTS}"
_ANY_KEY: Final = "demo"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_POLL_SECONDS: Final = 0.25
# The first run installs the truss's requirements while its requests wait.
_MAX_TIME_IN_QUEUE_SECONDS: Final = 3600


def run_demo(
    truss_dir: Path,
    *,
    output_dir: Path,
    cache_dir: Path | None = None,
    screen: Screen | None = None,
    clock: MovableClock = SYSTEM_CLOCK,
) -> list[str]:
    """Send every page of the truss's folder ``pages`` through async inference and show a table of what became of it.

    Returns one line for each thing that did not hold. Everything that is started is stopped when it returns, however it
    returns. Raises HarnessError when something does not start.
    """
    pages = _pages_of(truss_dir)
    model_log = _open_model_log(output_dir)
    screen = screen or Screen(clock=clock)
    secret = f"whsec_{secrets.token_hex(19)}"
    with ExitStack() as started, model_log:
        state_dir = started.enter_context(scratch_folder())
        s3 = started.enter_context(S3Server(clock=clock))
        _put_pages(s3, pages)
        screen.say(f"S3 server on {s3.endpoint_url}: {len(pages)} pages put into s3://{BUCKET}/{PAGES}/")
        receiver = started.enter_context(WebhookReceiver(secrets=(secret,), clock=clock))
        harness = started.enter_context(
            Harness(
                HarnessSettings(
                    truss_dir=truss_dir,
                    port=0,
                    state_dir=state_dir,
                    webhook_secrets=(secret,),
                    cache_dir=cache_dir,
                ),
                clock=clock,
                report=screen.say,
                log=lambda line: print(line, file=model_log),
                environment={**s3.environment(), "TRUSS_ASYNC_OUTPUT_URL": _OUTPUT_URL},
            )
        )
        screen.say(f"harness on {harness.url} serves {truss_dir}; webhooks go to {receiver.url}")
        client = started.enter_context(PlatformClient(harness.url, api_key=_ANY_KEY, clock=clock))
        own = started.enter_context(_client_of_own_paths(harness.url))
        submissions = _submit(pages, client, webhook_endpoint=receiver.url)
        screen.say(f"{len(submissions)} async requests accepted; they stay queued until the model is loaded")
        statuses = _watch(submissions, client, own, screen=screen, clock=clock)
        store = OutputStore.from_url(_OUTPUT_URL, credentials=s3.credentials())
        outcomes = [
            _conclude(each, statuses[each.request_id], own, receiver, store, output_dir=output_dir)
            for each in submissions
        ]
    screen.show_table(outcomes)
    screen.show_files(
        output_dir,
        [annotated_name(each.submission.page) for each in outcomes if each.stored.annotated is not None],
    )
    return [f"{each.submission.page}: {problem}" for each in outcomes for problem in each.problems]


def annotated_name(page: str) -> str:
    """The file in the output folder that shows what was read on a page."""
    return f"{Path(page).stem}-annotated.png"


def _pages_of(truss_dir: Path) -> list[Path]:
    pages = sorted((truss_dir / "pages").glob("*.png"))
    if not pages:
        raise HarnessError(
            f"no pages/*.png in {truss_dir}: run the demo from a clone, or give a truss that reads pages"
        )
    return pages


def _open_model_log(output_dir: Path) -> TextIO:
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        return (output_dir / "model.log").open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise HarnessError(
            f"cannot write to {output_dir}: {error.strerror}; give another with --output"
        ) from None


def _put_pages(s3: S3Server, pages: Sequence[Path]) -> None:
    s3.create_bucket(BUCKET)
    client = s3.client()
    for page in pages:
        client.put_object(
            Bucket=BUCKET, Key=f"{PAGES}/{page.name}", Body=page.read_bytes(), ContentType="image/png"
        )


def _submit(pages: Sequence[Path], client: PlatformClient, *, webhook_endpoint: str) -> list[Submission]:
    """Submit the pages, the least urgent ones first, so that the queue has something to put in order."""
    submissions = []
    for number, page in enumerate(pages):
        priority = 2 - number % 3
        accepted = client.submit(
            model_input={"page": f"s3://{BUCKET}/{PAGES}/{page.name}"},
            webhook_endpoint=webhook_endpoint,
            priority=priority,
            max_time_in_queue_seconds=_MAX_TIME_IN_QUEUE_SECONDS,
        )
        submissions.append(Submission(page.name, accepted.request_id, priority))
    return submissions


def _watch(
    submissions: Sequence[Submission],
    client: PlatformClient,
    own: httpx.Client,
    *,
    screen: Screen,
    clock: MovableClock,
) -> dict[str, AsyncRequestStatus]:
    """Say each change of status, until nothing more will happen; raise HarnessError when the model does not load."""
    known: dict[str, AsyncRequestStatus] = {}
    with screen.busy(f"reading {len(submissions)} pages"):
        while True:
            for each in submissions:
                status = client.status(each.request_id)
                before, known[each.request_id] = known.get(each.request_id), status
                if (after := _progress(status)) != (
                    _progress(before) if before else RequestStatus.QUEUED.value
                ):
                    screen.say(f"{each.page}, priority {each.priority}: {after}")
            if all(_is_over(status) for status in known.values()):
                return known
            health = _get(own, "/healthz")
            if health["model"] == "failed":
                raise HarnessError(health["error"])
            clock.block(_POLL_SECONDS)


def _client_of_own_paths(url: str) -> httpx.Client:
    """For what only a harness answers; no proxy leads to this machine."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Api-Key {_ANY_KEY}"}, trust_env=False)


def _get(own: httpx.Client, path: str) -> dict[str, Any]:
    try:
        answer = own.get(path).raise_for_status().json()
    except httpx.HTTPError as error:
        raise HarnessError(f"the harness does not answer {path}: {error}") from error
    return dict(answer)


def _progress(status: AsyncRequestStatus) -> str:
    """Where a request stands, in words that change when it moves on."""
    if not status.status.is_final:
        return status.status.value
    return f"{status.status.value}, webhook {status.webhook_status.value}"


def _is_over(status: AsyncRequestStatus) -> bool:
    return status.status.is_final and status.webhook_status is not WebhookStatus.PENDING


def _conclude(
    submission: Submission,
    status: AsyncRequestStatus,
    own: httpx.Client,
    receiver: WebhookReceiver,
    store: OutputStore,
    *,
    output_dir: Path,
) -> PageOutcome:
    request_id = submission.request_id
    record = _get(own, f"/_harness/requests/{request_id}")
    delivery = next((each for each in receiver.deliveries if each.request_id == request_id), None)
    stored = _read_back(store, request_id)
    if stored.result is not None:
        result_file = output_dir / f"{Path(submission.page).stem}.json"
        result_file.write_text(stored.result.model_dump_json(indent=2), encoding="utf-8")
    if stored.annotated is not None:
        (output_dir / annotated_name(submission.page)).write_bytes(stored.annotated)
    return PageOutcome(
        submission=submission,
        status=status,
        queue_seconds=_seconds(record["created_at"], record["started_at"]),
        inference_seconds=_seconds(record["started_at"], record["finished_at"]),
        delivery=delivery,
        stored=stored,
    )


def _read_back(store: OutputStore, request_id: str) -> StoredOutput:
    """What the model saved under this request id, and the annotated page that belongs to it."""
    key = f"{OUTPUTS}/{default_keys(request_id).result}"
    try:
        result = store.get(request_id)
    except (OutputStoreError, RequestFailedError) as error:
        return StoredOutput(key, problem=str(error))
    try:
        reference = ArtifactReference.model_validate(result.data["annotated"])
        with store.open_artifact(reference) as file:
            annotated = file.read()
    except OutputStoreError as error:
        return StoredOutput(key, result=result, problem=str(error))
    except (KeyError, TypeError, ValidationError):
        return StoredOutput(key, result=result, problem=f"{key} does not refer to an annotated page")
    if not annotated.startswith(_PNG):
        return StoredOutput(key, result=result, problem=f"{reference.url} is not a PNG image")
    return StoredOutput(key, result=result, annotated=annotated)


def _seconds(begin: str | None, end: str | None) -> float | None:
    if begin is None or end is None:
        return None
    return (_moment(end) - _moment(begin)).total_seconds()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
