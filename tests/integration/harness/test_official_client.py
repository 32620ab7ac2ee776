"""Every operation of the official Python client, on a model's host and on a chain's, regional and not."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from baseten.client import AsyncInferenceClient, InferenceClient
from baseten.client.inferenceapi import ApiClient, AsyncApiClient, AsyncPredictRequest, PredictInput

from tests.integration.harness.model_server import ModelServer
from truss_async.harness.harness import Harness

CHAIN = "chn1"
INPUT = {"x": 1}


def operations_of(client: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")]


OPERATIONS = operations_of(ApiClient)
BY_NAME = ("env_name", "deployment_id", "request_id", "request", "accept")


def is_regional(operation: str) -> bool:
    return operation.removesuffix("_raw").endswith("_regional")


def is_of_a_chain(operation: str) -> bool:
    return "run_remote" in operation


def arguments(client: type, operation: str, *, request_id: str) -> dict[str, Any]:
    """What the operation asks for, by name; a body in the form that its type wants."""
    asked = inspect.signature(getattr(client, operation)).parameters
    assert {"self", *BY_NAME} >= set(asked)
    body: Any
    if not operation.startswith("async_"):
        body = PredictInput(INPUT)
    elif is_of_a_chain(operation):
        body = {"model_input": INPUT}
    else:
        body = AsyncPredictRequest(model_input=INPUT)
    values = {
        "env_name": "production",
        "deployment_id": "local1",
        "request_id": request_id,
        "request": body,
        "accept": "application/json",
    }
    return {name: value for name, value in values.items() if name in asked}


def addressing(harness: Harness, operation: str, *, chain: bool) -> dict[str, Any]:
    """The client's options: what it calls, where; the host it would have called goes into the header."""
    named: dict[str, Any] = {"chain_id": CHAIN} if chain else {"model_id": "local"}
    if is_regional(operation):
        named["environment"] = "production"
    host = InferenceClient.default_base_url(**named).removeprefix("https://")
    return {**named, "api_key": "k", "base_url_override": harness.url, "headers": {"Host": host}}


def check(operation: str, answer: Any, *, chain: bool) -> None:
    """Whether the answer is what the operation promises."""
    if operation.endswith("_raw"):
        assert answer.json() == {"echo": INPUT}
    elif operation.startswith("async_"):
        assert len(answer.request_id) == 32
    elif operation.startswith("get_async_queue_status"):
        assert (answer.model_id, answer.deployment_id) == ("local", "local1")
    elif operation == "get_async_request_status":
        assert (answer.model_id, answer.chain_id) == ((None, CHAIN) if chain else ("local", None))
        assert answer.deployment_id == "local1"
    elif operation == "cancel_async_request":
        assert isinstance(answer.canceled, bool)
    elif operation.startswith("wake"):
        assert answer is None
    else:
        assert answer.root == {"echo": INPUT}


def test_the_official_client_has_the_operations_that_the_platform_has() -> None:
    kinds = ("predict", "async_predict", "run_remote", "async_run_remote", "wake", "get_async_queue_status")
    targets = ("", "_deployment", "_development", "_production", "_regional")
    operations = {f"{kind}{target}" for kind in kinds for target in targets}
    assert set(OPERATIONS) >= operations | {"get_async_request_status", "cancel_async_request"}


def test_none_is_left_out_on_either_client() -> None:
    assert operations_of(AsyncApiClient) == OPERATIONS
    assert {*served(chain=False), *served(chain=True)} == set(OPERATIONS)


@pytest.mark.parametrize("chain", [False, True], ids=["model", "chain"])
def test_every_operation_of_the_sync_client(serve: Callable[..., Harness], *, chain: bool) -> None:
    harness = serve(chain_id=CHAIN if chain else None)
    submit = "async_run_remote_deployment" if chain else "async_predict_deployment"
    with InferenceClient(**addressing(harness, submit, chain=chain)) as client:
        body = arguments(ApiClient, submit, request_id="")
        request_id = getattr(client.api, submit)(**body).request_id
    for operation in served(chain=chain):
        with InferenceClient(**addressing(harness, operation, chain=chain)) as client:
            call = getattr(client.api, operation)
            answer = call(**arguments(ApiClient, operation, request_id=request_id))
            if operation.endswith("_raw"):
                answer.read()
            check(operation, answer, chain=chain)


@pytest.mark.parametrize("chain", [False, True], ids=["model", "chain"])
def test_every_operation_of_the_async_client(serve: Callable[..., Harness], *, chain: bool) -> None:
    harness = serve(chain_id=CHAIN if chain else None)

    async def drive() -> None:
        submit = "async_run_remote_regional" if chain else "async_predict_regional"
        async with AsyncInferenceClient(**addressing(harness, submit, chain=chain)) as client:
            body = arguments(AsyncApiClient, submit, request_id="")
            request_id = (await getattr(client.api, submit)(**body)).request_id
        for operation in served(chain=chain):
            async with AsyncInferenceClient(**addressing(harness, operation, chain=chain)) as client:
                call = getattr(client.api, operation)
                answer = await call(**arguments(AsyncApiClient, operation, request_id=request_id))
                if operation.endswith("_raw"):
                    await answer.aread()
                check(operation, answer, chain=chain)

    asyncio.run(drive())


def served(*, chain: bool) -> list[str]:
    """The operations that make sense there: a chain has words of its own."""
    others = ("predict", "async_predict") if chain else ("run_remote", "async_run_remote")
    return [operation for operation in OPERATIONS if not operation.startswith(others)]


def test_a_chains_request_id_reaches_its_entry_point(
    serve: Callable[..., Harness], model: ModelServer
) -> None:
    harness = serve(chain_id=CHAIN)
    with InferenceClient(api_key="k", base_url_override=f"{harness.url}/chain/{CHAIN}") as client:
        request_id = client.api.async_run_remote_production(request={"model_input": INPUT}).request_id
        client.api.run_remote_production(request=PredictInput(INPUT))
    sent = {headers["x-baseten-request-id"]: headers for headers in model.headers}
    assert len(sent) == 2
    for own_id, headers in sent.items():
        assert headers["x-baseten-chain-request-id"] == own_id
        assert headers["traceparent"].split("-")[1] == own_id
    assert request_id in sent
