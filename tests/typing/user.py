"""What a user writes, with every public name and every fixture: free of errors for strict type checkers."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from fastapi import Depends, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import assert_type

import truss_async
from truss_async import (
    ArtifactReference,
    AsyncOutputModel,
    AsyncPlatformClient,
    AsyncPredictRequest,
    AsyncPredictResult,
    Batch,
    BatchSettings,
    Deduplicator,
    FaultKind,
    FaultRule,
    Harness,
    HarnessSettings,
    OutputStore,
    PlatformClient,
    TrussAsyncError,
    WebhookMiddleware,
    WebhookVerificationError,
    flask_webhook,
    on_result,
    save_output,
    starlette_webhook,
    verify_webhook,
)
from truss_async.clock import ManualClock
from truss_async.contract import InferenceRetryConfig, RequestStatus, WebhookStatus
from truss_async.errors import ObjectNotFoundError, RequestFailedError
from truss_async.model import save_counts
from truss_async.webhooks import SqliteHandledStore, WebhookReceiver, signature_header, verify_wsgi

assert_type(truss_async.__version__, str)


class Greeting(TypedDict):
    text: str


class Model(AsyncOutputModel):
    output_url = "memory://outputs"

    def load(self) -> None:
        self.greetings = {"en": "Hello", "fr": "Bonjour"}

    def predict(self, model_input: dict[str, str]) -> Greeting:
        return {"text": f"{self.greetings[model_input['language']]}, {self.context['request_id']}!"}


class Decorated:
    async def predict(self, model_input: dict[str, str]) -> int:
        return len(model_input["text"])

    @save_output(url="memory://outputs", format="raw", save_errors=False)
    def postprocess(self, model_output: int) -> dict[str, int]:
        return {"count": model_output}


class DecoratedWithoutSettings:
    @save_output
    async def predict(self, model_input: dict[str, str]) -> int:
        return len(model_input["text"])


assert_type(Decorated().postprocess(1), dict[str, int])
assert_type(save_counts(Model()).saved, int)


async def call_the_model() -> None:
    assert_type(await DecoratedWithoutSettings().predict({"text": "one"}), int)


def read(outputs: OutputStore, request_id: str) -> bytes:
    try:
        result = outputs.get(request_id)
    except (ObjectNotFoundError, RequestFailedError) as error:
        raise SystemExit(str(error)) from error
    assert_type(result, AsyncPredictResult)
    result = outputs.wait(request_id, timeout_seconds=5)
    for info in outputs.list(since=datetime.now().astimezone() - timedelta(days=1)):
        assert_type(info.request_id, str)
    reference = ArtifactReference.model_validate(result.data)
    assert_type(outputs.presign(request_id, expires_in=timedelta(hours=1)), str)
    with outputs.open_artifact(reference) as file:
        return file.read()


async def run_many(url: str) -> None:
    async with AsyncPlatformClient(url, api_key="any", store="s3://bucket/outputs") as client:
        assert_type(await client.run({"name": "Ada"}, priority=1), AsyncPredictResult)
        async for number, result in client.map([{"name": "Ada"}], max_open=10):
            assert_type(number, int)
            assert_type(result, AsyncPredictResult)
    settings = BatchSettings(input="in.jsonl", out="out.jsonl", url=url, receive=True)
    end = await Batch(settings, api_key="any").run()
    assert_type(end.progress.done, int)
    assert_type(end.is_interrupted, bool)


def serve(truss: Path) -> None:
    settings = HarnessSettings(truss_dir=truss, port=0)
    with Harness(settings) as harness, PlatformClient(harness.url, api_key="any") as client:
        harness.wait_ready(timeout_seconds=60)
        accepted = client.submit(
            model_input={"name": "Ada"},
            webhook_endpoint="https://example.com/webhook",
            priority=1,
            inference_retry_config=InferenceRetryConfig(max_attempts=2),
        )
        answer = client.wait(accepted.request_id, timeout_seconds=60)
        assert_type(answer.status, RequestStatus)
        assert_type(answer.webhook_status, WebhookStatus)
        try:
            client.cancel(accepted.request_id)
        except TrussAsyncError as error:
            print(error)


def serve_in_this_process() -> None:
    clock = ManualClock(datetime.now().astimezone())
    with Harness(
        HarnessSettings(model=str.upper, port=0, webhook_secrets=("whsec_a",)), clock=clock
    ) as harness:
        harness.faults.add(FaultRule(kind=FaultKind.WEBHOOK_DROPPED, attempt=1))
        request = harness.submit(
            "one", webhook_endpoint="http://127.0.0.1:8099", max_time_in_queue_seconds=60
        )
        clock.advance(hours=72)
        assert_type(request.story, str)
        assert request.wait() == "SUCCEEDED"


def handle(result: AsyncPredictResult) -> None:
    print(result.request_id, result.errors or result.data)


async def handle_later(result: AsyncPredictResult) -> None:
    print(result.time)


inbox = on_result(handle, path="inbox.sqlite")
other_inbox = on_result(handle_later, path=Path("other.sqlite"))
deduplicator = Deduplicator(store=SqliteHandledStore(Path("handled.sqlite")))


def receive(body: bytes, headers: dict[str, str]) -> int:
    try:
        result = verify_webhook(body, headers, ["whsec_new", "whsec_old"], tolerance=60)
    except WebhookVerificationError as error:
        return error.status_code
    deduplicator.handle(result, handle)
    return 200


fastapi = FastAPI()


@fastapi.post("/webhook")
def fastapi_webhook(result: Annotated[AsyncPredictResult, Depends(starlette_webhook())]) -> None:
    inbox.accept(result)


async def starlette_endpoint(request: Request) -> Response:
    result = await starlette_webhook(["whsec_a"])(request)
    await asyncio.to_thread(inbox.accept, result)
    return Response()


asgi = WebhookMiddleware(Starlette(), path="/webhook")
flask = Flask(__name__)


@flask.post("/webhook")
@flask_webhook(["whsec_a"])
def flask_endpoint(result: AsyncPredictResult) -> dict[str, Any]:
    inbox.accept(result)
    return {}


def wsgi_endpoint(environ: dict[str, Any]) -> None:
    inbox.accept(verify_wsgi(environ))


def received() -> str:
    request = AsyncPredictRequest(model_input={"name": "Ada"})
    with WebhookReceiver(secrets=["whsec_a"]) as receiver:
        assert_type(signature_header(request.model_dump_json().encode(), ["whsec_a"]), str)
        return receiver.url


@pytest.fixture
def async_harness_settings() -> dict[str, Any]:
    return {"model": Model()}


@pytest.mark.async_harness(model=Model)
def test_results_are_delivered_and_saved(
    async_harness: Harness, webhook_receiver: WebhookReceiver, output_store: OutputStore
) -> None:
    webhook_receiver.answer_next(503)
    request = async_harness.submit({"language": "fr"}, webhook_endpoint=webhook_receiver.url)
    assert webhook_receiver.wait_for(request).result.data == {"text": "Bonjour"}
    assert [attempt.status_code for attempt in async_harness.deliveries] == [503, 200]
    assert output_store.get(request.request_id).errors == []
    async_harness.clock.advance(seconds=61)
