"""``truss-async predict``"""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..client.calls import DEFAULT_TARGET
from ..contract.json_text import write
from ..contract.limits import SYNC_TIMEOUT_SECONDS
from ..errors import SettingsError
from ..printable import escaped, print_line
from ..whole_files import write_whole
from .connection import HARNESS_HERE, Connection, TargetName
from .model_input import ModelInput, read_model_input
from .options import AsJson, own_option, print_json
from .variables import variable


def predict(
    model_input: ModelInput = None,
    /,
    *,
    target: TargetName = DEFAULT_TARGET,
    output_file: Annotated[
        Path | None,
        Parameter(
            name=("-o", "--output-file"),
            help="Write the output to this file.",
            env_var=variable("predict_output_file"),
        ),
    ] = None,
    timeout_seconds: Annotated[
        float, own_option("predict_timeout_seconds", "Fail after this many seconds.")
    ] = SYNC_TIMEOUT_SECONDS,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Call a model synchronously and print its output. No webhook is sent.

    JSON is printed on one line. Text is printed as is, or as JSON with --json. Binary output needs -o or a pipe.

    Example:
        truss-async predict '{"text": "hello"}'
        truss-async predict @page.json -o output.json
    """
    if not timeout_seconds > 0:
        raise SettingsError("--timeout-seconds: must be more than 0")
    given = read_model_input(model_input)
    with connection.to_platform(target=target) as client:
        output = client.predict(given, timeout_seconds=timeout_seconds)
    if output_file is not None:
        write_whole(output_file.resolve(), _as_bytes(output, as_json=as_json))
    elif isinstance(output, bytes):
        _print_bytes(output)
    elif isinstance(output, str) and not as_json:
        print_line(escaped(output) if sys.stdout.isatty() else output)
    else:
        print_json(write(output).decode())


def _as_bytes(output: Any, *, as_json: bool) -> bytes:
    if isinstance(output, bytes):
        return output
    if isinstance(output, str) and not as_json:
        return output.encode()
    return write(output)


def _print_bytes(output: bytes) -> None:
    if sys.stdout.isatty():
        raise SettingsError(
            f"the output is {len(output):,} bytes that are no text: write them to a file with -o"
        )
    sys.stdout.flush()
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()
