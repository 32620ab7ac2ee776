"""Whether a store can be written."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from ..errors import ObjectExistsError, OutputStoreError
from ..printable import printable_logger

if TYPE_CHECKING:
    from .protocol import ObjectStore

PROBE_KEY: Final = "truss-async-probe"

_LOG: Final = printable_logger(__name__)


def check_writable(objects: ObjectStore) -> None:
    """Write a small object and remove it; OutputStoreError, with the remedy, when it cannot be written.

    The rights to overwrite and to remove are not needed. One that was left by an earlier check stays, and proves it.
    """
    key = PROBE_KEY
    try:
        objects.put(key, b"", content_type="text/plain", only_if_absent=objects.has_conditional_puts)
    except ObjectExistsError:
        return
    except OutputStoreError as error:
        if error.passes:
            raise
        # What is refused may be the condition, or another object in the place of one that has to stay.
        key = f"{PROBE_KEY}-{uuid.uuid4().hex}"
        objects.put(key, b"", content_type="text/plain")
    try:
        objects.delete(key)
    except OutputStoreError as error:
        # The right to write is enough for saving outputs; the one probe object stays.
        _LOG.warning("the probe object was not deleted: %s", error)
