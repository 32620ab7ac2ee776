"""A model in this process, as a replica: from its constructor to callers that leave."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock

import pytest

from truss_async import AsyncOutputModel, OutputStore
from truss_async.clock import SYSTEM_CLOCK, within
from truss_async.replicas.in_process import InProcessReplica, Surroundings
from truss_async.replicas.logs import ReplicaLogLine
from truss_async.replicas.protocol import ReplicaCall, ReplicaLoadError, ReplicaUnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

REQUEST_ID = "a" * 32


@dataclass
class Bench:
    """Makes replicas of models, and runs what a test does with one."""

    folder: Path
    log: list[ReplicaLogLine] = field(default_factory=list)

    def run(
        self,
        model: Any,
        use: Callable[[InProcessReplica], Awaitable[Any]],
        *,
        predict_concurrency: int = 1,
        grace_seconds: float = 30,
    ) -> Any:
        async def main() -> Any:
            replica = self.replica(model, predict_concurrency, grace_seconds)
            await replica.start()
            try:
                return await use(replica)
            finally:
                await replica.stop()

        return asyncio.run(within(30, main(), clock=SYSTEM_CLOCK))

    def replica(self, model: Any, predict_concurrency: int, grace_seconds: float) -> InProcessReplica:
        surroundings = Surroundings(
            data_dir=self.folder / "data",
            environment="staging",
            predict_concurrency=predict_concurrency,
            secrets_dir=self.folder,
            variables={"TRUSS_SECRET_token": "from the variable", "TRUSS_SECRET_key": "hidden by the file"},
        )
        return InProcessReplica(
            "replica-1", model, surroundings, log=self.log.append, grace_seconds=grace_seconds
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def predict(replica: InProcessReplica, model_input: Any = None, *, request_id: str = REQUEST_ID) -> Any:
    """The output; the error, when there is none."""
    headers = [("X-Baseten-Request-Id", request_id)]
    answer = await replica.call(ReplicaCall(headers, json.dumps(model_input).encode()))
    return json.loads(await answer.read())


def add(number: int, *, to: int = 0) -> int:
    return number + to


class Doubler:
    async def __call__(self, model_input: Any) -> Any:
        return [model_input, model_input]


@pytest.mark.parametrize(
    ("model", "output"),
    [
        (lambda model_input: model_input + 1, 3),
        (add, 2),
        (functools.partial(add, to=3), 5),
        (abs, 2),
        (Doubler(), [2, 2]),
        (Mock(return_value="mocked"), "mocked"),
        (AsyncMock(return_value="mocked"), "mocked"),
    ],
)
def test_any_callable_is_a_model(bench: Bench, model: Any, output: Any) -> None:
    assert bench.run(model, lambda replica: predict(replica, 2)) == output


def test_a_callable_that_needs_more_than_an_input_is_refused(bench: Bench) -> None:
    with pytest.raises(ReplicaLoadError, match=r"ModelDefinitionError: .* Got: \(a, b\)"):
        bench.run(lambda a, b: (a, b), predict)


class Arguments:
    def __init__(self, *, config: Any, data_dir: Path, environment: Any, secrets: Any) -> None:
        data_dir.joinpath("weights").write_text("kept")
        self.secrets = secrets
        self.told = [config["runtime"], sorted(path.name for path in data_dir.iterdir()), environment]

    def setup_environment(self, environment: Any) -> None:
        self.told.append(environment)

    def load(self) -> None:
        self.told.append("loaded")

    def predict(self, model_input: Any) -> Any:
        return [*self.told, *(self.secrets[name] for name in ("token", "key")), len(self.secrets)]


def test_a_class_is_made_a_model_of_with_what_truss_hands_over(bench: Bench) -> None:
    (bench.folder / "key").write_text("from the file")
    environment = {"name": "staging"}
    assert bench.run(Arguments, predict) == [
        {"predict_concurrency": 1},
        ["weights"],
        environment,
        environment,
        "loaded",
        "from the variable",
        "from the file",
        2,
    ]


def test_any_keyword_gets_all_that_truss_hands_over(bench: Bench) -> None:
    class Model:
        def __init__(self, **keywords: Any) -> None:
            keywords["lazy_data_resolver"].block_until_download_complete()
            self.keywords = keywords

        def predict(self) -> Any:
            return sorted(self.keywords)

    given = ["config", "data_dir", "environment", "lazy_data_resolver", "secrets"]
    assert bench.run(Model, predict) == given


def test_a_secret_that_is_missing_fails_the_load(bench: Bench) -> None:
    class Model(Arguments):
        def load(self) -> None:
            self.secrets["missing"]

    with pytest.raises(ReplicaLoadError, match="SecretNotFound: Secret 'missing' not found: set TRUSS_SEC"):
        bench.run(Model, predict)


def test_a_websocket_needs_the_truss_server(bench: Bench) -> None:
    class Model:
        async def websocket(self, websocket: Any) -> None:
            """Never called."""

    with pytest.raises(ReplicaLoadError, match="a model with a websocket is served by the Truss server only"):
        bench.run(Model, predict)


def test_an_object_is_loaded_and_used_as_it_is(bench: Bench) -> None:
    model = Mock(spec=["predict", "load"])
    model.predict = lambda model_input: "own"
    assert bench.run(model, predict) == "own"
    model.load.assert_called_once_with()


def test_a_load_that_fails_once_is_repeated(bench: Bench) -> None:
    model = Mock(spec=["predict", "load"])
    model.predict = lambda model_input: "loaded"
    model.load.side_effect = [OSError("not yet"), None]
    assert bench.run(model, predict) == "loaded"


def test_a_load_that_fails_leaves_the_models_traceback(bench: Bench) -> None:
    class Model:
        def load(self) -> None:
            raise OSError("no weights")

        def predict(self) -> None:
            """Never called."""

    with pytest.raises(ReplicaLoadError, match=r"^the model does not load: OSError: no weights$") as failed:
        bench.run(Model, predict)
    lines = str(failed.value.traceback).splitlines()
    assert [line.split(",")[0].strip() for line in lines if "File" in line] == [f'File "{__file__}"']
    assert lines[-1] == "OSError: no weights"


def test_what_a_model_raises_is_logged_from_the_model_on(bench: Bench) -> None:
    def fail(model_input: Any) -> Any:
        raise ValueError(model_input)

    assert bench.run(fail, lambda replica: predict(replica, "why")) == {
        "error": "Internal Server Error (in model/chainlet)."
    }
    first, *traceback = bench.log
    assert first == ReplicaLogLine(
        "replica-1", "Internal Server Error (in model/chainlet).", "error", REQUEST_ID, goes_on=True
    )
    assert next(line.message for line in traceback if "File" in line.message).startswith(
        f'  File "{__file__}"'
    )
    assert traceback[-1].message == "ValueError: why"


class Slow:
    """Its predict waits for ``go``; what it did is in ``done``."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.done: list[str] = []

    async def predict(self, model_input: Any) -> Any:
        self.entered.set()
        await self.go.wait()
        self.done.append("predict")
        return model_input

    def postprocess(self, model_output: Any) -> Any:
        self.done.append("postprocess")
        return model_output


async def leave(replica: InProcessReplica, model: Slow) -> None:
    """Ask, leave while predict runs, and let it run on."""
    asking = asyncio.ensure_future(predict(replica))
    await model.entered.wait()
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    model.go.set()


def test_predict_outlives_a_caller_that_leaves_and_postprocess_is_skipped(bench: Bench) -> None:
    async def use(replica: InProcessReplica) -> Any:
        await leave(replica, model)
        return await predict(replica, "next")

    model = Slow()
    assert bench.run(model, use) == "next"
    assert model.done == ["predict", "predict", "postprocess"]
    assert [(line.level, line.message) for line in bench.log] == [
        ("warning", "Client disconnected, skipping `postprocess`.")
    ]


def test_a_predict_whose_caller_has_left_keeps_its_slot(bench: Bench) -> None:
    running = most = 0

    async def count(model_input: Any) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return most

    async def use(replica: InProcessReplica) -> Any:
        for _ in range(3):
            asking = asyncio.ensure_future(predict(replica))
            await asyncio.sleep(0)
            asking.cancel()
        return await asyncio.gather(*(predict(replica) for _ in range(5)))

    assert bench.run(count, use, predict_concurrency=2)[-1] == 2


def test_the_plugin_saves_the_output_of_a_caller_that_has_left(bench: Bench) -> None:
    class Model(AsyncOutputModel, Slow):
        output_url = "memory://in-process"

    async def use(replica: InProcessReplica) -> Any:
        await leave(replica, model)
        return await predict(replica, "next", request_id="next")

    model = Model()
    bench.run(model, use)
    assert OutputStore.from_url("memory://in-process").get(REQUEST_ID).data is None
    assert sorted(model.done) == ["postprocess", "postprocess", "predict", "predict"]


def test_a_sync_hook_blocks_nobody_else(bench: Bench) -> None:
    entered, go = threading.Event(), threading.Event()

    def block(model_input: Any) -> Any:
        if model_input == "block":
            entered.set()
            assert go.wait(30)
        return model_input

    async def use(replica: InProcessReplica) -> Any:
        blocked = asyncio.ensure_future(predict(replica, "block"))
        await asyncio.to_thread(entered.wait, 30)
        other = await predict(replica, "other")
        go.set()
        return [other, await blocked]

    assert bench.run(block, use, predict_concurrency=2) == ["other", "block"]


def test_stopping_ends_calls_and_leaves_nothing_running(bench: Bench) -> None:
    model = Slow()

    async def use(replica: InProcessReplica) -> Any:
        asking = asyncio.ensure_future(predict(replica))
        await model.entered.wait()
        await replica.stop()
        with pytest.raises(ReplicaUnreachableError, match="stopped"):
            await asking
        with pytest.raises(ReplicaUnreachableError, match="replica-1 is not running"):
            await predict(replica)
        assert asyncio.all_tasks() <= {asyncio.current_task(), *before}

    async def note(replica: InProcessReplica) -> Any:
        before.update(asyncio.all_tasks())
        await use(replica)

    before: set[asyncio.Task[Any]] = set()
    bench.run(model, note, grace_seconds=0)
    assert model.done == []


def test_a_stream_goes_on_when_nobody_reads_it_and_then_frees_its_slot(bench: Bench) -> None:
    yielded = []

    async def stream(model_input: Any) -> Any:
        for part in ("a", "b", "c"):
            yielded.append(part)
            yield part

    async def use(replica: InProcessReplica) -> Any:
        answer = await replica.call(ReplicaCall([], b"1"))
        answer.close()
        answer = await replica.call(ReplicaCall([], b"1"))
        return await answer.read()

    assert bench.run(stream, use) == b"abc"
    assert yielded == ["a", "b", "c"] * 2


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("own")], ids=repr
)
def test_whatever_ends_the_loading_is_a_failed_load_and_not_the_end_of_the_harness(
    bench: Bench, error: BaseException
) -> None:
    class Model:
        def load(self) -> None:
            raise error

        def predict(self, model_input: Any) -> Any:
            return model_input

    async def unused(_: InProcessReplica) -> None:
        """It does not come so far."""

    with pytest.raises(ReplicaLoadError, match=f"the model does not load: {type(error).__name__}"):
        bench.run(Model, unused)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_ends_a_stream_does_not_end_the_harness(
    bench: Bench, is_async: bool, error: BaseException
) -> None:
    class Model:
        def predict(self, model_input: Any) -> Any:
            return self.many() if is_async else self.some()

        def some(self) -> Any:
            yield "a"
            raise error

        async def many(self) -> Any:
            yield "a"
            raise error

    async def use(replica: InProcessReplica) -> list[bytes]:
        return [await (await replica.call(ReplicaCall((), b"1"))).read() for _ in range(2)]

    assert bench.run(Model, use) == [b"a", b"a"]
