"""``--store``: the URL of an output store, or simply a folder."""

from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from cyclopts import Parameter, Token

from ..errors import SettingsError
from ..stores.schemes import EXAMPLES

_TEMPLATE = "{"


def store_url(given: str) -> str:
    """The URL, or that of the folder that was given, which may be a template as a URL may.

    Raises:
        SettingsError: it is neither a URL nor a folder, nor the path of one.
    """
    if "://" in given:
        return given
    path = Path(given).expanduser()
    if "/" not in given and not path.is_dir():
        raise SettingsError(
            f"--store: there is no folder {given!r}; give a folder, or the URL of an output store as in {EXAMPLES}"
        )
    return f"file://{quote(str(path.absolute()), safe='/{}')}"


def check_there(url: str) -> None:
    """Let a store pass, unless it is a folder that is not there: there is a difference between that and an empty one.

    Raises:
        SettingsError: it is not there.
    """
    parts = urlsplit(url.partition(_TEMPLATE)[0])
    if parts.scheme != "file":
        return
    folder = Path(unquote(parts.path if _TEMPLATE not in url else parts.path.rpartition("/")[0]))
    if folder.is_absolute() and not folder.is_dir():
        raise SettingsError(f"--store: there is no folder {folder}; a model makes it with its first output")


def _as_store_url(_type: Any, tokens: tuple[Token, ...]) -> str:
    return store_url(tokens[0].value)


STORE = Parameter(converter=_as_store_url)
"""Part of an option that takes either."""
