"""What a state folder holds runs on nothing but what it was accepted for."""

from pathlib import Path

import pytest

from truss_async.errors import HarnessError
from truss_async.harness.documents import FileDocument
from truss_async.harness.earlier_run import Place, settle_subjects
from truss_async.replicas.settings import DeploymentSettings


def start(
    folder: Path, *deployments: DeploymentSettings, adopt: bool = False, **open_requests: int
) -> list[str]:
    """Start on the folder's state; return what is said."""
    said: list[str] = []
    (folder / "state").mkdir(exist_ok=True)
    file = folder / "state" / "deployments.json"
    place = Place(FileDocument(file), str(file.parent), folder.resolve())
    settle_subjects(place, deployments, open_requests=open_requests, adopt=adopt, report=said.append)
    return said


@pytest.mark.parametrize(
    ("options", "model_id"),
    [
        ({"truss_dir": "trusses/My-Model 2"}, "my_model_2"),
        ({"truss_dir": "trusses/x/.."}, "trusses"),
        ({"truss_dir": "x" * 90}, "x" * 57),
        ({"truss_dir": "/"}, "model"),
        ({"model_url": "http://user:pass@127.0.0.1:8080/"}, "127_0_0_1_8080"),
        ({"model": len}, "len"),
        ({"truss_dir": "a", "chain_id": "Story"}, "Story"),
        ({"truss_dir": "a", "model_id": "mine"}, "mine"),
        ({"stub": "echo"}, "stub"),
        ({"stub": {"text": "x"}, "chain_id": "Story"}, "Story"),
    ],
)
def test_a_model_is_called_after_what_it_is_served_from(options: dict[str, object], model_id: str) -> None:
    made = DeploymentSettings.model_validate(options)
    assert (made.model_id, made.deployment_id) == (model_id, f"{model_id}1")


def test_a_stub_is_called_after_the_truss_that_it_stands_in_for(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    assert DeploymentSettings(truss_dir=tmp_path / "large", stub="echo").model_id == "large"


def test_a_stub_is_not_what_it_stands_in_for(tmp_path: Path) -> None:
    model = DeploymentSettings(truss_dir=tmp_path / "one")
    stub = DeploymentSettings(truss_dir=tmp_path / "one", stub="echo")
    start(tmp_path, model)
    with pytest.raises(HarnessError, match=r"belongs to the model one from \S+/one, with 1 request not over"):
        start(tmp_path, stub, one1=1)
    (line,) = start(tmp_path, stub, adopt=True, one1=1)
    assert line.endswith(f"goes on with the model one from {tmp_path.resolve() / 'one'} with a stub")
    with pytest.raises(
        HarnessError, match=r"belongs to the model one from \S+/one with a stub, with 1 request"
    ):
        start(tmp_path, model, one1=1)
    edited = DeploymentSettings(truss_dir=tmp_path / "one", stub={"another": "answer"})
    assert start(tmp_path, edited, one1=1) == ["1 request of an earlier run goes on"]


def test_a_stub_of_its_own_is_known_by_the_file_of_its_answers(tmp_path: Path) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text('{"input": 1, "output": 2}\n')
    start(tmp_path, DeploymentSettings(stub=tmp_path / "one.jsonl"))
    assert start(tmp_path, DeploymentSettings(stub=str(tmp_path / "one.jsonl")), stub1=1)
    for other in (tmp_path / "two.jsonl", "echo"):
        with pytest.raises(
            HarnessError, match=r"the id stub1 .* the model stub from \S+/one\.jsonl, with 1 "
        ):
            start(tmp_path, DeploymentSettings(stub=other), stub1=1)


def test_requests_go_on_where_the_same_is_served(tmp_path: Path) -> None:
    one = DeploymentSettings(truss_dir=tmp_path / "one")
    assert start(tmp_path, one) == []
    assert start(tmp_path, one, one1=2) == ["2 requests of an earlier run go on"]


def test_what_is_not_served_waits_and_is_named(tmp_path: Path) -> None:
    start(tmp_path, DeploymentSettings(truss_dir=tmp_path / "one"))
    (line,) = start(tmp_path, DeploymentSettings(truss_dir=tmp_path / "two"), one1=3)
    assert line.startswith("3 requests of an earlier run are for the deployment one1, the model one from ")
    assert "which is not served: they wait, or expire" in line


def test_another_under_the_same_id_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    here, there = (DeploymentSettings(truss_dir=tmp_path / name / "model") for name in ("here", "there"))
    start(tmp_path, here)
    with pytest.raises(HarnessError, match=r"the id model1 .*here/model.*--model-id.*--adopt"):
        start(tmp_path, there, model1=1)
    assert start(tmp_path, here, model1=1) == ["1 request of an earlier run goes on"]
    (line,) = start(tmp_path, there, adopt=True, model1=1)
    assert "here/model, goes on with the model model from" in line
    assert start(tmp_path, there, model1=1) == ["1 request of an earlier run goes on"]


def test_an_id_without_requests_may_pass_to_another(tmp_path: Path) -> None:
    here, there = (DeploymentSettings(truss_dir=tmp_path / name / "model") for name in ("here", "there"))
    start(tmp_path, here)
    assert start(tmp_path, there) == []
    with pytest.raises(HarnessError, match=r"the id model1 .*there/model"):
        start(tmp_path, here, model1=1)


def test_requests_of_an_earlier_version_wait_for_somebody_to_say_what_they_are_for(tmp_path: Path) -> None:
    (line,) = start(tmp_path, DeploymentSettings(truss_dir=tmp_path / "one"), local1=2)
    assert "--deployment-id local1 --adopt" in line
    named = DeploymentSettings(truss_dir=tmp_path / "one", deployment_id="local1")
    with pytest.raises(HarnessError, match="an earlier version did not note"):
        start(tmp_path, named, local1=2)
    assert start(tmp_path, named, adopt=True, local1=2)


def test_a_project_may_be_moved(tmp_path: Path) -> None:
    project = tmp_path / "before"
    project.mkdir()
    start(project, DeploymentSettings(truss_dir=project / "one"))
    moved = project.rename(tmp_path / "after")
    assert start(moved, DeploymentSettings(truss_dir=moved / "one"), one1=2) == [
        "2 requests of an earlier run go on"
    ]


def test_a_note_that_is_none_is_one_line(tmp_path: Path) -> None:
    one = DeploymentSettings(truss_dir=tmp_path / "one")
    start(tmp_path, one)
    (tmp_path / "state" / "deployments.json").write_text("[")
    with pytest.raises(HarnessError, match=r"deployments\.json does not say .*move it away"):
        start(tmp_path, one)
