"""``truss-async results``: the output store, by hand."""

import json
import shutil
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from cyclopts import App, Parameter

from ..client.harness import FULL_ID_CHARACTERS, SHORTEST_PREFIX
from ..client.refusals import one_line
from ..contract import ArtifactReference, AsyncPredictResult, ErrorDetail
from ..contract.json_text import write
from ..errors import ObjectNotFoundError, OutputStoreError, RequestFailedError, SettingsError
from ..printable import escaped, printable
from ..stores import OutputStore, ResultInfo, check_request_id
from ..stores.polling import as_utc
from ..whole_files import write_whole
from .options import AsJson, RequestId, flag, own_option, print_json
from .results_table import compact_results, export_results
from .store_location import Since, StoreLocation, earliest

MAX_CANDIDATES = 10
STANDARD_OUTPUT = ("-", "@-")


results = App(
    name="results",
    help_epilogue="Example:\n    truss-async results list --store s3://my-bucket/outputs --since 1h",
)
results.command(name="export")(export_results)
results.command(name="compact")(compact_results)


@results.command(name="get")
def get_result(request_id: RequestId, /, *, location: StoreLocation, as_json: AsJson = False) -> int:
    """Print the result of a request. Exits with 1 and prints the error if the request failed.

    With --json, prints the async predict result, the same JSON as the webhook body.

    Example:
        truss-async results get 0123456789abcdef0123456789abcdef --store s3://my-bucket/outputs
        truss-async results get 0123456789abcdef0123456789abcdef --store file:///tmp/outputs --json
    """
    outputs = location.open(must_exist=True)
    found = _full_id(outputs, request_id)
    return _show(lambda: outputs.get(found), as_json=as_json)


@results.command(name="wait")
def wait_for_result(
    request_id: RequestId,
    /,
    *,
    location: StoreLocation,
    timeout_seconds: Annotated[float, own_option("timeout_seconds", "Fail after this many seconds.")] = 3600,
    as_json: AsJson = False,
) -> int:
    """Wait for the result of a request and print it.

    A failure is final after 30 seconds, since the platform may still retry.

    Example:
        truss-async results wait 0123456789abcdef0123456789abcdef --store gs://my-bucket/outputs --timeout-seconds 60
    """
    if not timeout_seconds >= 0:
        raise SettingsError("--timeout-seconds: must be 0 or more")
    outputs = location.open()
    found = _full_id(outputs, request_id)
    return _show(lambda: outputs.wait(found, timeout_seconds=timeout_seconds), as_json=as_json)


@results.command(name="list")
def list_results(
    *,
    location: StoreLocation,
    since: Since = None,
    prefix: Annotated[str, own_option("prefix", "Only request ids that start with this.")] = "",
    failed: Annotated[
        bool,
        flag(
            "results_failed",
            "List failed requests instead, with their errors, except those that succeeded later.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the results in the store, newest last. With --json, one object per line, unordered.

    Example:
        truss-async results list --store s3://my-bucket/outputs --since 24h
        truss-async results list --store file:///tmp/outputs --prefix 01 --json
        truss-async results list --store file:///tmp/outputs --failed
    """
    moment = earliest(since) if since is not None else None
    outputs = location.open(must_exist=True)
    found = (outputs.failures if failed else outputs.list)(since=moment, prefix=prefix)
    for info in found if as_json else sorted(found, key=_age):
        errors = _errors_of(outputs, info.request_id) if failed else None
        if as_json:
            told = {} if errors is None else {"errors": [error.model_dump() for error in errors]}
            print_json(json.dumps({**_facts(info), **told}))
            continue
        when = f"{info.modified_at:%Y-%m-%d %H:%M:%S} UTC" if info.modified_at else "-"
        row = f"{when:<23}  {info.size_bytes:>12}  {printable(info.request_id)}"
        print(row if not errors else f"{row}  {one_line(_in_short(errors[0]))}")


@results.command(name="open")
def open_artifact(
    request_id: RequestId,
    name: Annotated[
        str | None,
        Parameter(name="NAME", help="Name of the artifact. Not needed if there is only one."),
    ] = None,
    /,
    *,
    location: StoreLocation,
    output: Annotated[
        Path | None,
        own_option(
            "results_open_output",
            "File or folder to write to, or - for standard output. [default: the current folder]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy an artifact of a request to a file, and print its path.

    Example:
        truss-async results open 0123456789abcdef0123456789abcdef --store s3://my-bucket/outputs
        truss-async results open 0123456789abcdef0123456789abcdef page.png --store s3://my-bucket/outputs --output=-
    """
    outputs = location.open(must_exist=True)
    request_id = _full_id(outputs, request_id)
    reference = _only_artifact(outputs, request_id) if name is None else outputs.artifact(request_id, name)
    with outputs.open_artifact(reference) as source:
        if str(output) in STANDARD_OUTPUT:
            shutil.copyfileobj(source, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        target = output or Path()
        if target.is_dir():
            target /= reference.url.rpartition("/")[2]
        size_bytes = _copied(source, target)
    facts = {"path": str(target), "url": reference.url, "size_bytes": size_bytes}
    print(json.dumps(facts) if as_json else printable(str(target)))


@results.command(name="rm")
def remove_results(
    *request_ids: Annotated[str, Parameter(name="REQUEST_ID", help="One or more request ids.")],
    location: StoreLocation,
    as_json: AsJson = False,
) -> None:
    """Delete everything stored for these requests: result, error and artifacts. Missing objects are ignored.

    Example:
        truss-async results rm 0123456789abcdef0123456789abcdef --store s3://my-bucket/outputs
    """
    if not request_ids:
        raise SettingsError("give the REQUEST_ID of the request to remove")
    outputs = location.open()
    for request_id in [_full_id(outputs, check_request_id(each)) for each in request_ids]:
        outputs.delete(request_id)
        print(json.dumps({"request_id": request_id, "removed": True}) if as_json else f"removed {request_id}")


def _full_id(outputs: OutputStore, given: str) -> str:
    """The id of the one result whose id begins so; a whole id, and what begins none, stays as it is."""
    if len(given) < SHORTEST_PREFIX or len(given) >= FULL_ID_CHARACTERS:
        return given
    found = sorted({info.request_id for info in outputs.list(prefix=check_request_id(given))})
    if given in found or not found:
        return given
    if len(found) > 1:
        more = ", …" if len(found) > MAX_CANDIDATES else ""
        raise OutputStoreError(
            f"several results begin with {given}: {', '.join(found[:MAX_CANDIDATES])}{more}"
        )
    return found[0]


def _errors_of(outputs: OutputStore, request_id: str) -> list[ErrorDetail]:
    """None of one that has a result, or nothing, by now."""
    try:
        return outputs.get(request_id).errors
    except RequestFailedError as failure:
        errors: list[ErrorDetail] = failure.result.errors
        return errors
    except ObjectNotFoundError:
        return []


def _in_short(error: ErrorDetail) -> str:
    """The code, and what was raised, as its traceback ends; or else the message."""
    lines = _traceback_of(error).splitlines()
    return f"{error.code}: {lines[-1] if lines else error.message}"


def _traceback_of(error: ErrorDetail) -> str:
    found = (error.model_extra or {}).get("traceback")
    return found if isinstance(found, str) else ""


def _only_artifact(outputs: OutputStore, request_id: str) -> ArtifactReference:
    found = outputs.artifacts(request_id)
    if not found:
        raise ObjectNotFoundError(f"there are no artifacts of {request_id} in {outputs.url}")
    if len(found) > 1:
        names = ", ".join(reference.url.rpartition("/")[2] for reference in found)
        raise SettingsError(f"request {request_id} has {len(found)} artifacts; give the NAME of one: {names}")
    return found[0]


def _copied(source: BinaryIO, target: Path) -> int:
    """Copy to the file, all or nothing; return the number of bytes."""
    if not target.parent.is_dir():
        raise SettingsError(f"--output: there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise SettingsError(f"--output: {target} is not a file; for a pipe or a device, redirect --output -")
    return write_whole(target.resolve(), source)


def _show(find: Callable[[], AsyncPredictResult], *, as_json: bool) -> int:
    """Print what is found; as JSON, also the result of a request that failed. Return the exit code."""
    try:
        result = find()
    except RequestFailedError as failure:
        if not as_json:
            for line in "\n".join(map(_traceback_of, failure.result.errors)).splitlines():
                print(printable(line), file=sys.stderr)
            raise
        print_json(failure.result.model_dump_json())
        return 1
    _print_result(result, as_json=as_json)
    return 0


def _print_result(result: AsyncPredictResult, *, as_json: bool) -> None:
    """Print a result: for people, what it is and then the output; as JSON, as it is stored."""
    if as_json:
        print_json(result.model_dump_json())
        return
    rows = [
        ("request", result.request_id),
        ("model", result.model_id or "-"),
        ("deployment", result.deployment_id or "-"),
        ("written", f"{as_utc(result.time):%Y-%m-%d %H:%M:%S} UTC"),
        *(("error", f"{error.code}: {error.message}") for error in result.errors),
    ]
    for name, value in rows:
        print(f"{name:<12}{one_line(value)}")
    try:
        text = json.dumps(result.data, indent=2, ensure_ascii=False)
    except RecursionError:  # so deep that the indents would be most of it
        text = write(result.data).decode()
    print(escaped(text))


def _facts(info: ResultInfo) -> dict[str, Any]:
    return {
        "request_id": info.request_id,
        "size_bytes": info.size_bytes,
        "modified_at": info.modified_at.isoformat() if info.modified_at else None,
    }


def _age(info: ResultInfo) -> tuple[datetime, str]:
    return info.modified_at or datetime.min.replace(tzinfo=timezone.utc), info.request_id
