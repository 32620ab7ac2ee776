"""The output of a request is seen by who made it: by the command, by a listener, in Python."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.cli.running import run
from truss_async.errors import HarnessError
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.harness.stories import journal


@pytest.fixture
def url(harness: Harness) -> str:
    return harness.url


def test_submit_prints_the_output_and_nothing_else(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", '"hi"', "--output", "--url", url]) == 0
    assert capsys.readouterr().out == '{"echo":"hi"}\n'


def test_submit_writes_the_output_to_a_file_or_into_a_folder(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = tmp_path / "answer.json", tmp_path / "answers"
    folder.mkdir()
    assert run(["submit", "1", "-o", str(file), "--url", url]) == 0
    assert run(["submit", "2", "-o", str(folder), "--url", url]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(file.read_text()) == {"echo": 1}
    assert json.loads((folder / "output.json").read_text()) == {"echo": 2}


def test_artifacts_come_along_into_a_folder(
    model: ModelServer, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = tmp_path / "store", tmp_path / "mine"
    store.mkdir()
    folder.mkdir()
    (store / "page.png").write_bytes(b"pixels")
    reference = {
        "type": "artifact",
        "url": f"{store.as_uri()}/page.png",
        "content_type": "image/png",
        "size_bytes": 6,
        "sha256": "0" * 64,
    }
    model.behave = lambda _: Answer(body=json.dumps({"page": reference}).encode())
    assert run(["submit", "1", "-o", str(folder), "--url", url]) == 0
    assert (folder / "page.png").read_bytes() == b"pixels"


def test_a_request_that_failed_has_no_output_and_says_why(
    model: ModelServer, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model.behave = lambda _: Answer(400, b'{"error": "no such page"}')
    assert run(["submit", "1", "--output", "--max-attempts", "1", "--url", url]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no such page" in printed.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--webhook-endpoint", "http://127.0.0.1:1/"], "give --store"),
        (["--url", "https://model-1.api.example.com", "--api-key", "k"], "give --store"),
    ],
    ids=["another endpoint", "another machine"],
)
def test_an_output_that_could_come_from_nowhere_is_a_usage_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["submit", "1", "--output", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_output_is_read_in_python(harness: Harness) -> None:
    request = harness.submit({"page": 1})
    request.wait()
    assert request.output == {"echo": {"page": 1}}
    assert request.artifacts == ()


def test_what_has_no_output_says_so(model: ModelServer, harness: Harness) -> None:
    model.behave = lambda _: Answer(400, b"{}")
    request = harness.submit(1, inference_retry_config={"max_attempts": 1})
    request.wait()
    with pytest.raises(HarnessError, match="there is no output: the request is FAILED"):
        _ = request.output


def test_outputs_are_kept_as_far_as_there_is_room(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_OUTPUT_BYTES", 30)
    requests = []
    for _ in range(2):
        requests.append(harness.submit("x" * 20))
        requests[-1].wait()
    assert requests[1].output == {"echo": "x" * 20}
    with pytest.raises(HarnessError, match="is no longer kept"):
        _ = requests[0].output


def saving(model_input: Any) -> Any:
    return {"n": model_input}


def test_a_model_in_this_process_shows_its_output_too() -> None:
    with Harness(HarnessSettings(model=saving, port=0)) as harness:
        request = harness.submit(3)
        request.wait()
        assert request.output == {"n": 3}
