"""The harness of a batch trial: ``python -m tests.acceptance.trial_harness --folder …``. It answers nothing but the contract."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Literal

from cyclopts import App

from truss_async import AsyncOutputModel, FaultKind, FaultRule, Harness, HarnessSettings

BUCKET = "trial"

Source = Literal["receive", "store"]


class Counting:
    """A model that takes no time, and counts in a file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def predict(self, model_input: Any) -> Any:
        os.write(self._descriptor, b".")
        return {"n": model_input["n"]}


def saving(model: Counting) -> type[AsyncOutputModel]:
    """The same with the plugin."""

    class Saving(AsyncOutputModel):
        output_url = f"s3://{BUCKET}/outputs"

        async def predict(self, model_input: dict[str, Any]) -> Any:
            return await model.predict(model_input)

    return Saving


def block_own_calls(refused: Path) -> None:
    """Let the harnesses of this process answer nothing that the platform would not."""
    from truss_async.harness.api.app import Api

    answer = Api.__call__

    async def guarded(self: Api, scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].startswith(("/production/", "/async_request/")):
            with refused.open("a") as file:
                file.write(f"{scope['method']} {scope['path']}\n")
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        await answer(self, scope, receive, send)

    Api.__call__ = guarded  # type: ignore[method-assign]


app = App()


@app.default
def serve(
    *, folder: Path, port: int, source: Source, seed: int, share_failing: float, has_limits: bool = False
) -> None:
    """The harness of a trial, in this process."""
    block_own_calls(folder / "refused")
    model = Counting(folder / "inferred")
    failing = [FaultKind.MODEL_500, *([FaultKind.WEBHOOK_DROPPED] if source == "receive" else [])]
    settings = HarnessSettings(
        model=saving(model) if source == "store" else model.predict,
        predict_concurrency=32,
        port=port,
        state_dir=folder / "state",
        limits="current" if has_limits else "none",
        quiet=True,
        faults=tuple(
            FaultRule(kind=kind, rate=share_failing, seed=seed) for kind in failing if share_failing
        ),
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with Harness(settings, stories=False, log=lambda _: None) as harness:
        print(f"listening on {harness.url}", flush=True)
        ended.wait()


if __name__ == "__main__":
    sys.exit(app())
