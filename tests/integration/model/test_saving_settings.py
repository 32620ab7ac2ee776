"""Settings, in the real Truss server."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from truss_async.replicas.protocol import ReplicaLoadError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.model.conftest import Reload, Serve

MODEL = """
from truss_async.model import AsyncOutputModel

class Model(AsyncOutputModel):
    def predict(self, model_input):
        return {"n": model_input}
"""


def config(**section: Any) -> dict[str, Any]:
    return {"model_metadata": {"async_output": section}}


def test_settings_of_the_config_and_the_environment_hold_together(serve: Serve, tmp_path: Path) -> None:
    server = serve(
        MODEL,
        config=config(model_id="m", key="{model_id}/{request_id}/out.json", respond_with="reference"),
        TRUSS_ASYNC_OUTPUT_URL=f"{tmp_path.as_uri()}/{{date:%Y}}/store",
        TRUSS_ASYNC_OUTPUT_COMPRESSION="gzip",
    )
    answer = server.predict(3, "r").json
    [stored] = [each for each in tmp_path.glob("*/store/**/*") if each.is_file()]
    assert stored.parts[-3:] == ("m", "r", "out.json")
    assert answer["url"] == stored.as_uri()
    assert json.loads(gzip.decompress(stored.read_bytes()))["data"] == {"n": 3}


def test_a_store_that_cannot_be_written_fails_the_load_unless_that_is_not_asked(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    url = f"{tmp_path.as_uri()}/file"
    with pytest.raises(ReplicaLoadError, match=r"cannot write .*/file/truss-async-probe"):
        serve(MODEL, TRUSS_ASYNC_OUTPUT_URL=url)
    serve(MODEL, config=config(check=False), TRUSS_ASYNC_OUTPUT_URL=url)


def test_the_first_output_stays_and_is_answered(reload: Reload) -> None:
    server = reload(MODEL.replace("def predict", "output_overwrite = False\n    def predict"))
    assert [server.predict(number, "r").json for number in (1, 2)] == [{"n": 1}, {"n": 1}]
    assert server.result("r").data == {"n": 1}
