"""A harness that speaks the platform's contract alone, and files for a batch."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.batch.contract_only import ContractOnly
from tests.unit.cli.conftest import CommandLine
from truss_async import Harness, HarnessSettings
from truss_async.client.batch import Batch, BatchEnd, BatchSettings
from truss_async.client.batch.flow import Patience

QUICK = Patience(hole=0.3, silence=0.6)


@dataclass
class Files:
    """Inputs, outputs and the settings of a batch, in one folder."""

    folder: Path
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out.jsonl"

    @property
    def ledger(self) -> Path:
        return self.folder / "out.jsonl.ledger"

    def write(self, *lines: Any) -> Path:
        path = self.folder / "in.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def settings(self, **options: Any) -> BatchSettings:
        values = {"input": str(self.folder / "in.jsonl"), "out": str(self.out), "url": self.url}
        where = {} if {"store", "inbox", "relay"} & {*self.options, *options} else {"receive": True}
        return BatchSettings(**{**values, **where, **self.options, **options})

    def run(self, *, api_key: str = "k", **options: Any) -> BatchEnd:
        return asyncio.run(Batch(self.settings(**options), api_key=api_key, patience=QUICK).run())

    def results(self) -> dict[str, Any]:
        """The outputs by custom id; each is there once."""
        if not self.out.exists():
            return {}
        rows = [json.loads(line) for line in self.out.read_text().splitlines()]
        found = {row["custom_id"]: row["response"]["body"] for row in rows}
        assert len(found) == len(rows)
        return found

    def errors(self) -> dict[str, tuple[str, str]]:
        path = self.folder / "out.errors.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return {row["custom_id"]: (row["error"]["code"], row["error"]["message"]) for row in rows}


def _hush(_: str) -> None:
    """What it tells would stand among what commands print."""


@dataclass
class Served:
    """A harness, and the front that callers see of it."""

    harness: Harness
    front: ContractOnly

    @property
    def url(self) -> str:
        return self.front.url

    def close(self) -> None:
        self.front.close()
        self.harness.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Harnesses that show the platform's contract alone; who calls anything else fails the test."""
    started: list[Served] = []

    def start(model: Callable[[Any], Any], **settings: Any) -> Served:
        options = {"predict_concurrency": 8, "port": 0, "quiet": True, **settings}
        harness = Harness(HarnessSettings(model=model, **options), report=_hush, log=_hush)
        harness.start()
        started.append(Served(harness, ContractOnly(harness.url)))
        return started[-1]

    yield start
    for served in started:
        served.close()
    assert [served.front.refused for served in started] == [[]] * len(started)


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)
