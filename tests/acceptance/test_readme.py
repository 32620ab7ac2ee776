"""The Python blocks of the README run, and its links lead somewhere; test_site.py follows it as a reader would."""

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.serving import ROOT, make_truss
from truss_async import AsyncPredictResult, OutputStore
from truss_async.webhooks import signature_header

README = (ROOT / "README.md").read_text()
CONFIG = 'requirements: ["truss-async"]\n'


def block(name: str) -> str:
    found = re.search(rf"<!-- test: {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"the README has no block {name}"
    return found[1]


@pytest.mark.parametrize("name", re.findall(r"<!-- test: (\w+) -->", README))
def test_a_block_is_tested(name: str) -> None:
    assert name in {"model", "harness", "receive"}


def test_the_model_is_short_and_the_harness_block_serves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = block("model")
    assert len([line for line in model.splitlines() if line.strip()]) <= 12
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", (tmp_path / "outputs").as_uri())
    names: dict[str, Any] = {"truss": make_truss(tmp_path / "truss", model, config=CONFIG)}
    exec(block("harness"), names)
    assert names["status"].status.value == "SUCCEEDED"
    result = OutputStore.from_url((tmp_path / "outputs").as_uri()).get(names["request"].request_id)
    assert result.data == {"text": "Bonjour, Ada!"}


def test_the_receiver_takes_what_is_signed_and_refuses_what_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {}
    exec(block("receive"), names)
    body = (
        AsyncPredictResult(request_id="r1", time=datetime.now(timezone.utc), data=1)
        .model_dump_json()
        .encode()
    )
    assert names["receive"](body, {"X-BASETEN-SIGNATURE": signature_header(body, ["whsec_old"])}) == 200
    assert names["receive"](body, {"X-BASETEN-SIGNATURE": signature_header(body, ["whsec_other"])}) == 401
    assert capsys.readouterr().out == "r1 1\n"


def test_every_page_that_is_linked_is_there() -> None:
    linked = re.findall(
        r"\]\(https://github\.com/truss-async/truss-async/(?:blob|tree)/main/([^)#]+)", README
    )
    assert len(linked) > 10
    assert [page for page in linked if not (ROOT / page).exists()] == []
