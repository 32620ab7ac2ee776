"""Batches and results as files, and a result looked at."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.page.visitor import Visitor
from truss_async.cli.running import run
from truss_async.harness.harness import Harness

RESULTS = "/_harness/page/results"
IDS = ["line-1", "line-2", "line-3"]


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    for number, request_id in enumerate(("a1" * 16, "b2" * 16)):
        result: dict[str, object] = {"request_id": request_id, "model_id": "local", "deployment_id": "local1"}
        result |= {"type": "async_request_completed", "time": "2026-01-01T00:00:00Z", "errors": []}
        (folder / f"{request_id}.json").write_text(json.dumps({**result, "data": {"out": 4711 + number}}))
    return folder


@pytest.fixture(scope="module")
def showing(serve: Callable[..., Harness], batches: Path, outputs: Path) -> Harness:
    """With the ledger of a batch of three lines, a file that is none, and results of two requests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSS_ASYNC_OUTPUT_URL", outputs.as_uri())
        harness = serve(page_payloads=True, batch_dir=batches)
    lines = batches / "inputs.jsonl"
    lines.write_text("".join(json.dumps({"n": number}) + "\n" for number in range(3)))
    out = str(batches / "results.jsonl")
    assert run(["batch", "run", str(lines), "--out", out, "--url", harness.url, "--no-progress"]) == 0
    (batches / "broken.ledger").write_text("no ledger")
    return harness


@pytest.fixture
def visitor(showing: Harness) -> Iterator[Visitor]:
    with Visitor(showing) as visitor:
        yield visitor


def test_ledgers_are_listed_as_batch_status_counts_them(visitor: Visitor) -> None:
    text = visitor.look(RESULTS)
    row = text.partition("results.jsonl.ledger")[2].partition("</tr>")[0]
    assert [each.partition("<")[0] for each in row.split('<td class="n">')[1:]] == [*"3003030"]
    assert 'class="error"' in text.partition("broken.ledger")[2].partition("</tr>")[0]


def test_the_results_of_a_batch_are_downloaded(visitor: Visitor, batches: Path) -> None:
    path = f"{RESULTS}/batches/results.jsonl.ledger"
    lines = visitor.http.get(path)
    assert lines.headers["content-disposition"] == 'attachment; filename="results.jsonl.jsonl"'
    assert [json.loads(each)["custom_id"] for each in lines.text.splitlines()] == IDS
    table = visitor.http.get(f"{path}?format=csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [each["custom_id"] for each in rows] == IDS
    assert [json.loads(each["body"]) for each in rows] == [
        json.loads(each)["response"]["body"] for each in lines.text.splitlines()
    ]
    assert not [each for each in batches.iterdir() if each.name.endswith(".export")]


def test_results_of_a_store_are_downloaded_and_looked_at(visitor: Visitor) -> None:
    text = visitor.look(RESULTS)
    assert f'href="{RESULTS}/saved/{"a1" * 16}?store=0"' in text
    lines = visitor.http.get(f"{RESULTS}/export?store=0&format=jsonl").text.splitlines()
    assert {json.loads(each)["request_id"] for each in lines} == {"a1" * 16, "b2" * 16}
    table = visitor.http.get(f"{RESULTS}/export?store=0&format=csv").text
    assert len(list(csv.DictReader(io.StringIO(table)))) == 2
    assert "4711" in visitor.look(f"{RESULTS}/saved/{'a1' * 16}?store=0")
    assert 'class="empty"' in visitor.look(f"{RESULTS}/saved/{'c3' * 16}?store=0")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("batches/none.ledger", 404),
        ("batches/broken.ledger", 409),
        ("batches/..%2f..%2fetc%2fpasswd.ledger", 404),
        ("batches/results.jsonl.ledger?format=xls", 400),
        ("export?store=1", 404),
        ("export?store=x", 404),
        ("export?since=soon", 400),
        ("saved/none?store=7", 404),
    ],
)
def test_what_there_is_not_is_told(visitor: Visitor, path: str, status: int) -> None:
    assert visitor.http.get(f"{RESULTS}/{path}").status_code == status


@pytest.mark.usefixtures("showing")
def test_outputs_are_for_those_alone_who_asked_to_see_them(
    serve: Callable[..., Harness], batches: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", outputs.as_uri())
    with Visitor(serve(batch_dir=batches)) as visitor:
        text = visitor.look(RESULTS)
        assert "results.jsonl.ledger" in text
        assert "download" not in text
        for path in ("batches/results.jsonl.ledger", "export?store=0", f"saved/{'a1' * 16}?store=0"):
            assert visitor.http.get(f"{RESULTS}/{path}").status_code == 403


def test_a_folder_without_ledgers_and_none_at_all_are_told(
    serve: Callable[..., Harness], tmp_path: Path
) -> None:
    with Visitor(serve(batch_dir=tmp_path)) as visitor:
        assert "There are no ledgers in" in visitor.look(RESULTS)
    with Visitor(serve()) as visitor:
        assert "--batch-dir FOLDER" in visitor.look(RESULTS)
