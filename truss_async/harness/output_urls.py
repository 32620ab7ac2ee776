"""Where the models save their outputs, as far as it can be told from outside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..contract.output_variables import LOCAL_OUTPUT_URL, OUTPUT_URL

if TYPE_CHECKING:
    from pathlib import Path

    from ..replicas.settings import DeploymentSettings


def output_url_of(settings: DeploymentSettings, given: Mapping[str, str]) -> str | None:
    """What the environment says, ``given`` before this process's own, else the config of the truss; None: neither does.

    Raises:
        HarnessError: the config cannot be read.
    """
    surroundings = given.get(OUTPUT_URL) or os.environ.get(OUTPUT_URL)
    if surroundings or settings.truss_dir is None:
        return surroundings or None
    from ..replicas.truss_folder import configured_output_url  # loads YAML, which a model URL does not need

    return configured_output_url(settings.truss_dir, local_url=given.get(LOCAL_OUTPUT_URL))


def with_local_outputs(environment: Mapping[str, str], *, folder: Path) -> Mapping[str, str]:
    """Let models that name no store keep their outputs in that folder, unless the environment names one for all."""
    if environment.get(OUTPUT_URL) or os.environ.get(OUTPUT_URL):
        return environment
    return {LOCAL_OUTPUT_URL: folder.as_uri(), **environment}
