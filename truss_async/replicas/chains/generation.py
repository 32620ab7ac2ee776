"""Lets truss make the trusses of a chain's chainlets, as it does before it pushes them; nothing leaves this machine."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import HarnessError
from ..interpreter import find_python, process_environment
from ..subprocesses import run
from .chain import ChainSource, read_chain

if TYPE_CHECKING:
    from .chain import Chain

_DRY_RUN: Final = (
    *("-c", "from truss.cli.cli import truss_cli; truss_cli()"),
    *("--non-interactive", "chains", "push", "--dryrun"),
)
_GENERATED: Final = ".chains_generated"
_ERROR: Final = "ERROR "
_WIDTH: Final = "100000"
"""Columns of the terminal that truss shall take itself to write to: it breaks longer lines."""


async def generate_chain(source: ChainSource, *, into: Path, python: Path | None = None) -> Chain:
    """Generate the trusses below the folder ``into``, which is there and empty, and read them.

    ``python`` is the interpreter that imports the chain's file, this one by default: it needs truss, and what that file imports.

    Raises:
        HarnessError: truss refuses it; in truss's own words.
    """
    _check(source, into)
    interpreter = Path(sys.executable) if python is None else find_python(python)
    named = () if source.entry_point is None else (source.entry_point,)
    command = (*_DRY_RUN, source.file.absolute(), *named)
    lines: deque[str] = deque(maxlen=1000)
    environment = {
        **process_environment(interpreter, isolated=False),
        "COLUMNS": _WIDTH,
        "HOME": str(into),
        "PYTHONWARNINGS": "ignore",
        "TMPDIR": str(into),
        "TRUSS_NO_UPDATE_CHECK": "1",
    }
    try:
        status = await run((interpreter, *command), env=environment, cwd=into, on_line=lines.append)
    except OSError as error:
        raise HarnessError(
            f"cannot run {interpreter}: {error.strerror}; give a Python interpreter"
        ) from error
    if status != 0:
        raise HarnessError(f"truss does not accept {source.file}: {reason_of(lines, status)}")
    return await asyncio.to_thread(_read, into, source)


def _check(source: ChainSource, into: Path) -> None:
    if into.resolve().is_relative_to(source.folder.resolve()):
        raise HarnessError(
            f"{source.file} lies in {source.folder}, which holds the folder for temporary files, {tempfile.gettempdir()}, "
            "and truss copies all that lies beside a chain: move it into a folder of its own"
        )


def reason_of(lines: Iterable[str], status: int) -> str:
    """What truss said, from the line on in which it says that something is wrong."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [number for number, line in enumerate(said) if line.startswith(_ERROR)]
    told = said[errors[-1] :] if errors else said[-1:]
    return " ".join(told).removeprefix(_ERROR) or f"it ended with status {status}"


def _read(into: Path, source: ChainSource) -> Chain:
    made = list((into / _GENERATED).glob("*"))
    if len(made) != 1:
        raise HarnessError(f"truss made no trusses of {source.file}, and gives no reason")
    return read_chain(made[0], source)
