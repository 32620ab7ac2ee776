"""Where an exception of the model comes from, fit to be kept: the user's frames, and no secret."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING, Final

from ..contract.result_json import without_lone_surrogates
from ..printable import without_logins
from ..stores.credentials import secret_or_none

if TYPE_CHECKING:
    from .construction import ModelState

MAX_FRAMES: Final = 50
MAX_CHARACTERS: Final = 20_000
_SHORTEST_SECRET: Final = 4
"""A shorter one would be found everywhere."""
_OWN_FOLDER: Final = f"{Path(__file__).parent.parent}{os.sep}"
_SECRET_VARIABLE: Final = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)


def told_traceback(error: BaseException, *, secrets: Iterable[str]) -> str:
    """The traceback without this package's own frames, each secret in it replaced by ``***``; the end of a very long one."""
    told = TracebackException.from_exception(error, limit=-MAX_FRAMES)
    _without_own_frames(told)
    text = without_logins("".join(told.format()))
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    shown = text if len(text) <= MAX_CHARACTERS else f"…{text[-MAX_CHARACTERS:]}"
    return str(without_lone_surrogates(shown))


def secrets_of(state: "ModelState", environ: Mapping[str, str]) -> Iterator[str]:
    """What must not be told: the values of the truss's secrets, and of variables whose names say that they are one."""
    named = (state.config or {}).get("secrets")
    for name in (
        named if isinstance(named, Mapping) and state.secrets is not None else ()
    ):  # which tells no names
        if (secret := secret_or_none(state.secrets or {}, name)) is not None:
            yield secret
    yield from (value for name, value in environ.items() if _SECRET_VARIABLE.search(name))


def _without_own_frames(told: TracebackException) -> None:
    seen: TracebackException | None = told
    while seen is not None:
        seen.stack[:] = [frame for frame in seen.stack if not frame.filename.startswith(_OWN_FOLDER)]
        seen = seen.__cause__ or seen.__context__
