"""The local folder that keeps what a store would not take, until it does."""

import itertools
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ..clock import Clock
from ..errors import ObjectExistsError, ObjectNotFoundError, OutputStoreError
from ..own_folders import is_file_of, own_folder
from ..printable import printable_logger
from ..stores import ObjectStore
from ..stores.file_store import FileStore
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
    only_if_absent: bool = False
    spilled_at: datetime


class SpillFolder:
    """Objects, each a body and a note of where it belongs. The note is written last: without one, there is no object.

    What lies there outlives the process, and is found by the next one. What another user wrote, or belongs to another
    store than ``is_ours`` says, is left alone.
    """

    def __init__(
        self, path: Path, *, clock: Clock, is_ours: Callable[[str], bool] = lambda _url: True
    ) -> None:
        """SettingsError when another user could change what lies there, or it cannot be written."""
        self._own_id = own_folder(path, what="spill_dir")
        self._files = FileStore(path, private=True)
        self._clock = clock
        self._opened_at = clock.now()
        self._is_ours = is_ours
        self._left_alone: set[str] = set()

    @classmethod
    def prepared(
        cls, path: str | None, *, clock: Clock, is_ours: Callable[[str], bool] = lambda _url: True
    ) -> "SpillFolder":
        """The folder at the path; by default one of this user's own for temporary files."""
        temporary = Path(tempfile.gettempdir(), f"truss-async-spill-{os.getuid()}")
        return cls(temporary if path is None else Path(path), clock=clock, is_ours=is_ours)

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
        only_if_absent: bool = False,
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
            only_if_absent=only_if_absent,
            spilled_at=now,
        )
        # By name, they are in the order in which they came, even if the clock is set back meanwhile.
        name = f"{self._opened_at:%Y%m%dT%H%M%S%f}-{next(_order):012}-{uuid.uuid4().hex}"
        self._files.put(name + _BODY, body, content_type=content_type)
        self._files.put(name + _NOTE, note.model_dump_json().encode(), content_type="application/json")

    def waiting(self) -> list[str]:
        """The names of the objects, the oldest first."""
        keys = sorted(each.key for each in self._files.list() if each.key.endswith(_NOTE))
        names = [key.removesuffix(_NOTE) for key in keys if "/" not in key]
        return [name for name in names if name not in self._left_alone]

    def read(self, name: str) -> SpilledObject | None:
        """What is noted of the object; None when it has gone, is not ours, or has a damaged note, which is put aside."""
        try:
            with self._opened(name, _NOTE) as file:
                text = file.read()
            note = SpilledObject.model_validate_json(text)
        except OutputStoreError:
            return None
        except ValidationError:
            logger.error("%s/%s%s cannot be read and is put aside as %s", self.url, name, _NOTE, _DAMAGED)
            self._files.put(name + _DAMAGED, text, content_type="application/json")
            self._files.delete(name + _NOTE)
            return None
        if not self._is_ours(note.store_url):
            self._leave_alone(name, f"it belongs to {note.store_url}, where this model does not save")
            return None
        return note

    def upload(self, name: str, spilled: SpilledObject, *, open_store: Callable[[str], ObjectStore]) -> None:
        """Write the object to its store and let go of it; so too of one whose place another attempt has by right."""
        objects = open_store(spilled.store_url)
        if spilled.only_if_absent or not _is_replaced(objects, spilled):
            with self._opened(name, _BODY) as body:
                try:
                    objects.put(
                        spilled.key,
                        body,
                        content_type=spilled.content_type,
                        content_encoding=spilled.content_encoding,
                        metadata=spilled.metadata,
                        only_if_absent=spilled.only_if_absent,
                    )
                except ObjectExistsError as error:
                    logger.warning("%s, which stays; the one that was spilled is given up", error)
        self.discard(name)

    def discard(self, name: str) -> None:
        """Let go of the object, wherever it is by now."""
        self._files.delete(name + _NOTE)
        self._files.delete(name + _BODY)

    def _opened(self, name: str, part: str) -> BinaryIO:
        """One of the object's two files; ObjectNotFoundError when it is not there, or is none for us to obey."""
        try:
            file = self._files.open(name + part)
        except OutputStoreError as error:
            if error.passes or isinstance(error, ObjectNotFoundError):
                raise
            self._leave_alone(name, str(error))
            raise ObjectNotFoundError(str(error)) from error
        if not is_file_of(file, self._own_id):
            file.close()
            self._leave_alone(name, f"{part} was written by another user")
            raise ObjectNotFoundError(f"{self.url}/{name}{part} was written by another user")
        return file

    def _leave_alone(self, name: str, reason: str) -> None:
        self._left_alone.add(name)
        logger.error("what was spilled as %s/%s is left alone: %s", self.url, name, reason)


def _is_replaced(objects: ObjectStore, spilled: SpilledObject) -> bool:
    try:
        modified_at = objects.head(spilled.key).modified_at
    except OutputStoreError:  # not there, or not for us to look at
        return False
    return modified_at is not None and modified_at > spilled.spilled_at
