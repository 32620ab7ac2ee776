"""The secrets that a truss declares, and where a value for one is looked for: as the Truss server does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

VARIABLE_PREFIX: Final = "TRUSS_SECRET_"


def without_value(
    config: Mapping[str, Any], *, secrets_dir: Path | None, environment: Mapping[str, str]
) -> list[str]:
    """The names of declared secrets for which there is neither a file, nor a variable, nor a value in the config."""
    declared = config.get("secrets")
    return [
        str(name)
        for name, default in (declared.items() if isinstance(declared, Mapping) else ())
        if not _value(str(name), default, secrets_dir=secrets_dir, environment=environment)
    ]


def values_of(
    config: Mapping[str, Any], *, secrets_dir: Path | None, environment: Mapping[str, str]
) -> dict[str, str]:
    """The declared secrets that have a value here, with it."""
    declared = config.get("secrets")
    found = {
        str(name): _value(str(name), default, secrets_dir=secrets_dir, environment=environment)
        for name, default in (declared.items() if isinstance(declared, Mapping) else ())
    }
    return {name: value for name, value in found.items() if value}


def remark_on_secrets(names: list[str], *, secrets_dir: Path | None) -> str:
    """The line that names them, and both ways to give them."""
    words = "secret has no value" if len(names) == 1 else "secrets have no value"
    folder = "a folder given with --secrets-dir" if secrets_dir is None else str(secrets_dir)
    return (
        f"{len(names)} declared {words}: {', '.join(names)}; a model that reads one fails. Put each into a file "
        f"with its name in {folder}, or set {VARIABLE_PREFIX}{names[0]}"
    )


def _value(
    name: str, default: object, *, secrets_dir: Path | None, environment: Mapping[str, str]
) -> str | None:
    try:
        if secrets_dir is not None and (secrets_dir / name).is_file():
            return (secrets_dir / name).read_text(encoding="utf-8") or None
    except (OSError, UnicodeDecodeError):
        return None  # the server cannot read it either
    value = environment.get(f"{VARIABLE_PREFIX}{name}", default)
    return str(value) if value else None
