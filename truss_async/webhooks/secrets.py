"""The webhook secrets that the environment holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

# The plural wins; the commands read the same two, in the same order.
VARIABLES: Final = ("TRUSS_ASYNC_WEBHOOK_SECRETS", "TRUSS_ASYNC_WEBHOOK_SECRET")
REMEDY: Final = f"give secrets=…, or set {VARIABLES[0]} (newest first, separated by commas)"


def configured_secrets(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The secrets in ``TRUSS_ASYNC_WEBHOOK_SECRETS``, which are separated by commas; none when it is not set."""
    given = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    return tuple(part.strip() for part in given.split(",") if part.strip())
