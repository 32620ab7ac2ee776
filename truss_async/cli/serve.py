"""``truss-async serve``"""

import gc
import inspect
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..contract.faults import FaultRule
from ..errors import SettingsError
from ..harness.settings import HarnessSettings
from ..printable import print_line
from ..replicas.settings import PYTHON_ONLY, DeploymentSettings, split_chain
from .connection import DEFAULT_URL
from .options import WEBHOOK_SECRET, checked, option, split_at_commas, takes_fields_of
from .secret_files import ApiKeyFile, WebhookSecretFile, api_key_of, webhook_secrets_of
from .variables import variable

STATE_DIR = Path(".truss-async")
SCHEMA = Parameter(name="--schema", env_var=variable("schema"))
LONGEST_EXAMPLE = 200
"""More characters hardly fit a line that is to be copied."""


def _named(name: str) -> Parameter:
    """An option in seconds whose name does not say so."""
    short = variable(name.removeprefix("--").replace("-", "_"))
    return Parameter(name=name, env_var=(f"{short}_SECONDS", short))


_FOLDERS = inspect.Parameter(
    "truss_dir",
    inspect.Parameter.VAR_POSITIONAL,
    annotation=Annotated[
        Path,
        Parameter.combine(
            option(HarnessSettings, "truss_dir"),
            Parameter(
                help="Truss to serve (a folder with a config.yaml), or chain (CHAIN.py or CHAIN.py:ENTRY_POINT). With "
                "several trusses, each folder's name is its model id."
            ),
            Parameter(env_var_split=lambda _type, value, **_: value.split(os.pathsep)),
        ),
    ],
)


def _file(name: str, annotation: Any = None) -> inspect.Parameter:
    """The option for a file that is read here, into the value of a setting: the one of that name, if it is no option."""
    annotation = annotation or Annotated[Path | None, option(HarnessSettings, name)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@takes_fields_of(
    HarnessSettings,
    options={
        "webhook_secrets": WEBHOOK_SECRET,
        "allow_hosts": Parameter(
            name="--allow-host",
            negative="",
            show_default=False,
            env_var=("TRUSS_ASYNC_ALLOW_HOSTS", "TRUSS_ASYNC_ALLOW_HOST"),
            env_var_split=split_at_commas,
        ),
        "model_id": Parameter(show_default=False),
        "deployment_id": Parameter(show_default=False),
        "adopt": Parameter(negative="", show_default=False),
        "state": Parameter(show_default=False),
        "node_url": Parameter(show_default=False),
        "state_schema": SCHEMA,
        "scale_down_delay_seconds": _named("--scale-down-delay"),
        "autoscaling_window_seconds": _named("--autoscaling-window"),
        "restart_threshold_seconds": _named("--restart-threshold"),
        "latency_seconds": _named("--latency"),
    },
    defaults={"state_dir": STATE_DIR},
    without=["truss_dir", "chainlets", "stub", "deployments", "faults", *PYTHON_ONLY],
    own=[
        _FOLDERS,
        _file("stub", Annotated[str | None, option(HarnessSettings, "stub")]),
        _file("deployments"),
        _file("faults"),
        _file("webhook_secret_file", WebhookSecretFile),
        _file("api_key_file", ApiKeyFile),
    ],
)
def serve(**values: Any) -> None:
    """Serve trusses and chains on this machine the way Baseten does, with async requests, retries and signed webhooks.

    Prints `listening on URL` when it accepts requests; the model may still be loading. The queue survives a restart
    with the same state folder. Press Ctrl-C to stop.

    Example:
        truss-async serve path/to/truss --webhook-secret-file secrets.txt
        truss-async serve --model-url http://127.0.0.1:8080 --port 0
        truss-async serve --stub '{"text": "x"}' --latency 2s
        truss-async serve truss-1 truss-2
        truss-async serve my_chain.py
        truss-async serve --deployments deployments.toml
        truss-async serve path/to/truss --faults faults.toml
        truss-async serve path/to/truss --state postgresql://truss@db.internal/truss
    """
    if values["state"] is not None and values["state_dir"] == STATE_DIR:
        values["state_dir"] = None  # which is for one alone
    secrets = _secrets(values)
    settings = checked(
        HarnessSettings,
        {**_what_to_serve(values), **secrets, "faults": _faults(values.pop("faults"))},
        names={
            "truss_dir": "TRUSS_DIR",
            "state_schema": "--schema",
            "webhook_secrets": "--webhook-secret",
            "allow_hosts": "--allow-host",
            "scale_down_delay_seconds": "--scale-down-delay",
            "autoscaling_window_seconds": "--autoscaling-window",
            "restart_threshold_seconds": "--restart-threshold",
            "latency_seconds": "--latency",
        },
    )

    gc.disable()  # loading leaves nothing to collect, and looking for it takes a fifth of the time
    try:
        from ..harness.harness import run
    finally:
        gc.enable()

    def announce(line: str) -> None:
        if settings.state_dir == STATE_DIR:  # it lies in the user's project, and is not to be committed
            (STATE_DIR / ".gitignore").write_text("*\n")
        print_line(line)
        url = line.removeprefix("listening on ")
        if url != line and settings.chain_id is None and settings.chain is None and not settings.deployments:
            print_line(f"next: {_submit_line(url, settings)}", file=sys.stderr)

    run(settings, announce=announce)


def _what_to_serve(values: dict[str, Any]) -> dict[str, Any]:
    """The values of the settings: one folder is a setting as it is, several are deployments."""
    folders, file = values.pop("truss_dir", ()), values.pop("deployments")
    if len(folders) < 2 and file is None:
        return {**values, **_one_to_serve(*folders)}
    if folders and file is not None:
        raise SettingsError("give truss folders or --deployments, not both")

    from ..harness.deployments_file import deployments_of_folders, read_deployments

    shared = {name: values.pop(name) for name in DeploymentSettings.model_fields if name in values}
    made = deployments_of_folders(folders, shared) if file is None else read_deployments(file, shared)
    return {**values, "deployments": made}


def _one_to_serve(path: Path | None = None) -> dict[str, Any]:
    if path is not None and split_chain(str(path)) is not None:
        return {"chain": str(path)}
    return {"truss_dir": path}


def _secrets(values: dict[str, Any]) -> dict[str, Any]:
    key_file, secret_file = values.pop("api_key_file"), values.pop("webhook_secret_file")
    return {
        "api_key": api_key_of(key_file, given=values.pop("api_key")),
        "webhook_secrets": webhook_secrets_of(secret_file, given=tuple(values.pop("webhook_secrets") or ())),
    }


def _faults(file: Path | None) -> tuple[FaultRule, ...]:
    if file is None:
        return ()

    from ..harness.faults import read_faults

    return read_faults(file)


def _submit_line(url: str, settings: HarnessSettings) -> str:
    command = ["truss-async", "submit", _example_input(settings)]
    if url != DEFAULT_URL:
        command += ["--url", url]
    if settings.api_key is not None:
        command += ["--api-key-file", "FILE"]
    return shlex.join(command)


def _example_input(settings: HarnessSettings) -> str:
    """What the truss, or the stub, says is an input; else one with the keys that the model reads; else any."""
    from ..replicas.example_input import example_input_of, expected_names

    example = example_input_of(settings)
    if example is None:
        example = dict.fromkeys(expected_names(settings), "…") or None
    text = None if example is None else json.dumps(example, ensure_ascii=False)
    return text if text is not None and len(text) <= LONGEST_EXAMPLE else '{"text": "hello"}'
