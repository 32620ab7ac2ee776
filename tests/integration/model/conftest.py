from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.integration.model.model_server import BARE_MODEL, BackgroundLoop, ModelServer, build_image
from truss_async.replicas.protocol import ReplicaLoadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Serve(Protocol):
    def __call__(
        self, source: str, *, config: dict[str, Any] | None = None, **environment: str
    ) -> ModelServer: ...


class ServeAll(Protocol):
    def __call__(
        self, sources: dict[str, str], **environment: str
    ) -> dict[str, ModelServer | ReplicaLoadError]: ...


class Reload(Protocol):
    def __call__(self, source: str) -> ModelServer: ...


@pytest.fixture(scope="session")
def background_loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def image(background_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = background_loop.run(build_image(tmp_path_factory.mktemp("build")))
    return folder


@pytest.fixture
def serve(background_loop: BackgroundLoop, image: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start a real Truss server on a model; ``TRUSS_ASYNC_OUTPUT_URL`` is set unless it is given."""
    servers: list[ModelServer] = []
    adding = threading.Lock()

    def start(source: str, *, config: dict[str, Any] | None = None, **environment: str) -> ModelServer:
        with adding:
            server = ModelServer.in_folder(tmp_path / f"server-{len(servers)}", background_loop, environment)
            servers.append(server)
        server.start(image, source, config or {})
        return server

    yield start
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ModelServer.stop, servers))


@pytest.fixture
def serve_all(serve: Serve) -> ServeAll:
    """Start a server for each model, some at a time; what stands for one that does not load is the reason."""

    def start_all(sources: dict[str, str], **environment: str) -> dict[str, ModelServer | ReplicaLoadError]:
        def start(source: str) -> ModelServer | ReplicaLoadError:
            try:
                return serve(source, config=None, **environment)
            except ReplicaLoadError as error:
                return error

        with ThreadPoolExecutor(3) as pool:
            started = list(pool.map(start, sources.values()))
        return dict(zip(sources, started, strict=True))

    return start_all


@pytest.fixture(scope="session")
def running_server(
    background_loop: BackgroundLoop, image: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModelServer]:
    server = ModelServer.in_folder(tmp_path_factory.mktemp("running") / "server", background_loop, {})
    server.start(image, BARE_MODEL, {})
    yield server
    server.stop()


@pytest.fixture
def reload(running_server: ModelServer) -> Reload:
    """Give the one running Truss server another model; its constructor is not run again."""

    def give(source: str) -> ModelServer:
        running_server.reload(source)
        return running_server

    return give
