"""What is served, by name: the id that it gets where none is given, and what it is known by later."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

LONGEST_ID: Final = 57
"""``model-`` and an id are one label of a host name, which has at most 63 characters."""
STUB_ID: Final = "stub"
_NAMELESS: Final = "model"


def id_from(name: str) -> str:
    """A name in lower case; what is no letter or digit, an underscore: a hyphen would be read as a regional host."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())[:LONGEST_ID] or _NAMELESS


def folder_source(folder: Path) -> str:
    """A folder as what is served from it is known by later: where it really is."""
    return os.path.realpath(folder)


def folder_id(folder: Path) -> str:
    """The id of what a folder holds, by the folder's own name."""
    return id_from(Path(os.path.abspath(folder)).name)  # noqa: PTH100 -- Path.absolute() keeps "..", which names nothing


def url_id(url: str) -> str:
    """The id of a model server: its host and, where the URL has one, its port."""
    return id_from(urlsplit(url).netloc.rpartition("@")[2])


def url_source(url: str) -> str:
    """A URL as what it leads to is known by later: without the password that may be in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def stub_source(found_at: str | None, *, file: Path | None) -> str:
    """A stub as it is known by later: in the place of what is found there, or by the file that has its answers."""
    if found_at is not None:
        return f"{found_at} with a stub"
    return "a stub" if file is None else folder_source(file)


def model_id(model: Any) -> str:
    """The id of a class, an object of one, or a callable."""
    return id_from(_named(model).__name__)


def model_source(model: Any) -> str:
    """A model as it is known by later: where Python finds it."""
    named = _named(model)
    return f"{named.__module__}.{named.__qualname__}"


def _named(model: Any) -> type | Callable[..., Any]:
    is_named = all(
        isinstance(getattr(model, each, None), str) for each in ("__name__", "__qualname__", "__module__")
    )
    return model if is_named else type(model)
