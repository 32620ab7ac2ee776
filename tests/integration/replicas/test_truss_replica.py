from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.replicas.conftest import Stage
from tests.integration.replicas.process_table import assert_group_ends, group_members
from truss_async.errors import HarnessError
from truss_async.replicas.protocol import ReplicaCall, ReplicaLoadError, ReplicaUnreachableError
from truss_async.replicas.truss_replica import ProcessReplica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from truss_async.replicas.protocol import Replica

DEADLINE_SECONDS = 20
ECHO = """
class Model:
    def predict(self, model_input):
        return model_input
"""


def pid_of(replica: object) -> int:
    assert isinstance(replica, ProcessReplica)
    assert replica.pid is not None
    return replica.pid


def test_model_is_loaded_answers_and_leaves_no_process_behind(stage: Stage) -> None:
    replica = stage.started(stage.truss(ECHO))
    assert replica.name == "replica-1"
    assert stage.predict(replica, {"page": "ä"}) == {"page": "ä"}
    group = pid_of(replica)
    assert group_members(group)
    stage.run(replica.stop())
    assert_group_ends(group, within_seconds=5)
    stage.run(replica.stop())


MANY_SIDED = """
import logging, os, sys
from pathlib import Path
import bundled_first_at_load as bundled

class Model:
    def __init__(self, config, data_dir, secrets, environment=None):
        self.secrets, self.data_dir = secrets, data_dir

    def setup_environment(self, environment):
        self.environment = environment

    def predict(self, asked):
        return getattr(self, asked["do"])(asked.get("with"))

    def surroundings(self, variables):
        return {
            "bundled": bundled.NAME,
            "data": (self.data_dir / "words.txt").read_text(),
            "from_folder": self.secrets["folder_secret"],
            "from_environment": self.secrets["env_secret"],
            "environment": self.environment,
            "variables": [os.environ.get(name) for name in variables],
            "packages_come_last": sys.path[-1].endswith("packages"),
            "session": os.getsid(0) == os.getpid(),
            "working_directory": os.getcwd() == str(Path(sys.argv[0]).parent),
        }

    def log(self, number):
        logging.warning("thinking")
        print("a bare print")
        return 1 / number
"""


@dataclass(frozen=True)
class ManySided:
    """One server for all that a model is surrounded by, and for its log."""

    stage: Stage
    truss: Path
    replica: Replica
    logged_at_start: list[str]

    def ask(self, do: str, argument: object = None, **headers: str) -> Any:
        return self.stage.predict(self.replica, {"do": do, "with": argument}, **headers)


@pytest.fixture(scope="module")
def many_sided(
    tmp_path_factory: pytest.TempPathFactory, loop: asyncio.AbstractEventLoop
) -> Iterator[ManySided]:
    stage = Stage(tmp_path_factory.mktemp("many_sided"), loop)
    truss = stage.truss(
        MANY_SIDED,
        secrets={"folder_secret": None, "env_secret": None},
        environment_variables={"FROM_CONFIG": "yes", "BOTH": "config", "FLAG": True, "GIVEN": "config"},
    )
    (truss / "packages").mkdir()
    (truss / "packages" / "bundled_first_at_load.py").write_text("NAME = 'bundled'")
    (truss / "data").mkdir()
    (truss / "data" / "words.txt").write_text("a b c")
    secrets_dir = stage.folder / "secrets"
    secrets_dir.mkdir()
    (secrets_dir / "folder_secret").write_text("s3cret", encoding="utf-8-sig")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSS_SECRET_env_secret", "s4cret")
        patch.setenv("BOTH", "inherited")
        patch.setenv("FROM_SERVE", "inherited")
        patch.setenv("VIRTUAL_ENV", "/venv/of/the/harness")
        (replica,) = stage.replicas(
            truss, secrets_dir=secrets_dir, environment="staging", variables={"GIVEN": "given"}
        )
        stage.run(replica.start())
    yield ManySided(stage, truss, replica, [*stage.logged])
    stage.close()


def test_everything_of_the_image_reaches_the_model(many_sided: ManySided) -> None:
    names = ["FROM_CONFIG", "BOTH", "FLAG", "FROM_SERVE", "VIRTUAL_ENV", "PYTHONUNBUFFERED"]
    assert many_sided.ask("surroundings", names) == {
        "bundled": "bundled",
        "data": "a b c",
        "from_folder": "s3cret",
        "from_environment": "s4cret",
        "environment": {"name": "staging"},
        "variables": ["yes", "config", "true", "inherited", None, "1"],
        "packages_come_last": True,
        "session": True,
        "working_directory": True,
    }
    assert not (many_sided.truss / "__pycache__").exists()
    assert not (many_sided.truss / "model" / "__pycache__").exists()


def test_environment_given_to_the_harness_reaches_the_model_and_wins(many_sided: ManySided) -> None:
    assert many_sided.ask("surroundings", ["GIVEN"])["variables"] == ["given"]


def test_logs_carry_the_replica_and_the_request_id_and_leave_the_routine_out(many_sided: ManySided) -> None:
    stage = many_sided.stage
    assert [line for line in many_sided.logged_at_start if "setup_environment" not in line] == []
    assert many_sided.ask("log", 1, **{"x-baseten-request-id": "3f2a11119c"}) == 1
    stage.wait_for_line(stage.logged, "[3f2a11119c] a bare print")
    many_sided.ask("log", 0, **{"x-baseten-request-id": "4f2a11119c"})
    stage.wait_for_line(stage.logged, "ZeroDivisionError")
    texts = [line.partition(" ")[2] for line in stage.logged]
    assert [text for text in texts if "[3f2a11119c]" in text] == [
        "replica-1 [3f2a11119c] WARNING thinking",
        "replica-1 [3f2a11119c] a bare print",
    ]
    assert any(text.startswith("replica-1 [4f2a11119c] ERROR ZeroDivisionError") for text in texts)
    # The file that the user can edit is named, not its copy.
    assert any(str(many_sided.truss / "model" / "model.py") in text for text in texts)


def test_flood_and_endless_line_do_not_block_the_model(stage: Stage) -> None:
    """On a server of its own, of which lines are dropped from then on."""
    model = """
        class Model:
            def predict(self, model_input):
                print("x" * 3_000_000)
                for number in range(20_000):
                    print("line", number)
                return "done"
    """
    replica = stage.started(stage.truss(textwrap.dedent(model)))
    assert stage.predict(replica, {}) == "done"
    assert len(stage.logged) < 20_000


def test_load_failure_is_told_by_the_models_own_traceback(stage: Stage) -> None:
    truss = stage.truss(
        "class Model:\n    def load(self): raise ValueError('no weights')\n    def predict(self, x): return x"
    )
    (replica,) = stage.replicas(truss)
    with pytest.raises(ReplicaLoadError) as caught:
        stage.run(replica.start())
    assert "the model does not load: ValueError: no weights; " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.traceback is not None
    assert f'File "{truss}/model/model.py", line 2' in caught.value.traceback
    assert_group_ends(pid_of(replica), within_seconds=5)


def test_missing_module_of_the_model_is_to_be_added_to_the_requirements(stage: Stage) -> None:
    (replica,) = stage.replicas(stage.truss("import no_such_module"))
    with pytest.raises(ReplicaLoadError, match=r"No module named 'no_such_module'; add it to requirements"):
        stage.run(replica.start())


def test_model_that_ends_the_process_while_loading_is_a_load_failure(stage: Stage) -> None:
    model = "import os\nclass Model:\n    def load(self):\n        print('last words', flush=True)\n        os._exit(9)\n    def predict(self, x): return x"
    (replica,) = stage.replicas(stage.truss(model))
    with pytest.raises(ReplicaLoadError, match=r"exited with status 9 .*last words"):
        stage.run(replica.start())


def test_model_that_ends_its_thread_while_loading_is_a_load_failure(stage: Stage) -> None:
    """Of which the Truss server takes no notice."""
    model = "import sys\nclass Model:\n    def load(self): sys.exit(3)\n    def predict(self, x): return x"
    (replica,) = stage.replicas(stage.truss(model))
    with pytest.raises(ReplicaLoadError, match=r"the model does not load: .*SystemExit\(3\)"):
        stage.run(replica.start())


def test_config_that_truss_refuses_is_told_in_one_line(stage: Stage) -> None:
    (replica,) = stage.replicas(stage.truss(ECHO, python_version="py27"))
    with pytest.raises(HarnessError, match="python_version") as caught:
        stage.run(replica.start())
    assert "\n" not in str(caught.value)


def test_two_replicas_run_side_by_side_and_the_pool_replaces_the_one_that_dies(stage: Stage) -> None:
    model = """
        import os

        class Model:
            def predict(self, model_input):
                if model_input == "die":
                    os._exit(7)
                return os.getpid()
    """
    truss = stage.truss(textwrap.dedent(model), runtime={"predict_concurrency": 2})
    replicas = stage.replicas(truss, replicas=2)
    pool = stage.pool(replicas)
    stage.wait_for_line(stage.reported, "is ready", times=2)
    assert (pool.ready_count, pool.free_slots) == (2, 4)
    first, second = (stage.predict(replica, "pid") for replica in replicas)
    assert first != second
    # Edited in between: what is loaded next is the new one.
    (truss / "model" / "model.py").write_text(textwrap.dedent(model).replace("os.getpid()", "'edited'"))
    with pytest.raises(ReplicaUnreachableError):
        stage.predict(replicas[0], "die")
    stage.wait_for_line(stage.reported, "replica-1 exited with status 7; restarting in 1 s")
    assert stage.predict(replicas[1], "pid") == second
    stage.wait_for_line(stage.reported, "is ready", times=3)
    assert stage.predict(replicas[0], "pid") == "edited"


def test_children_of_the_model_go_with_it(stage: Stage) -> None:
    model = """
        import subprocess, sys

        class Model:
            def load(self):
                self.child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])

            def predict(self, model_input):
                return self.child.pid
    """
    replica = stage.started(stage.truss(textwrap.dedent(model)))
    group = pid_of(replica)
    assert stage.predict(replica, 0) in group_members(group)
    os.kill(group, signal.SIGKILL)
    assert stage.run(replica.wait_exit(on_traffic=print)) == "was killed by SIGKILL (out of memory?)"
    assert_group_ends(group, within_seconds=5)


def test_model_that_does_not_end_on_sigterm_is_killed(stage: Stage) -> None:
    model = """
        import threading

        class Model:
            def predict(self, model_input):
                print("busy", flush=True)
                threading.Event().wait()
    """
    (replica,) = stage.replicas(stage.truss(textwrap.dedent(model)))
    stage.run(replica.start())
    group = pid_of(replica)
    hanging = asyncio.run_coroutine_threadsafe(replica.call(ReplicaCall((), b"0")), stage.loop)
    stage.wait_for_line(stage.logged, "busy")
    stage.run(replica.stop())
    assert_group_ends(group, within_seconds=5)
    assert isinstance(hanging.exception(DEADLINE_SECONDS), ReplicaUnreachableError)


HARNESS = """
import asyncio, sys
from pathlib import Path
from truss_async.replicas.factory import make_replicas
from truss_async.replicas.host import ReplicaHost
from truss_async.replicas.settings import DeploymentSettings

def on_line(line):
    print(line.message, flush=True)

async def main():
    host = ReplicaHost(workdir=Path(sys.argv[2]), report=len, on_line=on_line)
    settings = DeploymentSettings(truss_dir=sys.argv[1], replicas=2, install=False)
    replicas, _ = make_replicas(settings, host)
    await asyncio.gather(*(replica.start() for replica in replicas))
    for replica in replicas:
        print(replica.pid, replica.predict_url, flush=True)
    await asyncio.gather(*(replica.wait_exit(on_traffic=print) for replica in replicas))

asyncio.run(main())
"""


def test_replicas_and_their_children_die_with_a_harness_that_is_killed(stage: Stage, tmp_path: Path) -> None:
    """One is idle, and the other keeps the GIL."""
    model = """
        import re, subprocess, sys

        class Model:
            def load(self):
                subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])

            def predict(self, model_input):
                print("burning", flush=True)
                re.match(r"(a+)+$", "a" * 60 + "b")  # for ages, in C, without a pause
    """
    truss = stage.truss(textwrap.dedent(model))
    command = [sys.executable, "-c", HARNESS, str(truss), str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        started = [harness.stdout.readline().split() for _ in range(2)]
        groups = [int(pid) for pid, _ in started]
        busy = asyncio.run_coroutine_threadsafe(stage.post(started[1][1]), stage.loop)
        assert "burning" in harness.stdout.readline()
        assert [len(group_members(group)) for group in groups] == [2, 2]
        harness.kill()
    for group in groups:
        assert_group_ends(group, within_seconds=2)
    assert isinstance(busy.exception(DEADLINE_SECONDS), ReplicaUnreachableError)


def test_truss_with_a_plugin_of_its_own_runs_that_copy(stage: Stage) -> None:
    model = "import truss_async\nclass Model:\n    def predict(self, x): return truss_async.ORIGIN"
    truss = stage.truss(model)
    (truss / "packages" / "truss_async").mkdir(parents=True)
    (truss / "packages" / "truss_async" / "__init__.py").write_text("ORIGIN = 'its own'")
    assert stage.predict(stage.started(truss), 0) == "its own"
