import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.demo.balancer import Balancer


def post(balancer: Balancer) -> httpx.Response:
    return httpx.post(f"{balancer.url}/predict", json={"number": 1}, trust_env=False)


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_calls_go_to_the_nodes_in_turn_and_pass_over_one_that_is_away(nobody: str) -> None:
    with ModelServer() as one, ModelServer() as other, Balancer([one.url, nobody, other.url]) as balancer:
        for _ in range(6):
            assert post(balancer).json() == {"echo": {"number": 1}}
        assert balancer.answered == {one.url: 2, other.url: 4}


def test_without_a_node_that_answers_a_call_is_503(nobody: str) -> None:
    with Balancer([nobody]) as balancer:
        answer = post(balancer)
        assert (answer.status_code, answer.json()) == (503, {"error": "no node answers"})
        assert httpx.get(f"{balancer.url}/healthz", trust_env=False).status_code == 503


def test_a_call_that_a_node_took_and_did_not_answer_is_not_repeated() -> None:
    with ModelServer(lambda _: Answer(is_cut=True)) as cut, ModelServer() as other:
        with Balancer([cut.url, other.url]) as balancer:
            answer = post(balancer)
        assert answer.status_code == 502
        assert f"{cut.url} took the call and did not answer" in answer.json()["error"]
        assert (len(cut.calls), other.calls) == (1, [])
