"""The files that start nodes under systemd, Compose and Kubernetes: sound to their own linters, and what they start works."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.acceptance.serving import COMMAND, ROOT, Served
from tests.postgres_server import reachable_by_any_name
from truss_async.client import PlatformClient

FOLDER = ROOT / "examples" / "several-machines"
UNIT, COMPOSE, KUBERNETES, NGINX = (
    FOLDER / name for name in ("truss-async.service", "compose.yaml", "kubernetes.yaml", "nginx.conf")
)
SCHEMAS = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
KEY = "the key of callers"
# What the files name that is not on this machine.
FOLDERS = {"%S/truss-async": "state", "%C/truss-async": "cache", "%d": "credentials"}


def passes(*command: str | Path) -> bool:
    """Whether a linter of this environment, or else of this machine, is content."""
    name, *arguments = map(str, command)
    own = Path(sys.executable).with_name(name)
    done = subprocess.run(
        [str(own) if own.exists() else name, *arguments], capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    return done.returncode == 0 and '"status":"failed"' not in done.stdout


def changed(file: Path, old: str, new: str, *, folder: Path) -> Path:
    text = file.read_text()
    assert old in text
    copy = folder / file.name
    copy.write_text(text.replace(old, new))
    return copy


@pytest.mark.parametrize(
    ("linter", "file", "right", "wrong"),
    [
        (SCHEMAS, COMPOSE, "depends_on:", "depends:"),
        (("kubernetes-validate", "--strict"), KUBERNETES, "readinessProbe:", "readyProbe:"),
        (
            ("kubernetes-validate", "--strict", "-k", "1.32"),
            KUBERNETES,
            "periodSeconds: 5",
            "periodSeconds: often",
        ),
        (("crossplane", "parse", "--strict"), NGINX, "proxy_buffering off", "proxy_bufering off"),
    ],
    ids=["compose", "kubernetes", "an older kubernetes", "nginx"],
)
def test_a_file_is_sound_to_its_linter_which_finds_what_is_not(
    linter: tuple[str, ...], file: Path, right: str, wrong: str, tmp_path: Path
) -> None:
    assert passes(*linter, file)
    assert not passes(*linter, changed(file, right, wrong, folder=tmp_path))


def test_the_unit_is_sound() -> None:
    lines = [line for line in UNIT.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    assert [line for line in lines if not re.fullmatch(r"\[\w+\]|[A-Z]\w+=.*", line)] == []


@pytest.mark.parametrize(("right", "wrong"), [("", ""), ("KillMode=mixed", "KillMode=somehow")])
def test_systemd_where_it_is_there_agrees(right: str, wrong: str, tmp_path: Path) -> None:
    program = UNIT.read_text().partition("ExecStart=")[2].split()[0]
    unit = changed(UNIT, program, COMMAND, folder=tmp_path)
    unit.write_text(unit.read_text().replace(right, wrong))
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
        )
        assert bool(done.stderr) == bool(wrong), done.stderr


def of_systemd(folder: Path) -> tuple[list[str], dict[str, str]]:
    text = UNIT.read_text()
    for said, name in FOLDERS.items():
        text = text.replace(said, str(folder / name))
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    for name, source in re.findall(r"^LoadCredential=(.*):(.*)$", text, re.MULTILINE):
        assert source == f"/etc/truss-async/{name}"
    return command.split()[1:], dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE))


def of_image() -> tuple[list[str], dict[str, str]]:
    text = (FOLDER / "Dockerfile").read_text()
    (command,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    return yaml.safe_load(command)[1:], dict(re.findall(r"^ENV (\w+)=(.*)$", text, re.MULTILINE))


def of_compose(_: Path) -> tuple[list[str], dict[str, str]]:
    command, environment = of_image()
    node = yaml.safe_load(COMPOSE.read_text())["services"]["node"]
    return command, {**environment, **node["environment"]}


def of_kubernetes(_: Path) -> tuple[list[str], dict[str, str]]:
    command, environment = of_image()
    (node,) = (
        made["spec"]["template"]["spec"]["containers"][0]
        for made in yaml.safe_load_all(KUBERNETES.read_text())
        if made["kind"] == "Deployment"
    )
    return command, {**environment, **{each["name"]: each.get("value", "") for each in node["env"]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a node starts, with the truss that the files name."""
    subprocess.run([COMMAND, "init", "hello"], cwd=tmp_path, check=True, capture_output=True)
    for name in FOLDERS.values():
        (tmp_path / name).mkdir()
    (tmp_path / "credentials" / "api-key").write_text(f"{KEY}\n")
    return tmp_path


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """What the files name as the nodes' database is there, with their role."""
    with reachable_by_any_name() as (server, variables):
        server.ask("CREATE ROLE truss LOGIN")
        server.ask("CREATE DATABASE truss OWNER truss")
        yield variables


def test_nodes_that_are_started_in_each_of_these_ways_share_a_queue(
    folder: Path, database: dict[str, str]
) -> None:
    ways: list[Callable[[Path], tuple[list[str], dict[str, str]]]] = [of_systemd, of_compose, of_kubernetes]
    with ExitStack() as started:
        nodes = [started.enter_context(node(way(folder), folder, database)) for way in ways]
        clients = [started.enter_context(PlatformClient(each.url, api_key=KEY)) for each in nodes]
        for number, client in enumerate(clients):
            accepted = client.submit(model_input={"name": "Ada"})
            other = clients[(number + 1) % len(clients)]
            assert other.wait(accepted.request_id, timeout_seconds=60).status.value == "SUCCEEDED"
        (probed,) = {
            probe["httpGet"]["path"]
            for made in yaml.safe_load_all(KUBERNETES.read_text())
            for probe in probes(made)
            if "httpGet" in probe
        }
        assert httpx.get(f"{nodes[2].url}{probed}", trust_env=False).status_code == 200


def node(said: tuple[list[str], dict[str, str]], folder: Path, database: dict[str, str]) -> Served:
    (command, truss), environment = said
    assert (command, truss.rpartition("/")[2]) == ("serve", "hello")
    assert environment["TRUSS_ASYNC_HOST"] == "0.0.0.0"  # noqa: S104
    given = {"TRUSS_ASYNC_API_KEY": KEY} if "TRUSS_ASYNC_API_KEY" in environment else {}
    return Served(
        folder / "hello",
        *("--host", "127.0.0.1", "--port", "0"),
        environment={**environment, **given, **database},
        cwd=Path(tempfile.mkdtemp(dir=folder)),  # a machine, or container, of its own
    )


def probes(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for container in made["spec"].get("template", {}).get("spec", {}).get("containers", []):
        yield from (container[name] for name in ("readinessProbe", "livenessProbe") if name in container)
