"""``truss-async show``"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..client.refusals import one_line
from ..contract.harness_calls import RequestView
from ..errors import TrussAsyncError
from ..printable import escaped, printable
from .connection import HARNESS_HERE, Connection
from .options import AsJson, RequestId, print_json
from .store_option import STORE
from .variables import variable

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult

_MARGIN = " " * 14


@dataclass(frozen=True)
class Saved:
    """What the output store has of a request; ``problem`` says why it is not to be had."""

    url: str
    result: "AsyncPredictResult | None" = None
    problem: str | None = None


def show(
    request_id: RequestId,
    /,
    *,
    store: Annotated[
        str | None,
        Parameter(
            name="--store",
            help="Output store to read the saved output from: a folder or a URL. [default: from the model's config]",
            env_var=(variable("show_store"), variable("store"), variable("output_url")),
        ),
        STORE,
    ] = None,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Show everything about a request: its timeline, deliveries, log lines and saved output.

    Example:
        truss-async show 3f2a91bc
        truss-async show 0123456789abcdef0123456789abcdef --store file:///tmp/outputs
        truss-async show 3f2a91bc --json
    """
    with connection.to_harness() as client:
        view = client.request_view(request_id)
    saved = _saved(store or view.output_url, view.request.request_id)
    if as_json:
        facts = {**view.model_dump(mode="json"), "saved": _facts(saved)}
        print_json(json.dumps(facts))
        return
    _print_view(view)
    _print_saved(saved)


def _saved(url: str | None, request_id: str) -> Saved | None:
    if url is None:
        return None

    from ..errors import RequestFailedError
    from ..stores import OutputStore

    try:
        return Saved(url, OutputStore.from_url(url).get(request_id))
    except RequestFailedError as failure:
        return Saved(url, failure.result)
    except TrussAsyncError as error:
        return Saved(url, problem=str(error))


def _facts(saved: Saved | None) -> dict[str, Any] | None:
    if saved is None:
        return None
    result = None if saved.result is None else json.loads(saved.result.model_dump_json())
    return {"url": saved.url, "result": result, "problem": saved.problem}


def _print_view(view: RequestView) -> None:
    request = view.request
    rows = [
        ("request", request.request_id),
        ("deployment", request.deployment_id or "-"),
        ("status", request.status.value),
        ("webhook", request.webhook_status.value),
        *(("error", f"{error.code}: {error.message}") for error in request.errors),
    ]
    for name, value in rows:
        print(f"{name:<12}{one_line(value)}")
    print()
    told = [(entry.at, 0, f"  {one_line(entry.what)}") for entry in view.story]
    said = [(line.at, 1, f"  {line.replica} | {printable(line.message)}") for line in view.lines]
    for at, _, text in sorted(told + said, key=lambda entry: entry[:2]):
        print(f"{_since(request.created_at, at)}{text}")


def _since(start: datetime, at: datetime) -> str:
    return f"{(at - start).total_seconds():>+10.3f} s"


def _print_saved(saved: Saved | None) -> None:
    print()
    if saved is None:
        print("saved: the output store is not known; give --store")
    elif saved.result is None:
        print(f"saved: {one_line(saved.problem or 'nothing')}")
    elif saved.result.errors:
        error = saved.result.errors[0]
        print(f"saved in {printable(saved.url)}: the error {one_line(f'{error.code}: {error.message}')}")
    else:
        print(f"saved in {printable(saved.url)}:")
        print(escaped(json.dumps(saved.result.data, indent=2, ensure_ascii=False)))
