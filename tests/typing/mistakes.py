"""Mistakes that a strict type checker finds in a user's file, each in a line that ends in ``# wrong``."""

from __future__ import annotations

from pathlib import Path

from truss_async import AsyncPredictResult, Harness, HarnessSettings, save_output, verify_webhook
from truss_async.webhooks import WebhookReceiver

settings = HarnessSettings(truss_dir=Path(), port="free")  # wrong
settings = HarnessSettings(trussdir=Path())  # wrong


class Model:
    @save_output
    def predict(self, model_input: dict[str, str]) -> int:
        return len(model_input)


text: str = Model().predict({})  # wrong


def serve(receiver: WebhookReceiver) -> None:
    with Harness(settings) as harness:
        harness.submit("one", webhook=receiver.url)  # wrong
        request = harness.submit("one", webhook_endpoint=receiver.url)
        print(receiver.wait_for(request).result.output)  # wrong


def receive(body: str, headers: dict[str, str]) -> AsyncPredictResult:
    return verify_webhook(body, headers)  # wrong
