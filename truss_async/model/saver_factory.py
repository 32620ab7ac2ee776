"""From settings to what saves outputs: the store and its client, the check, the spill folder.

Imported in the background while a model loads, or when the first output is saved: it is not cheap.
"""

import functools
from collections.abc import Mapping
from typing import Any

from ..clock import SYSTEM_CLOCK
from ..errors import OutputStoreError
from ..printable import printable_logger
from ..stores import StoreCredentials, object_store
from ..stores.unfinished import abort_uploads
from .destination import Destinations
from .saver import OutputSaver
from .settings import OutputSettings
from .spill import SpillFolder
from .truss_server import before_the_end, in_truss_server

logger = printable_logger(__name__)


def make_saver(
    settings: OutputSettings, *, secrets: Mapping[str, str] | None, environment: Any
) -> OutputSaver:
    """The saver that these settings ask for. OutputStoreError when its store cannot be written, and that is checked."""
    credentials = StoreCredentials() if secrets is None else StoreCredentials.from_secrets(secrets)
    destinations = Destinations(
        settings,
        environment=_environment_name(environment),
        open_store=functools.partial(object_store, credentials=credentials, options=settings.store_options),
    )
    before_the_end(abort_uploads)  # given first, so done last: what is spilled may be uploading until then
    spill_folder = None
    if settings.on_failure == "spill":
        spill_folder = SpillFolder.prepared(
            settings.spill_dir,
            clock=SYSTEM_CLOCK,
            is_ours=lambda url: destinations.holds(url, now=SYSTEM_CLOCK.now()),
        )
    _check(destinations, settings)
    return OutputSaver(settings, destinations=destinations, clock=SYSTEM_CLOCK, spill_folder=spill_folder)


def _check(destinations: Destinations, settings: OutputSettings) -> None:
    """Fail the load for a store that cannot be written, unless it may be back soon and there is a way to wait."""
    url = destinations.check(now=SYSTEM_CLOCK.now(), write=False)
    try:
        if settings.check and in_truss_server():
            destinations.check(now=SYSTEM_CLOCK.now(), write=True)
    except OutputStoreError as error:
        if settings.on_failure == "raise" or not error.passes:
            raise
        logger.warning("%s", error)
    logger.info("outputs are saved under %s", url)


def _environment_name(environment: Any) -> str | None:
    """The name in what Truss gives: ``{"name": "production", …}``, or None outside of any environment."""
    name = environment.get("name") if isinstance(environment, Mapping) else environment
    return str(name) if name else None
