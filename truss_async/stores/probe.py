"""Whether a store can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import OutputStoreError
from ..printable import printable_logger

if TYPE_CHECKING:
    from .protocol import ObjectStore

PROBE_KEY: Final = "truss-async-probe"

_LOG: Final = printable_logger(__name__)


def check_writable(objects: ObjectStore) -> None:
    """Write a small object and remove it; OutputStoreError, with the remedy, when it cannot be written."""
    objects.put(PROBE_KEY, b"", content_type="text/plain")
    try:
        objects.delete(PROBE_KEY)
    except OutputStoreError as error:
        # The right to write is enough for saving outputs; the one probe object stays.
        _LOG.warning("the probe object stays: %s", error)
