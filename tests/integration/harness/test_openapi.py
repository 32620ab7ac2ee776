"""The harness's own OpenAPI document: complete, and true, as far as a fuzzer can tell."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.harness.route_server import RouteServer
from truss_async.harness.api.operations import every_path, openapi_document
from truss_async.harness.api.routing import find_call
from truss_async.harness.harness import Harness

FUZZER = Path(sys.executable).with_name("schemathesis")
CHECKS = (
    "allow_header_conformance",
    "content_type_conformance",
    "ignored_auth",
    "negative_data_rejection",
    "not_a_server_error",
    "response_headers_conformance",
    "response_schema_conformance",
    "status_code_conformance",
)
# One target in full, of the others what names a deployment: they share everything behind the routing.
PLATFORM = "production/|async_request/|deployment/[^/]+/async_p|environments/[^/]+/async_q"
OWN = "healthz|metrics|_harness/(?!faults)"
FAULTS = "_harness/faults"  # by themselves: once set, they strike


@pytest.fixture
def harness(serve: Callable[..., Harness]) -> Iterator[Harness]:
    with RouteServer() as routes:
        yield serve(model_url=routes.url, limits="none")


def calls() -> list[tuple[str, str, dict[str, Any]]]:
    """Every method and path of the document, with what it says of them."""
    paths: dict[str, dict[str, Any]] = openapi_document()["paths"]
    return [
        (method.upper(), path, said) for path, methods in paths.items() for method, said in methods.items()
    ]


def test_the_document_is_served_as_openapi_3_1(http: httpx.Client) -> None:
    answer = http.get("/_harness/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == openapi_document()
    assert answer.json()["openapi"] == "3.1.0"


def test_it_describes_every_operation_and_the_harness_knows_each() -> None:
    described = {find_call(method, "localhost", path).operation for method, path, _ in calls()}
    assert described == {operation for _, operation in every_path()}


def test_a_method_that_it_does_not_describe_is_405_and_told_those_that_it_does(http: httpx.Client) -> None:
    for path, methods in openapi_document()["paths"].items():
        answer = http.put(path)
        if "/sync/" not in path:
            allowed = ", ".join(method.upper() for method in methods)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed), path


def test_whoever_has_no_key_learns_of_no_path_under_harness(harness: Harness) -> None:
    own = [path for path in openapi_document()["paths"] if path.startswith("/_harness/")]
    for path in (*own, "/_harness/nowhere", "/_harness"):
        for method in ("GET", "PUT"):
            assert httpx.request(method, f"{harness.url}{path}").status_code == 401, path


@pytest.mark.parametrize("paths", [f"^/({PLATFORM}|{OWN})", f"^/{FAULTS}"], ids=["all but faults", "faults"])
def test_no_fuzzing_finds_a_server_error_or_an_undocumented_answer(
    harness: Harness, tmp_path: Path, paths: str
) -> None:
    command: list[str | Path] = [
        *(FUZZER, "run", f"{harness.url}/_harness/openapi.json", "--no-color", "--warnings", "off"),
        *("--header", "Authorization: Api-Key any", "--checks", ",".join(CHECKS)),
        *("--phases", "coverage,fuzzing", "--generation-deterministic", "--max-examples", "5"),
        *("--include-path-regex", paths, "--request-timeout", "60"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
