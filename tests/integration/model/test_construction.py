"""Constructors of every kind, settings from every place, and what makes a load fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from truss_async.replicas.protocol import ReplicaLoadError
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.model.conftest import Reload, Serve

HEADER = "from truss_async.model import AsyncOutputModel, save_output\n"

CONSTRUCTORS = {
    "keywords": """
    def __init__(self, **kwargs):
        self.seen = sorted(kwargs)
        super().__init__(**kwargs)
""",
    "keywords, no super": """
    def __init__(self, **kwargs):
        self.seen = sorted(kwargs)
""",
    "some": """
    def __init__(self, data_dir, config):
        self.seen = ["config", "data_dir"] if config["model_name"] and data_dir else []
        super().__init__()
""",
    "none": """
    def __init__(self):
        self.seen = []
""",
    "absent": "    seen = None\n",
}
SEEN = {
    "keywords": ["config", "data_dir", "environment", "lazy_data_resolver", "secrets"],
    "keywords, no super": ["config", "data_dir", "environment", "lazy_data_resolver", "secrets"],
    "some": ["config", "data_dir"],
    "none": [],
    "absent": None,
}
PREDICT = "    def predict(self, model_input):\n        return self.seen\n"


@pytest.mark.parametrize("kind", CONSTRUCTORS)
def test_a_constructor_gets_what_it_takes_and_settings_arrive(
    serve: Serve, tmp_path: Path, kind: str
) -> None:
    where = tmp_path.as_uri()
    server = serve(
        HEADER + "class Model(AsyncOutputModel):\n" + CONSTRUCTORS[kind] + PREDICT,
        config={"model_metadata": {"async_output": {"url": f"{where}/config", "model_id": "m1"}}},
        TRUSS_ASYNC_OUTPUT_URL="",
    )
    assert server.predict({}, "made").json == SEEN[kind]
    result = OutputStore.from_url(f"{where}/config").get("made")
    assert (result.data, result.model_id, result.deployment_id) == (SEEN[kind], "m1", None)


def test_an_edited_setting_counts_after_a_hot_reload(reload: Reload) -> None:
    source = HEADER + "class Model(AsyncOutputModel):\n    seen = 1\n" + PREDICT
    server = reload(source)
    server.predict({}, "before")
    server = reload(f"{source}    output_url = '{server.store_url}/moved'\n")
    server.predict({}, "after")
    assert server.stored_files() == ["moved/after.json"]


def test_hooks_set_on_the_object_save_too(serve: Serve) -> None:
    server = serve(
        HEADER
        + """
class Model(AsyncOutputModel):
    def __init__(self):
        self.predict = self._fast
        self.postprocess = lambda output: [*output, "post"]

    def predict(self, model_input):
        return ["slow"]

    def _fast(self, model_input):
        return ["fast", self.context["request_id"]]
"""
    )
    assert server.predict({}, "object").json == ["fast", "object", "post"]
    assert server.result("object").data == ["fast", "object", "post"]


@pytest.mark.parametrize(
    ("config", "source", "message"),
    [
        ({}, "", "output_url on the model class"),
        ({}, "    output_url = 'nonsense://x'\n", "nonsense"),
        ({"model_metadata": {"async_output": {"ulr": "x"}}}, "", "unknown setting: ulr"),
        ({}, "    def predict(self, model_input):\n        yield 1\n", "a stream cannot be saved"),
    ],
    ids=["no URL", "unknown scheme", "unknown key", "generator"],
)
def test_a_wrong_model_does_not_load(
    serve: Serve, config: dict[str, object], source: str, message: str
) -> None:
    predict = "" if "predict" in source else PREDICT
    with pytest.raises(ReplicaLoadError, match=message):
        serve(
            HEADER + "class Model(AsyncOutputModel):\n" + source + predict,
            config=config,
            TRUSS_ASYNC_OUTPUT_URL="",
        )


def test_credentials_in_truss_secrets_reach_the_store(serve: Serve) -> None:
    """Half a pair of credentials is refused by name, which shows that the secrets are read."""
    with pytest.raises(ReplicaLoadError, match="aws_access_key_id is given without aws_secret_access_key"):
        serve(
            HEADER + "class Model(AsyncOutputModel):\n" + PREDICT,
            config={"secrets": {"aws_access_key_id": None}},
            TRUSS_SECRET_aws_access_key_id="key",
        )
