"""Which write is the one in the store: the attempt id in an object's metadata says it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..errors import OutputStoreError

if TYPE_CHECKING:
    from .protocol import ObjectStore

ATTEMPT_ID_METADATA: Final = "attempt-id"
ATTEMPT_ID: Final = re.compile(r"[0-9a-f]{32}")


def with_attempt_id(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata with an attempt id: its own, or a new one."""
    return {ATTEMPT_ID_METADATA: uuid.uuid4().hex, **metadata}


def is_own_write(store: ObjectStore, key: str, metadata: Mapping[str, str]) -> bool:
    """Whether the object there was written by this very attempt, whose answer was lost on its way back.

    Not, as far as we know, when it is not for us to look at.
    """
    attempt_id = metadata.get(ATTEMPT_ID_METADATA)
    try:
        return attempt_id is not None and store.head(key).metadata.get(ATTEMPT_ID_METADATA) == attempt_id
    except OutputStoreError as error:
        if error.passes:
            raise
        return False
