"""A platform to call, and a client for it."""

from collections.abc import Iterator

import pytest

from tests.unit.client.scripted_platform import ScriptedPlatform
from truss_async.client import PlatformClient


@pytest.fixture
def platform() -> Iterator[ScriptedPlatform]:
    with ScriptedPlatform() as platform:
        yield platform


@pytest.fixture
def client(platform: ScriptedPlatform) -> Iterator[PlatformClient]:
    with PlatformClient(platform.url + "/", api_key="k") as client:
        yield client
