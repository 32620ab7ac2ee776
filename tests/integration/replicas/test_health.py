"""What the health checks see of a real Truss server."""

from __future__ import annotations

import asyncio
import textwrap
from typing import TYPE_CHECKING

from truss_async.replicas.truss_replica import ProcessReplica

if TYPE_CHECKING:
    from tests.integration.replicas.conftest import Stage

DEADLINE_SECONDS = 60
THREADS_OF_THE_SERVER = 40


def test_busy_threads_are_healthy_and_the_models_own_is_healthy_counts_from_the_start_on(
    stage: Stage,
) -> None:
    model = """
        import threading

        class Model:
            def load(self):
                self.opened = threading.Event()
                self.checks = 0

            async def is_healthy(self):
                print("checked", flush=True)
                self.checks += 1
                return self.checks in (3, 4)

            def predict(self, model_input):
                print("waits", flush=True)
                self.opened.wait(model_input)
    """
    concurrency = THREADS_OF_THE_SERVER + 10
    replica = stage.started(stage.truss(textwrap.dedent(model), runtime={"predict_concurrency": concurrency}))
    assert isinstance(replica, ProcessReplica)
    assert sum("checked" in line for line in stage.logged) == 3
    calls = [
        asyncio.run_coroutine_threadsafe(stage.post(replica.predict_url), stage.loop)
        for _ in range(concurrency)
    ]
    stage.wait_for_line(stage.logged, "waits", times=THREADS_OF_THE_SERVER)
    assert stage.run(replica.check_health(DEADLINE_SECONDS)) is None
    assert stage.run(replica.check_health(DEADLINE_SECONDS)) == "it answered 503"
    for call in calls:
        call.cancel()
