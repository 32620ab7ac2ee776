"""The local folder that keeps what a store would not take, until it does."""

import itertools
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ..clock import Clock
from ..errors import ObjectNotFoundError, OutputStoreError, SettingsError
from ..printable import printable_logger
from ..stores import ObjectStore, object_store
from ..stores.probe import check_writable
from ..stores.protocol import NO_METADATA

if TYPE_CHECKING:
    from ..stores.protocol import Body

logger = printable_logger(__name__)

_BODY: Final = ".body"
_NOTE: Final = ".json"
_DAMAGED: Final = ".damaged"
_order = itertools.count()


class SpilledObject(BaseModel):
    """One object on its way to a store."""

    model_config = ConfigDict(frozen=True)

    store_url: str
    key: str
    request_id: str
    content_type: str
    content_encoding: str | None = None
    metadata: dict[str, str] = {}
    spilled_at: datetime


class SpillFolder:
    """Objects, each a body and a note of where it belongs. The note is written last: without one, there is no object.

    What lies there outlives the process, and is found by the next one.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._files = object_store(path.as_uri())
        self._clock = clock

    @classmethod
    def prepared(cls, path: str | None, *, clock: Clock) -> "SpillFolder":
        """The folder at the path, which can be written; by default one of this user's own for temporary files."""
        folder = _own_temporary_folder() if path is None else Path(path)
        spill_folder = cls(folder, clock=clock)
        check_writable(spill_folder._files)
        return spill_folder

    @property
    def url(self) -> str:
        """Where it is."""
        return self._files.url

    def add(
        self,
        body: "Body",
        *,
        store_url: str,
        key: str,
        request_id: str,
        content_type: str,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> None:
        """Keep the object; when it returns, the object is on the disk."""
        now = self._clock.now()
        note = SpilledObject(
            store_url=store_url,
            key=key,
            request_id=request_id,
            content_type=content_type,
            content_encoding=content_encoding,
            metadata=dict(metadata),
            spilled_at=now,
        )
        # By name, they are in the order in which they came.
        name = f"{now:%Y%m%dT%H%M%S%f}-{next(_order):012}-{uuid.uuid4().hex}"
        self._files.put(name + _BODY, body, content_type=content_type)
        self._files.put(name + _NOTE, note.model_dump_json().encode(), content_type="application/json")

    def waiting(self) -> list[str]:
        """The names of the objects, the oldest first."""
        keys = sorted(each.key for each in self._files.list() if each.key.endswith(_NOTE))
        return [key.removesuffix(_NOTE) for key in keys if "/" not in key]

    def read(self, name: str) -> SpilledObject | None:
        """What is noted of the object; None when it has gone, or its note is not ours and is put aside."""
        try:
            with self._files.open(name + _NOTE) as file:
                text = file.read()
        except ObjectNotFoundError:
            return None
        try:
            return SpilledObject.model_validate_json(text)
        except ValidationError:
            logger.error("%s/%s%s cannot be read and is put aside as %s", self.url, name, _NOTE, _DAMAGED)
            self._files.put(name + _DAMAGED, text, content_type="application/json")
            self._files.delete(name + _NOTE)
            return None

    def upload(self, name: str, spilled: SpilledObject, *, open_store: Callable[[str], ObjectStore]) -> None:
        """Write the object to its store and let go of it. One that a later attempt has replaced there is let go, too."""
        objects = open_store(spilled.store_url)
        if not _is_replaced(objects, spilled):
            with self._files.open(name + _BODY) as body:
                objects.put(
                    spilled.key,
                    body,
                    content_type=spilled.content_type,
                    content_encoding=spilled.content_encoding,
                    metadata=spilled.metadata,
                )
        self._files.delete(name + _NOTE)
        self._files.delete(name + _BODY)


def _is_replaced(objects: ObjectStore, spilled: SpilledObject) -> bool:
    try:
        modified_at = objects.head(spilled.key).modified_at
    except OutputStoreError:  # not there, or not for us to look at
        return False
    return modified_at is not None and modified_at > spilled.spilled_at


def _own_temporary_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"truss-async-spill-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise SettingsError(f"{folder} belongs to another user: set spill_dir to a folder of your own")
    return folder
