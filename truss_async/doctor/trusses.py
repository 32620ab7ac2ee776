"""What the config of a truss would do here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..errors import HarnessError
from ..harness.scratch_folders import scratch_folder
from ..replicas.context import build_context
from ..replicas.declared_secrets import remark_on_secrets, without_value
from ..replicas.differences import differences
from ..replicas.environment import EnvironmentChoice
from ..replicas.host import ReplicaHost
from ..replicas.inherited import inherited_environment
from ..replicas.truss_folder import methods_of_model, read_truss_folder
from .findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..replicas.context import BuildContext
    from ..replicas.settings import DeploymentSettings

_CONFIG: Final = "config.yaml"


def truss(truss_dir: Path, settings: DeploymentSettings) -> Iterator[Finding]:
    """Whether truss accepts it, in which environment it would run, and what would be different from its image."""
    try:
        truss_dir = read_truss_folder(truss_dir).path
        with scratch_folder() as workdir:
            context = asyncio.run(build_context(truss_dir, into=workdir / "image"))
            yield Finding(_CONFIG, "ok", f"truss accepts {truss_dir}")
            yield from _environment(context, truss_dir, settings, workdir)
            yield from _remarks(context, settings)
    except HarnessError as error:
        yield Finding(_CONFIG, "failed", f"{truss_dir} cannot be served", str(error))


def _environment(
    context: BuildContext, truss_dir: Path, settings: DeploymentSettings, workdir: Path
) -> Iterator[Finding]:
    remarks: list[str] = []
    choice = EnvironmentChoice(
        context,
        settings,
        truss_dir=truss_dir,
        cwd=workdir,
        host=ReplicaHost(workdir=workdir, report=remarks.append, on_line=lambda line: None),
        remark=remarks.append,
    )
    try:
        yield Finding("environment", "ok", asyncio.run(choice.survey()))
    except HarnessError as error:
        yield Finding("environment", "failed", "the model cannot be loaded here", str(error))
    for line in remarks:
        yield Finding("environment", "note", line)


def _remarks(context: BuildContext, settings: DeploymentSettings) -> Iterator[Finding]:
    methods = methods_of_model(context.app_dir, context.config)
    for line in differences(context.config, methods=methods, mistyped_keys=context.mistyped_keys):
        yield Finding(_CONFIG, "note", line)
    environment = {**inherited_environment(), **context.environment_variables}
    secrets_dir = settings.secrets_dir
    if names := without_value(context.config, secrets_dir=secrets_dir, environment=environment):
        yield Finding("secrets", "note", remark_on_secrets(names, secrets_dir=secrets_dir))
