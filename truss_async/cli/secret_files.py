"""Secrets out of files: what is given as an option stands in the list of processes, what is in a variable goes to children."""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

from ..errors import SettingsError
from ..pasted import as_meant
from ..text_files import read_text
from .options import own_option

ApiKeyFile: TypeAlias = Annotated[
    Path | None, own_option("api_key_file", "File with the API key; takes precedence over --api-key.")
]
WebhookSecretFile: TypeAlias = Annotated[
    Path | None,
    own_option(
        "webhook_secret_file",
        "File with one webhook secret per line, newest first; used after those of --webhook-secret.",
    ),
]
_COMMENT: Final = "#"


def api_key_of(file: Path | None, *, given: str | None) -> str | None:
    """The key in the file, or else the one that was given, which may stand in a variable for other commands."""
    if file is None:
        return given
    keys = _lines(file, what="--api-key-file")
    if len(keys) != 1:
        raise SettingsError(f"--api-key-file: {file} holds {len(keys)} lines, and must hold one key")
    return keys[0]


def webhook_secrets_of(file: Path | None, *, given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The webhook secrets that were given, and those in the file."""
    if file is None:
        return given
    secrets = _lines(file, what="--webhook-secret-file")
    if not secrets:
        raise SettingsError(f"--webhook-secret-file: {file} holds no secret; put one on each line")
    return (*given, *secrets)


def _lines(file: Path, *, what: str) -> tuple[str, ...]:
    try:
        text = read_text(file)
    except OSError as error:
        raise SettingsError(f"{what}: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{what}: {file} is not UTF-8 text") from None
    meant = (as_meant(line, what=f"{what} {file}") for line in text.splitlines())
    return tuple(line for line in meant if line and not line.startswith(_COMMENT))
