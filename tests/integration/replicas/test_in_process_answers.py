"""The same models and calls, served by the real Truss server and in process: the answers are the same."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.model.model_server import BARE_MODEL, BackgroundLoop, ModelServer, build_image
from tests.integration.replicas.answer_cases import CASES, REFUSED, Case
from truss_async.replicas.in_process import InProcessReplica, Surroundings
from truss_async.replicas.protocol import ReplicaCall, ReplicaLoadError, ReplicaUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST_ID = "0123456789abcdef" * 2
DEADLINE_SECONDS = 30
COMPARED = {"content-type", "x-baseten-error-source", "x-baseten-error-code", "x-own", "allow"}


@pytest.fixture(scope="module")
def loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def server(loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("server")
    image = loop.run(build_image(folder))
    server = ModelServer.in_folder(folder / "run", loop, {})
    server.start(image, BARE_MODEL, {})
    yield server
    server.stop()


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_answered_for_as_by_the_truss_server(
    name: str, loop: BackgroundLoop, server: ModelServer, tmp_path: Path
) -> None:
    case = CASES[name]
    server.reload(case.source)
    expected = ask_server(server, case)
    assert expected[0] == case.status
    assert loop.run(ask_in_process(case, tmp_path)) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_the_truss_server_refuses_is_refused(
    name: str, loop: BackgroundLoop, server: ModelServer, tmp_path: Path
) -> None:
    source = Case(REFUSED[name], 0).source
    (server.folder / "app" / "model" / "model.py").write_text(source)
    answer = server.post("/hot-reload", b"")
    assert answer.status == 422
    with pytest.raises(ReplicaLoadError) as refused:
        loop.run(in_process(source, tmp_path).start())
    told = " ".join(answer.json["error"].split())
    assert f"the model does not load: {told}" == str(refused.value)


def ask_server(server: ModelServer, case: Case) -> tuple[int, dict[str, str], bytes]:
    assert server.process is not None
    connection = http.client.HTTPConnection("127.0.0.1", server.process.port, timeout=DEADLINE_SECONDS)
    path = "/v1/models/model:predict" if case.route is None else f"/{case.route}"
    try:
        connection.request(case.method, path, case.sent, dict(headers_of(case)))
        answer = connection.getresponse()
        try:
            body = answer.read()
        except http.client.IncompleteRead as cut:
            body = cut.partial + b" (cut)"
        return answer.status, compared(answer.getheaders()), body
    finally:
        connection.close()


async def ask_in_process(case: Case, folder: Path) -> tuple[int, dict[str, str], bytes]:
    replica = in_process(case.source, folder)
    await replica.start()
    try:
        answer = await replica.call(ReplicaCall(headers_of(case), case.sent, case.method, case.route))
        body = b""
        try:
            async for chunk in answer.chunks():
                body += chunk
        except ReplicaUnreachableError:
            body += b" (cut)"
        headers = [(name.decode(), value.decode()) for name, value in answer.headers]
        assert dict(headers).get("content-length", str(len(body))) == str(len(body))
        return answer.status, compared(headers), body
    finally:
        await replica.stop()


def in_process(source: str, folder: Path) -> InProcessReplica:
    namespace: dict[str, Any] = {"__name__": "model"}
    exec(compile(source, "model.py", "exec", dont_inherit=True), namespace)
    surroundings = Surroundings(
        data_dir=folder / "data",
        environment="production",
        predict_concurrency=1,
        secrets_dir=None,
        variables={},
    )
    return InProcessReplica("replica-1", namespace["Model"], surroundings, log=lambda line: None)


def headers_of(case: Case) -> list[tuple[str, str]]:
    return [*{"X-Baseten-Request-Id": REQUEST_ID, "Content-Type": "application/json", **case.headers}.items()]


def compared(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() in COMPARED}
