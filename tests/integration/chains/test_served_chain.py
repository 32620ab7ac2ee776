"""A chain that is served: each chainlet on a Truss server of its own, all calls through the harness."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from tests.integration.chains.conftest import Served

BY_ITS_HOST = {"Host": "chain-report_maker.localhost"}


def test_a_chain_is_answered_by_all_its_chainlets(served: Served) -> None:
    for path, headers in [
        ("/production/run_remote", {}),
        ("/chain/report_maker/environments/production/run_remote", {}),
        ("/production/run_remote", BY_ITS_HOST),
        ("/deployment/report_maker__Reporter/run_remote", BY_ITS_HOST),
    ]:
        answer = served.http.post(path, json={"n": 6}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["half"]["half"] == 3
        assert answer.json()["words"] == answer.json()["echo"] == "0 1 2 "


def test_what_would_be_pushed_holds_the_plugin_and_runs(served: Served) -> None:
    assert (served.folder / "chain" / "truss_async" / "model").is_dir()
    assert 'pip_requirements=["pydantic' in served.file.read_text()
    half = served.http.post("/production/run_remote", json={"n": 2}).json()["half"]
    # It is what the dry run has put into the chainlet's packages that runs, and it saves.
    assert half["plugin"] == str(served.folder / "chain" / "truss_async" / "model" / "plugin.py")
    assert (served.outputs / "halves" / f"{half['request_id']}.json").is_file()


def test_packaging_tells_what_it_did_and_what_is_left(served: Served) -> None:
    report = served.packaged
    assert report.changed == (served.file,)
    assert list(report.replaced) == ["truss-async"]
    lacks = [line for line in report.lacks if "is not told where to save" in line]
    assert [line.split()[0] for line in lacks] == ["Reporter", "Halver"]
    assert len(report.lacks) == 2
    command = [f"{Path(sys.executable).parent}/truss-async", "package", f"{served.file}", "--check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    again = json.loads(done.stdout)
    assert (done.returncode, again["copied"], again["changed"]) == (1, False, [])
    assert again["lacks"] == list(report.lacks)


def test_the_ids_and_the_trace_of_a_request_go_all_the_way(served: Served) -> None:
    answer = served.http.post("/production/run_remote", json={"n": 2})
    request_id, half, trace = (
        answer.headers["x-baseten-request-id"],
        answer.json()["half"],
        answer.json()["trace"],
    )
    assert (half["request_id"], half["chain_request_id"], half["trace"]) == (request_id, request_id, trace)
    assert trace.split("-")[1] == request_id


def test_a_caller_from_outside_cannot_choose_the_ids(served: Served) -> None:
    answer = served.http.post(
        "/production/run_remote", json={"n": 2}, headers={"x-baseten-request-id": "mine"}
    )
    assert answer.json()["half"]["request_id"] == answer.headers["x-baseten-request-id"] != "mine"


def test_an_async_request_of_a_chain_ends_in_a_webhook_and_in_the_store(served: Served) -> None:
    body = {"model_input": {"n": 4}, "webhook_endpoint": served.receiver.url}
    request_id = served.http.post("/chain/report_maker/async_run_remote", json=body).json()["request_id"]
    result = served.receiver.wait_for(request_id, timeout_seconds=60).result
    assert result is not None
    assert (result.model_id, result.deployment_id) == ("report_maker__Reporter", "report_maker__Reporter")
    assert result.data["half"]["half"] == 2
    status = served.http.get(f"/async_request/{request_id}", headers=BY_ITS_HOST).json()
    assert (status["chain_id"], status["status"]) == ("report_maker", "SUCCEEDED")
    store = OutputStore.from_url(served.outputs.as_uri())
    assert store.get(request_id).data == result.data
    saved = (served.outputs / "halves" / f"{request_id}.json").read_text()
    assert f'"request_id":"{request_id}"' in saved


def test_an_error_is_told_with_the_users_file_and_line(served: Served) -> None:
    once = {"max_attempts": 1, "initial_delay_ms": 1000, "max_delay_ms": 1000}
    body = {"model_input": {"n": 3}, "webhook_endpoint": served.receiver.url, "inference_retry_config": once}
    request_id = served.http.post("/async_run_remote", json=body).json()["request_id"]
    result = served.receiver.wait_for(request_id, timeout_seconds=60).result
    assert result is not None
    told = result.errors[0].message
    assert "3 is odd" in told
    (request,) = [each for each in served.harness.requests if each.request_id == request_id]
    line = 1 + next(
        number
        for number, text in enumerate(served.file.read_text().splitlines())
        if "raise ValueError" in text
    )
    place = f'File "{served.file}", line {line}, in run_remote'
    assert place in request.story
    assert place in told
    assert request.story.count("halving 3") == 2, "the stub makes two attempts"


def test_each_chainlet_is_a_deployment_with_numbers_and_faults_of_its_own(served: Served) -> None:
    rule = FaultRule(kind=FaultKind.MODEL_500, deployment_id="report_maker__Halver", times=1)
    fault = served.http.post("/_harness/faults", json=rule.model_dump(exclude_none=True)).json()
    assert served.http.post("/production/run_remote", json={"n": 2}).status_code == 200
    assert served.http.delete(f"/_harness/faults/{fault['id']}").json()["struck"] == 1
    metrics = served.http.get("/metrics").text
    for name in ("Reporter", "Halver", "Words", "Echo"):
        assert f'model_name="{name}"' in metrics
    failed = [
        line for line in metrics.splitlines() if 'model_name="Halver"' in line and 'status="500"' in line
    ]
    assert failed
    assert set(served.http.get("/healthz").json()["deployments"]) == {
        f"report_maker__{name}" for name in ("Reporter", "Halver", "Words", "Echo")
    }


def test_a_chainlet_can_be_called_by_itself(served: Served) -> None:
    path = "/chain/report_maker/deployment/report_maker__Halver"
    assert served.http.post(f"{path}/run_remote", json={"n": 8}).json()["half"] == 4
    body = {"model_input": {"n": 10}, "webhook_endpoint": served.receiver.url}
    request_id = served.http.post(f"{path}/async_run_remote", json=body).json()["request_id"]
    result = served.receiver.wait_for(request_id, timeout_seconds=60).result
    assert result is not None
    assert (result.deployment_id, result.data["half"]) == ("report_maker__Halver", 5)


def test_an_edited_file_is_noticed(served: Served) -> None:
    served.file.write_text(f"{served.file.read_text()}\n# edited\n")
    told = ""
    while "was changed after the chain was generated" not in told:
        told = served.reports.get(timeout=60)
    assert str(served.file) in told
    assert "restart the harness" in told


def test_what_truss_cannot_generate_is_told_in_its_words(served: Served) -> None:
    file = served.folder / "unfinished" / "unfinished.py"
    file.parent.mkdir()
    file.write_text('raise ValueError("Please insert the predict URL")\n')
    with pytest.raises(
        Exception, match=r"truss does not accept .*unfinished\.py: ValueError: Please insert the predict URL$"
    ):
        Harness(HarnessSettings(chain=str(file), port=0, install=False)).start()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/deployment/report_maker__Reporter/chainlet/report_maker__Halver/run_remote", None),
        ("/production/chainlet/report_maker__Halver/run_remote", None),
        (
            "/production/chainlet/Halver/run_remote",
            "the chain report_maker has no chainlet Halver; it has report_maker__Reporter, report_maker__",
        ),
        (
            "/deployment/other/chainlet/report_maker__Halver/run_remote",
            "there is no deployment other of this",
        ),
    ],
)
def test_a_chainlet_has_the_platforms_own_address(served: Served, path: str, told: str | None) -> None:
    answer = served.http.post(path, json={"n": 8}, headers=BY_ITS_HOST)
    if told is None:
        assert answer.json()["half"] == 4
    else:
        assert answer.status_code == 404
        assert answer.json()["error"].startswith(told)


def test_a_wrong_key_is_refused_between_chainlets_too(served: Served) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        served.http.post(
            "/deployment/report_maker__Halver/run_remote",
            json={"n": 2},
            headers={"Authorization": "Api-Key other"},
        ).raise_for_status()


def test_the_key_of_the_chainlets_opens_nothing_of_the_harness_itself(served: Served) -> None:
    headers = {"Authorization": f"Api-Key {served.harness._parts.api._parts.inner_key}"}
    path = "/deployment/report_maker__Halver/run_remote"
    assert served.http.post(path, json={"n": 2}, headers=headers).status_code == 200
    for own in ("secrets", "requests", "deliveries", "faults"):
        assert served.http.get(f"/_harness/{own}", headers=headers).status_code == 401
