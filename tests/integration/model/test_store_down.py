"""The store is down, in the real Truss server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.model.model_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.model.conftest import Serve
    from tests.integration.model.model_server import ModelServer

MODEL = """
import os, signal
from truss_async.model import AsyncOutputModel, save_counts

class Model(AsyncOutputModel):
    output_on_failure = "spill"

    def predict(self, model_input):
        if model_input == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if model_input == "counts":
            return str(save_counts(self))
        return {"n": model_input, "image": b"GIF89a"}
"""

SPILLED = ["r.json", "r/ATTEMPT/image.gif"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, Any]:
    return {
        "TRUSS_ASYNC_OUTPUT_URL": (tmp_path / "blocked" / "store").as_uri(),
        "TRUSS_ASYNC_OUTPUT_SPILL_DIR": str(tmp_path / "spill"),
        "TRUSS_ASYNC_OUTPUT_CHECK": "false",
    }


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def uploaded(tmp_path: Path, answer: Any) -> list[str]:
    """What is in the store once it is back: the output, and the artifact where the answer says, in its attempt's folder."""
    store = tmp_path / "blocked" / "store"
    found = files(store)
    assert [store.joinpath(each).as_uri() for each in found[1:]] == [answer["image"]["url"]]
    return [re.sub(r"/[0-9a-f]{32}/", "/ATTEMPT/", each) for each in found]


def spill_one(server: ModelServer, tmp_path: Path) -> Any:
    """An answer that is given while a file stands where the store's folder should be."""
    (tmp_path / "blocked").touch()
    answer = server.predict(1, "r")
    assert answer.status == 200, server.log
    server.wait_for_log("request r: spilled (saved 0, failed 0, retried 0, spilled 1, uploaded 0)")
    assert len(files(tmp_path / "spill")) == 4
    return answer.json


def test_the_output_is_uploaded_when_the_store_is_back(
    serve: Serve, environment: dict[str, Any], tmp_path: Path
) -> None:
    server = serve(MODEL, **environment)
    answer = spill_one(server, tmp_path)
    (tmp_path / "blocked").unlink()
    wait_until(lambda: files(tmp_path / "spill") == [], "the spill folder is empty")
    assert uploaded(tmp_path, answer) == SPILLED
    assert server.predict("counts", "c").json == "saved 0, failed 0, retried 0, spilled 1, uploaded 2"


def test_the_end_of_the_server_is_a_last_chance(
    serve: Serve, environment: dict[str, Any], tmp_path: Path
) -> None:
    server = serve(MODEL, **environment)
    answer = spill_one(server, tmp_path)
    server.wait_for_log("cannot be uploaded yet")
    (tmp_path / "blocked").unlink()
    server.stop()
    assert files(tmp_path / "spill") == []
    assert uploaded(tmp_path, answer) == SPILLED


def test_what_a_killed_server_has_spilled_is_uploaded_by_the_next(
    serve: Serve, environment: dict[str, Any], tmp_path: Path
) -> None:
    server = serve(MODEL, **environment)
    answer = spill_one(server, tmp_path)
    with pytest.raises(ConnectionError):
        server.predict("die", "d")
    (tmp_path / "blocked").unlink()
    assert len(files(tmp_path / "spill")) == 4
    serve(MODEL, **environment)
    wait_until(lambda: files(tmp_path / "spill") == [], "the spill folder is empty")
    assert uploaded(tmp_path, answer) == SPILLED
