"""A chain of the tests: an entry point, one that answers in a whole, one that streams, and a truss."""

import inspect
import json
import sys
import urllib.request
from collections.abc import AsyncIterator

import pydantic
import truss_chains as chains
from truss_chains.remote_chainlet import utils

from truss_async import save_output

IMAGE = chains.DockerImage(
    base_image=chains.BasetenImage[f"PY{sys.version_info.major}{sys.version_info.minor}"],
    pip_requirements=["truss-async"],
)


class Half(pydantic.BaseModel):
    half: int
    request_id: str | None
    chain_request_id: str | None
    trace: str | None
    plugin: str


class Report(pydantic.BaseModel):
    half: Half
    words: str
    echo: str
    trace: str | None


class Halver(chains.ChainletBase):
    """Answers in a whole, and fails for odd numbers."""

    remote_config = chains.RemoteConfig(name="Halving", docker_image=IMAGE)

    @save_output(key="halves/{request_id}.json")
    def run_remote(self, n: int) -> Half:
        print(f"halving {n}")
        if n % 2:
            raise ValueError(f"{n} is odd")
        return Half(
            half=n // 2,
            request_id=utils.get_request_id(),
            chain_request_id=utils.get_chain_request_id(),
            trace=utils.get_trace_parent(),
            plugin=inspect.getfile(save_output),
        )


class Words(chains.ChainletBase):
    """Streams."""

    remote_config = chains.RemoteConfig(docker_image=IMAGE)

    async def run_remote(self, n: int) -> AsyncIterator[str]:
        for word in range(n):
            yield f"{word} "


class Echo(chains.TrussChainlet):
    """Any truss."""

    truss_dir = str(chains.make_abs_path_here("echo").abs_path)


@chains.mark_entrypoint("Report Maker")
class Reporter(chains.ChainletBase):
    """Calls all of them."""

    remote_config = chains.RemoteConfig(docker_image=IMAGE)

    def __init__(
        self,
        halver: Halver = chains.depends(Halver, retries=2, use_binary=True),
        words: Words = chains.depends(Words),
        echo: Echo = chains.depends(Echo),
    ) -> None:
        self._halver = halver
        self._words = words
        self._echo = echo

    @save_output
    async def run_remote(self, n: int) -> Report:
        half = self._halver.run_remote(n)
        words = "".join([word async for word in self._words.run_remote(half.half)])
        return Report(half=half, words=words, echo=self._echoed(words), trace=utils.get_trace_parent())

    def _echoed(self, words: str) -> str:
        url, headers = self._echo.http_call_args()
        asked = urllib.request.Request(url, json.dumps(words).encode(), headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)
