"""``@save_output`` on a chainlet's ``run_remote``.

A chainlet is not the class that Truss serves: the model.py around it is generated, and hands the request on to nobody.
So the output is taken where it is returned, and the chainlet answers the very object that it made: its type is the
chain's business. It is saved once the slot is free again, where the server lets the generated model do that.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from ..errors import UnsupportedModelError
from .construction import settings_of, state_of
from .generated_models import Unsaved, is_saved_later, save_after_predict
from .hooks import Hook, recorded, recorded_async, save_for
from .preparation import saver_of
from .requests import Serving
from .responses import STREAM_REFUSED
from .saving_threads import in_saving_thread
from .truss_server import in_truss_server, is_chain_context

RUN_REMOTE: Final = "run_remote"
_OURS: Final = "_truss_async_saves"


def check_run_remote(run_remote: Callable[..., Any], *, streaming: str) -> None:
    """UnsupportedModelError for one that streams, unless streams are passed; when the chain is built already."""
    if _streams(run_remote) and streaming != "pass":
        raise UnsupportedModelError(f"{run_remote.__qualname__} streams its output: {STREAM_REFUSED}")


def install_in_chainlet(chainlet_class: Any, run_remote: Callable[..., Any]) -> None:
    """Save what this ``run_remote`` of the class returns. Where the chain is built or run locally, nothing changes."""
    if in_truss_server() and not _streams(run_remote):
        chainlet_class.run_remote = _saving(run_remote)
        vars(chainlet_class.run_remote)[_OURS] = True
        save_after_predict(_saves)
        chainlet_class.__new__ = _preparing(chainlet_class.__new__)


def _saves(chainlet_class: object) -> bool:
    return hasattr(getattr(chainlet_class, RUN_REMOTE, None), _OURS)


def _streams(run_remote: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(run_remote) or inspect.isasyncgenfunction(run_remote)


def _saving(run_remote: Callable[..., Any]) -> Hook:
    @functools.wraps(run_remote)
    async def run_remote_async(self: object, *arguments: Any, **keywords: Any) -> Any:
        with Serving(None, is_remote=True) as served:
            output = await recorded_async(lambda: run_remote(self, *arguments, **keywords), self, served)
            if served is not None and not is_saved_later(unsaved := Unsaved(self, output, served)):
                await in_saving_thread(save_for, *unsaved)
            return output

    @functools.wraps(run_remote)
    def run_remote_sync(self: object, *arguments: Any, **keywords: Any) -> Any:
        with Serving(None, is_remote=True) as served:
            output = recorded(lambda: run_remote(self, *arguments, **keywords), self, served)
            if served is not None and not is_saved_later(unsaved := Unsaved(self, output, served)):
                save_for(*unsaved)
            return output

    return run_remote_async if inspect.iscoroutinefunction(run_remote) else run_remote_sync


def _preparing(new: Callable[..., Any]) -> Callable[..., Any]:
    """A ``__new__`` that makes the saver, so that what is wrong with it fails the load of the chainlet.

    Not ``__init__``, whose source and signature the chains framework reads.
    """

    def create(cls: type, *arguments: Any, **keywords: Any) -> Any:
        chainlet = new(cls) if new is object.__new__ else new(cls, *arguments, **keywords)
        state = state_of(chainlet)
        for context in filter(is_chain_context, (*arguments, *keywords.values())):
            state.secrets, state.environment = context.secrets, getattr(context.environment, "name", None)
        if settings_of(chainlet).respond_with == "reference":
            raise UnsupportedModelError("respond_with: a chainlet can answer nothing but its output")
        saver_of(chainlet)
        return chainlet

    return create
