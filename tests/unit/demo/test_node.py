from pathlib import Path

import pytest

from truss_async.demo.node import Node
from truss_async.errors import HarnessError


def test_a_node_that_does_not_start_is_one_line_with_its_last_words(tmp_path: Path) -> None:
    with (
        pytest.raises(HarnessError, match=r"node 7 did not start: .*--fail-rate") as error,
        Node("node 7", "--stub", "echo", "--fail-rate", "7", folder=tmp_path) as node,
    ):
        _ = node.url
    assert "\n" not in str(error.value)


def test_what_a_person_has_set_for_commands_of_their_own_is_not_for_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUSS_ASYNC_FAIL_RATE", "7")
    with Node("node 1", "--stub", "echo", folder=tmp_path) as node:
        assert node.url.startswith("http://127.0.0.1:")
        node.kill()
