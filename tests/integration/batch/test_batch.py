"""Batches against a harness: every line has its result or its reason, and an interrupted one goes on."""

import asyncio
import gzip
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from tests.integration.batch.conftest import QUICK, Files, Served
from truss_async import AsyncPlatformClient, AsyncPredictResult, FaultKind, FaultRule, PlatformClient
from truss_async.client import Inbox
from truss_async.client.batch import Batch, batch_status, export_results, put_back_failed
from truss_async.client.batch.run_lock import RunLock
from truss_async.errors import ApiKeyRefusedError, RequestFailedError, SettingsError
from truss_async.webhooks import WebhookReceiver
from truss_async.whole_files import write_whole

Serve = Callable[..., Served]


def square(x: Any) -> Any:
    return {"square": x * x}


def test_each_line_has_its_result_or_its_reason(serve: Serve, tmp_path: Path) -> None:
    harness = serve(square)
    files = Files(tmp_path, harness.url)
    files.write(2, {"custom_id": "b", "model_input": 3, "priority": 1}, {"custom_id": "c", "body": 4})
    with (tmp_path / "in.jsonl").open("a") as more:
        more.write('\n{"cut":\n{"custom_id": "d", "model_input": 1, "priority": 9}\n')
    end = files.run()
    assert files.results() == {"line-1": {"square": 4}, "b": {"square": 9}, "c": {"square": 16}}
    errors = files.errors()
    assert {name: code for name, (code, _) in errors.items()} == {"line-5": "REFUSED", "d": "REFUSED"}
    assert "priority" in errors["d"][1]
    assert (end.progress.done, end.progress.failed, end.is_interrupted) == (3, 2, False)
    assert end.errors == str(tmp_path / "out.errors.jsonl")


def test_a_row_is_that_of_openais_batch_output(serve: Serve, tmp_path: Path) -> None:
    files = Files(tmp_path, serve(square).url)
    files.write(2)
    files.run()
    row = json.loads(files.out.read_text())
    request_id = row["id"]
    assert row == {
        "id": request_id,
        "custom_id": "line-1",
        "response": {"status_code": 200, "request_id": request_id, "body": {"square": 4}},
        "error": None,
    }


def test_lost_webhooks_and_failed_inferences_are_submitted_again(serve: Serve, tmp_path: Path) -> None:
    dropped = FaultRule(kind=FaultKind.WEBHOOK_DROPPED, rate=0.5, seed=1, times=12)
    failed = FaultRule(kind=FaultKind.MODEL_500, rate=0.5, seed=2, times=12)
    harness = serve(square, faults=(dropped, failed))
    files = Files(tmp_path, harness.url, {"attempts": 10})
    files.write(*({"model_input": i, "inference_retry_config": {"max_attempts": 1}} for i in range(40)))
    end = files.run()
    assert files.results() == {f"line-{i + 1}": {"square": i * i} for i in range(40)}
    assert files.errors() == {}
    assert end.progress.submissions > 40


def test_a_failure_says_why_and_retry_mends_it(serve: Serve, tmp_path: Path) -> None:
    ill = {3, 5}

    def model(x: int) -> int:
        if x in ill:
            raise ValueError(f"{x} is ill")
        return x

    harness = serve(model)
    files = Files(tmp_path, harness.url, {"attempts": 2})
    files.write(*({"model_input": i, "inference_retry_config": {"max_attempts": 1}} for i in range(1, 7)))
    end = files.run()
    assert {code for code, _ in files.errors().values()} == {"MODEL_PREDICT_ERROR"}
    assert set(files.errors()) == {"line-3", "line-5"}
    assert end.progress.submissions == 4 + 2 * 2
    ill.clear()
    assert put_back_failed(files.ledger, kinds=["expired", "lost"]) == 0
    assert put_back_failed(files.ledger) == 2
    files.run()
    assert files.results() == {f"line-{i}": i for i in range(1, 7)}
    assert files.errors() == {}


def test_a_finished_batch_runs_again_without_a_submission(serve: Serve, tmp_path: Path) -> None:
    harness = serve(square)
    files = Files(tmp_path, harness.url)
    files.write(1, 2)
    files.run()
    before = files.out.read_bytes()
    harness.close()
    assert files.run().progress.submissions == 2
    assert files.out.read_bytes() == before


def test_what_is_stopped_goes_on_and_infers_nothing_twice(serve: Serve, tmp_path: Path) -> None:
    seen: Counter[int] = Counter()

    def model(x: int) -> int:
        seen[x] += 1
        return x

    files = Files(tmp_path, serve(model).url, {"max_open": 4})
    files.write(*range(120))

    async def stop_early() -> None:
        batch = Batch(files.settings(), api_key="k", patience=QUICK)
        running = asyncio.ensure_future(batch.run())
        while batch.progress().done < 10:
            await asyncio.wait([running], timeout=0.01)
        batch.stop()
        assert (await running).is_interrupted

    asyncio.run(stop_early())
    assert 10 <= len(files.results()) < 120
    status = batch_status(files.ledger)
    assert status.done + status.open + status.waiting == 120
    files.run()
    assert files.results() == {f"line-{i + 1}": i for i in range(120)}
    twice = sum(seen.values()) - 120
    assert twice <= 4  # whose webhook came while nobody listened


def test_another_input_output_or_run_is_refused(serve: Serve, tmp_path: Path) -> None:
    files = Files(tmp_path, serve(square).url)
    files.write(1)
    files.run()
    files.write(1, 2)
    with pytest.raises(SettingsError, match="another input than that of the ledger"):
        files.run()
    files.write(1)
    with pytest.raises(SettingsError, match="another --bare"):
        files.run(bare=True)
    lock = RunLock(tmp_path / "out.jsonl.ledger.lock", ledger=files.ledger)
    with pytest.raises(SettingsError, match="another run is at work"):
        files.run()
    lock.release()
    files.ledger.unlink()
    with pytest.raises(SettingsError, match="is there already"):
        files.run()


def test_an_output_that_is_gone_is_not_silently_paid_for_again(serve: Serve, tmp_path: Path) -> None:
    files = Files(tmp_path, serve(square).url)
    files.write(1)
    files.run()
    files.out.unlink()
    with pytest.raises(SettingsError, match="is gone, and with it 1 results"):
        files.run()


def test_half_a_line_at_the_end_is_cut_off(serve: Serve, tmp_path: Path) -> None:
    files = Files(tmp_path, serve(square).url)
    files.write(1, 2, 3)
    files.run(limit=2)
    assert len(files.results()) == 2
    with files.out.open("a") as out:
        out.write('{"id": "half')
    files.run()
    assert len(files.results()) == 3


@pytest.mark.parametrize("was_taken", [True, False])
def test_an_answer_from_on_the_way_leaves_open_whether_the_call_was_taken(
    serve: Serve, tmp_path: Path, was_taken: bool
) -> None:
    served = serve(lambda x: x)
    served.front.answer_next("/async_predict", 502, passes_on=was_taken)
    files = Files(tmp_path, served.url)
    files.write(*range(8))
    end = files.run()
    assert files.results() == {f"line-{i + 1}": i for i in range(8)}
    assert end.progress.unanswered == batch_status(files.ledger).unanswered == 1
    # The result of what was taken finds its line, most often before that is submitted again.
    assert end.progress.submissions in ((8, 9) if was_taken else (9,))


def test_a_refused_key_stops_at_once_and_costs_no_line(serve: Serve, tmp_path: Path) -> None:
    harness = serve(square, api_key="right")
    files = Files(tmp_path, harness.url)
    files.write(*range(5))
    with pytest.raises(ApiKeyRefusedError, match="refused the API key"):
        files.run(api_key="wrong")
    assert batch_status(files.ledger).waiting == 5
    files.run(api_key="right")
    assert len(files.results()) == 5


def test_check_sends_nothing_when_one_line_is_bad(serve: Serve, tmp_path: Path) -> None:
    seen: list[Any] = []
    files = Files(tmp_path, serve(lambda x: seen.append(x)).url)
    files.write(1, {"model_input": 2, "priority": 7}, "x" * 300_000)
    batch = Batch(files.settings(), api_key="k", checks=True)
    with pytest.raises(
        SettingsError, match=r"2 of 3 lines would be refused: line 2: priority.*line 3: payload"
    ):
        asyncio.run(batch.run())
    assert seen == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.jsonl"]


@pytest.mark.parametrize("name", ["ordered.jsonl", "packed.jsonl.gz"])
def test_ordered_and_packed_outputs_are_written_at_the_end(serve: Serve, tmp_path: Path, name: str) -> None:
    files = Files(tmp_path, serve(square).url)
    files.write(*range(30))
    out = tmp_path / name
    files.run(out=str(out), ordered=True)
    text = out.read_bytes()
    rows = (gzip.decompress(text) if name.endswith(".gz") else text).splitlines()
    assert [json.loads(row)["custom_id"] for row in rows] == [f"line-{i + 1}" for i in range(30)]
    exported = tmp_path / "exported.jsonl"
    assert export_results(tmp_path / f"{name}.ledger", out=str(exported)) == 30
    assert exported.read_bytes().splitlines() == rows


class Saves:
    """A model that saves what the plugin would; of every seventh input, at first only the beginning."""

    def __init__(self, outputs: Path) -> None:
        self._outputs = outputs
        self._cut: set[int] = set()

    def load(self) -> None: ...

    def predict(self, x: int, request: Request) -> int:
        request_id = request.headers["x-baseten-request-id"]
        now = datetime(2026, 1, 1, tzinfo=timezone.utc)
        body = AsyncPredictResult(request_id=request_id, time=now, data=x).model_dump_json().encode()
        if x % 7 == 6 and x not in self._cut:
            self._cut.add(x)
            body = body[:40]
        write_whole(self._outputs / f"{request_id}.json", body)
        return x


def test_results_are_found_in_the_output_store_and_damaged_ones_made_again(
    serve: Serve, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    files = Files(tmp_path, serve(Saves(outputs)).url)
    files.write(*range(40))
    end = files.run(store=outputs.as_uri())
    assert files.results() == {f"line-{i + 1}": i for i in range(40)}
    assert end.progress.submissions == 40 + 5


def test_results_are_found_in_an_inbox(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    inbox = Inbox(folder)

    def on_delivery(delivery: Any) -> None:
        inbox.keep(delivery.result.request_id, delivery.body)

    files = Files(tmp_path, serve(square).url)
    files.write(*range(20))
    with WebhookReceiver(on_delivery=on_delivery) as receiver:
        files.run(inbox=str(folder), webhook_endpoint=receiver.url)
    assert files.results() == {f"line-{i + 1}": {"square": i * i} for i in range(20)}


def test_a_client_without_a_loop_runs_and_maps_as_well(serve: Serve, tmp_path: Path) -> None:
    here = threading.get_ident()
    drawn_in: set[int] = set()

    def inputs() -> Iterator[int]:
        for number in range(25):
            drawn_in.add(threading.get_ident())
            yield number

    url = serve(Saves(tmp_path)).url
    with PlatformClient(url, api_key="k", store=tmp_path.as_uri()) as client:
        assert client.run(5).data == 5
        assert {number: result.data for number, result in client.map(inputs(), max_open=4)} == {
            number: number for number in range(25)
        }
        assert drawn_in == {here}
        first, result = next(client.map(iter(range(10**9)), max_open=2))
        assert result.data == first


def test_what_a_loopless_map_cannot_go_on_with_is_raised(serve: Serve, tmp_path: Path) -> None:
    def inputs() -> Iterator[int]:
        yield 1
        raise RuntimeError("the disk is gone")

    url = serve(Saves(tmp_path), api_key="right").url
    with PlatformClient(url, api_key="right", store=tmp_path.as_uri()) as client:
        with pytest.raises(RuntimeError, match="the disk is gone"):
            list(client.map(inputs()))
        assert client.run(2).data == 2
    with PlatformClient(url, api_key="wrong", store=tmp_path.as_uri()) as client:
        with pytest.raises(ApiKeyRefusedError):
            list(client.map([1, 2]))
        with pytest.raises(ApiKeyRefusedError):
            client.run(1)
    with (
        PlatformClient(url, api_key="k") as client,
        pytest.raises(SettingsError, match="where are the results"),
    ):
        client.run(1)


@pytest.mark.asyncio
async def test_run_and_map_return_results_from_the_store(serve: Serve, tmp_path: Path) -> None:
    harness = serve(Saves(tmp_path))
    async with AsyncPlatformClient(harness.url, api_key="k", store=tmp_path.as_uri()) as client:
        assert (await client.run(5)).data == 5
        found = {number: result.data async for number, result in client.map(range(25), max_open=4)}
        assert found == {number: number for number in range(25)}

        async def inputs() -> AsyncIterator[int]:
            for number in (7, 8):
                yield number

        assert {number: result.data async for number, result in client.map(inputs())} == {0: 7, 1: 8}
        assert await client.predict(3) == 3
        assert (await client.queue_status()).num_queued_requests == 0
        await client.wake()


@pytest.mark.asyncio
async def test_a_request_that_fails_is_an_error_of_run_and_a_result_of_map(
    serve: Serve, tmp_path: Path
) -> None:
    def model(x: int) -> int:
        raise ValueError("ill")

    harness = serve(model)
    inbox = Inbox(tmp_path)

    def on_delivery(delivery: Any) -> None:
        inbox.keep(delivery.result.request_id, delivery.body)

    once = {"inference_retry_config": {"max_attempts": 1}}
    with WebhookReceiver(on_delivery=on_delivery) as receiver:
        options: dict[str, Any] = {"webhook_endpoint": receiver.url, **once}
        async with AsyncPlatformClient(harness.url, api_key="k", inbox=tmp_path) as client:
            with pytest.raises(RequestFailedError, match="MODEL_PREDICT_ERROR"):
                await client.run(1, **options)
            found = [each async for each in client.map([1, 2], attempts=1, **options)]
    assert {number: result.errors[0].code for number, result in found} == dict.fromkeys(
        range(2), "MODEL_PREDICT_ERROR"
    )


@pytest.mark.asyncio
async def test_a_client_that_knows_no_place_for_results_says_so() -> None:
    async with AsyncPlatformClient("http://127.0.0.1:1", api_key="k") as client:
        with pytest.raises(SettingsError, match="where are the results"):
            await client.run(1)
