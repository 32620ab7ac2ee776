"""A model that holds every request until it is let go, and how a request ended."""

import threading
from typing import Any

from tests.integration.harness.model_server import Answer, echo
from truss_async.contract import AsyncRequestStatus


def outcome(status: AsyncRequestStatus) -> tuple[str, str]:
    return status.status.value, status.webhook_status.value


class Gate:
    """A model that holds every request until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, model_input: Any) -> Answer:
        self.entered.release()
        assert self.opened.wait(30)
        return echo(model_input)
