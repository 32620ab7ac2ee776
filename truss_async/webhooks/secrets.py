"""The webhook secrets that the environment holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final

from ..pasted import as_meant

# The plural wins; the commands read the same two, in the same order.
VARIABLES: Final = ("TRUSS_ASYNC_WEBHOOK_SECRETS", "TRUSS_ASYNC_WEBHOOK_SECRET")
REMEDY: Final = f"give secrets=…, or set {VARIABLES[0]} (newest first, separated by commas)"


def configured_secrets(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The secrets in ``TRUSS_ASYNC_WEBHOOK_SECRETS``, which are separated by commas; none when it is not set.

    Raises:
        SettingsError: one of them is none.
    """
    name = next((each for each in VARIABLES if environment.get(each)), VARIABLES[0])
    given = environment.get(name, "")
    whole = as_meant(given, what=name, may_have_lines=True)
    # Quotes round all of them are nobody's; round each of them, they are taken off below.
    parts = (given if '"' in whole or "'" in whole else whole).split(",")
    return _meant(parts, what=f"a secret in {name}")


def as_secrets(given: Iterable[str] | str) -> tuple[str, ...]:
    """The secrets without what came along when they were pasted, blank ones left out.

    Raises:
        SettingsError: one of them is none.
    """
    return _meant([given] if isinstance(given, str) else given, what="a webhook secret")


def _meant(secrets: Iterable[str], *, what: str) -> tuple[str, ...]:
    return tuple(meant for secret in secrets if secret and (meant := as_meant(secret, what=what)))
