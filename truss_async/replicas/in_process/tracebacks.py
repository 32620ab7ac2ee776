"""Tracebacks as whoever wrote the model wants to read them: from the model on."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

import anyio

_NOT_THE_MODELS: Final = (str(Path(__file__).parents[2]), str(Path(anyio.__file__).parent))


class UntracedError(Exception):
    """Raised by a model of this package's own, whose lines tell nobody anything."""


def model_traceback(error: BaseException) -> str:
    """The traceback without the frames in which this package calls the model; all of them, if there are no others."""
    if isinstance(error, UntracedError):
        return f"Traceback (most recent call last):\n{type(error).__name__}: {error}"
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    shown = error.__traceback__ if frames is None else frames
    return "".join(traceback.format_exception(type(error), error, shown)).rstrip()


def _is_ours(frames: TracebackType) -> bool:
    return frames.tb_frame.f_code.co_filename.startswith(_NOT_THE_MODELS)
