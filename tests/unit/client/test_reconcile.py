"""What has become of requests: looked for, asked about within the limits, and told with what to do."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from truss_async.client import AsyncPlatformClient, Inbox, reconcile
from truss_async.client.batch.sources import FolderSource, StoreSource
from truss_async.client.request_lists import ids_of_inbox, ids_of_lines, is_ledger
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import (
    AsyncPredictResult,
    AsyncRequestStatus,
    ErrorDetail,
    RequestStatus,
    WebhookStatus,
)
from truss_async.errors import ApiError, ApiKeyRefusedError, RateLimitedError, SettingsError
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = ErrorDetail(code="MODEL_PREDICT_ERROR", message="Traceback:\nValueError: no")


class KnownStatuses(AsyncPlatformClient):
    """A platform that answers status calls from a table; an error is raised once, and None is 404."""

    def __init__(self, **answers: Any) -> None:
        super().__init__("http://127.0.0.1:1", api_key="k")
        self.answers = answers
        self.asked: list[str] = []

    async def status(self, request_id: str) -> AsyncRequestStatus:
        self.asked.append(request_id)
        answer = self.answers.get(request_id)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, ApiError):
            raise answer
        if answer is None:
            raise ApiError("unknown", status_code=404)
        status, webhook = answer
        return AsyncRequestStatus(
            request_id=request_id,
            model_id="m",
            deployment_id="d",
            status=RequestStatus(status),
            webhook_status=WebhookStatus(webhook),
            created_at=SYSTEM_CLOCK.now(),
            status_at=SYSTEM_CLOCK.now(),
            errors=[BROKEN] if status == "FAILED" else [],
        )


def body(request_id: str, *errors: ErrorDetail) -> bytes:
    return AsyncPredictResult(
        request_id=request_id, time=SYSTEM_CLOCK.now(), errors=list(errors)
    ).as_received()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


async def told(ids: list[str], client: AsyncPlatformClient, *sources: Any) -> dict[str, tuple[str, str]]:
    found = [each async for each in reconcile(ids, client, sources=sources)]
    assert [each.request_id for each in found] == ids
    return {each.request_id: (each.state, each.hint) for each in found}


@pytest.mark.asyncio
async def test_each_is_looked_for_and_only_of_what_is_not_there_the_status_is_asked_for(inbox: Inbox) -> None:
    inbox.keep("there", body("there"))
    inbox.keep("failed", body("failed", BROKEN))
    inbox.keep("damaged", b'{"request_id"')
    client = KnownStatuses(
        queued=("QUEUED", "PENDING"),
        sending=("SUCCEEDED", "PENDING"),
        broken=("FAILED", "SUCCEEDED"),
        late=("EXPIRED", "CANCELED"),
        undelivered=("WEBHOOK_FAILED", "FAILED"),
        delivered=("SUCCEEDED", "SUCCEEDED"),
        silent=("SUCCEEDED", "NO_WEBHOOK_PROVIDED"),
    )
    ids = ["there", "failed", "damaged", *client.answers, "gone"]
    found = await told(ids, client, FolderSource(inbox.folder))
    assert {request_id: state for request_id, (state, _) in found.items()} == {
        "there": "result",
        "failed": "failed",
        "damaged": "lost",
        "queued": "open",
        "sending": "open",
        "broken": "failed",
        "late": "failed",
        "undelivered": "lost",
        "delivered": "lost",
        "silent": "lost",
        "gone": "lost",
    }
    assert sorted(client.asked) == sorted([*client.answers, "gone"])
    for request_id, words in {
        "there": str(inbox.folder),
        "failed": "MODEL_PREDICT_ERROR: ValueError: no; fix that, then submit it again",
        "damaged": "is not an async predict result",
        "queued": "QUEUED",
        "late": "EXPIRED",
        "undelivered": "redeliver",
        "delivered": "--inbox",
        "silent": "--store",
        "gone": "kept for an hour",
    }.items():
        assert words in found[request_id][1], request_id


@pytest.mark.asyncio
async def test_the_error_of_an_attempt_in_the_store_is_final_only_when_the_request_is_over(
    tmp_path: Path,
) -> None:
    outputs = OutputStore.from_url(f"file://{tmp_path}/outputs")
    for request_id in ("open", "over"):
        (tmp_path / "outputs").mkdir(exist_ok=True)
        (tmp_path / "outputs" / f"{request_id}.error.json").write_bytes(body(request_id, BROKEN))
    client = KnownStatuses(open=("IN_PROGRESS", "PENDING"), over=("SUCCEEDED", "SUCCEEDED"))
    found = await told(["open", "over"], client, StoreSource(outputs))
    assert [state for state, _ in found.values()] == ["open", "failed"]


@pytest.mark.asyncio
async def test_what_comes_while_it_is_asked_about_is_found(inbox: Inbox) -> None:
    class Late(KnownStatuses):
        async def status(self, request_id: str) -> AsyncRequestStatus:
            inbox.keep(request_id, body(request_id))
            return await super().status(request_id)

    client = Late(late=("SUCCEEDED", "SUCCEEDED"))
    inbox.folder.mkdir()
    assert (await told(["late"], client, FolderSource(inbox.folder)))["late"][0] == "result"


@pytest.mark.asyncio
async def test_calls_over_the_limit_and_without_an_answer_are_made_again() -> None:
    limited = RateLimitedError("429", status_code=429, retry_after=0.01)
    client = KnownStatuses(
        a=[limited, ("QUEUED", "PENDING")],
        b=[ApiError("503", status_code=503, retry_after=0.01), ("QUEUED", "PENDING")],
    )
    found = await told(["a", "b"], client)
    assert [state for state, _ in found.values()] == ["open", "open"]
    assert sorted(client.asked) == ["a", "a", "b", "b"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (ApiKeyRefusedError("401", status_code=401), 1),
        (ApiError("no answer", retry_after=0.001), 5),
    ],
)
async def test_a_key_that_is_refused_ends_it_at_once_and_a_platform_that_is_down_soon(
    error: ApiError, asked: int
) -> None:
    client = KnownStatuses(a=[error])
    with pytest.raises(type(error)):
        await told(["a"], client)
    assert len(client.asked) == asked


def test_ids_come_as_lines_or_in_json() -> None:
    lines = [
        "# ids",
        "",
        " ab12 ",
        '{"request_id": "cd34"}',
        json.dumps({"id": "row", "response": {"request_id": "ef56", "body": 1}}),
    ]
    assert list(ids_of_lines(lines, what="ids.txt")) == ["ab12", "cd34", "ef56"]


@pytest.mark.parametrize("line", ["two words", '{"other": 1}', "{", '{"request_id": 3}'])
def test_a_line_without_an_id_is_named(line: str) -> None:
    with pytest.raises(SettingsError, match=r"ids.txt, line 2: there is no request id"):
        list(ids_of_lines(["a", line], what="ids.txt"))


def test_ids_of_an_inbox_are_those_since_then_whatever_they_look_like(inbox: Inbox) -> None:
    inbox.keep("../é", body("../é"))
    inbox.keep("plain", body("plain"))
    assert sorted(ids_of_inbox(inbox.folder, since=None)) == ["../é", "plain"]
    assert list(ids_of_inbox(inbox.folder, since=SYSTEM_CLOCK.now().replace(year=2999))) == []


def test_a_file_of_sqlite_is_taken_for_a_ledger_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\n")
    with closing(sqlite3.connect(tmp_path / "x.ledger")) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
    assert is_ledger(tmp_path / "x.ledger")
    assert not is_ledger(tmp_path / "ids.txt")
    with pytest.raises(SettingsError, match="cannot read"):
        is_ledger(tmp_path / "nothing")
