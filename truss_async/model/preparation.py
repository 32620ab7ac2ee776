"""What saves a model's outputs: made in the background while the model loads, or when it is first needed."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .construction import settings_of, state_of
from .truss_server import in_truss_server

if TYPE_CHECKING:
    from .counters import SaveCounts
    from .saver import OutputSaver

_making_saver = threading.Lock()


def saver_of(model: object) -> "OutputSaver":
    """What saves the model's outputs, made from its settings when first asked for.

    Made again when the object has got another class, which is how Truss reloads an edited model.
    """
    state = state_of(model)
    if state.saver is not None and state.saver_made_for is type(model):
        return state.saver
    with _making_saver:
        if state.saver is None or state.saver_made_for is not type(model):
            from .saver_factory import make_saver

            settings = settings_of(model)
            state.saver = make_saver(settings, secrets=state.secrets, environment=state.environment)
            state.saver_made_for = type(model)
        return state.saver


def save_counts(model: object) -> "SaveCounts":
    """How many of the model's outputs were saved, were not, or wait in the spill folder."""
    return saver_of(model).counts


def prepare(model: object) -> None:
    """Make what saves the outputs: in the Truss server in the background, while the model loads.

    The end of the load then waits for it, and fails where it cannot be made, or the store cannot be written. Wrong
    settings are told at once.
    """
    settings_of(model)
    if not in_truss_server():
        saver_of(model)
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="truss-async-preparation")
    prepared = pool.submit(saver_of, model)
    pool.shutdown(wait=False)
    own_load = getattr(model, "load", None)

    def load(*arguments: Any, **keywords: Any) -> Any:
        loaded = None if own_load is None else own_load(*arguments, **keywords)
        prepared.result()
        return loaded

    vars(model)["load"] = load if own_load is None else functools.wraps(own_load)(load)
