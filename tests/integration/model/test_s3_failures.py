"""A real S3 server that fails the real Truss server: nothing that was computed is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.model.model_server import wait_until
from truss_async.demo.s3_server import S3Server
from truss_async.stores import OutputStore, StoreCredentials

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.model.conftest import Serve

MODEL = """
from truss_async.model import AsyncOutputModel

class Model(AsyncOutputModel):
    output_compression = "gzip"
    output_timeout_seconds = 1.0
    output_check = False

    def predict(self, model_input):
        return {"n": model_input, "image": b"GIF89a"}
"""


def test_a_missing_bucket_and_a_server_that_is_gone_lose_nothing(serve: Serve, tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    with S3Server() as s3:
        credentials = StoreCredentials(
            aws_access_key_id=s3.access_key,
            aws_secret_access_key=s3.secret_key,
            aws_region="us-east-1",
            aws_endpoint_url=s3.endpoint_url,
        )
        store = OutputStore.from_url("s3://later/outputs", credentials=credentials)
        environment: dict[str, Any] = s3.environment() | {"TRUSS_ASYNC_OUTPUT_URL": store.url}
        loud = serve(MODEL, **environment)
        assert loud.predict(1, "loud").status == 500
        loud.wait_for_log("the output of request loud is not saved: cannot write s3://later/outputs/loud/")

        spilling: dict[str, Any] = {
            "TRUSS_ASYNC_OUTPUT_ON_FAILURE": "spill",
            "TRUSS_ASYNC_OUTPUT_SPILL_DIR": str(spill),
        }
        server = serve(MODEL, **environment, **spilling)
        assert server.predict(1, "early").status == 200
        assert len(list(spill.iterdir())) == 4
        s3.create_bucket("later")
        wait_until(lambda: not list(spill.iterdir()), "the spill folder is empty")
        result = store.get("early")
        assert result.data["n"] == 1
        with store.open_artifact(store.artifacts("early")[0]) as file:
            assert file.read() == b"GIF89a"

        assert loud.predict(2, "fine").status == 200
        assert store.get("fine").data["n"] == 2

    assert server.predict(3, "late").status == 200
    server.wait_for_log("request late: spilled")
    assert len(list(spill.iterdir())) == 4
    assert loud.predict(3, "late").status == 500
